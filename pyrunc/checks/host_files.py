"""Small files of this host that several checks read: as text, the controllers, subordinate ids."""
from __future__ import annotations

import posix

from ..config.load import MAX_SIZE, read_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host import Host


def text(path: str) -> str:
    """A file; "" where it is not there or cannot be read.

    open() would complete Python's start, which a process that was forked without that cannot do.
    """
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            return read_all(fd, MAX_SIZE).decode(errors="replace")
        finally:
            posix.close(fd)
    except OSError:
        return ""


def controllers(host: Host, below: str = "") -> frozenset[str]:
    """Those of cgroup v2, or of the cgroup at this path of its mount."""
    return frozenset(text(f"{host.cgroup_mount}{below}/cgroup.controllers").split() if host.cgroup_mount else ())


def subordinate(kind: str, user: str, uid: int) -> list[tuple[int, int]]:
    """(first, count) of each range that subuid(5) or subgid(5), by kind "uid" or "gid", gives to a user."""
    import re
    return [(int(first), int(count)) for name, first, count in
            re.findall(r"^([^:\n]+):(\d+):(\d+)$", text(f"/etc/sub{kind}"), re.MULTILINE) if name in (user, str(uid))]
