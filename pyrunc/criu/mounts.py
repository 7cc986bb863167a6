"""The mounts that come from outside the container: bind mounts, device nodes that are bound, covers of masked files.

CRIU does not save them; a checkpoint calls each by a name, and a restore says what the name stands for. The name is a
digest of the destination in config.json, made anew from the config of the restore: nothing that a container can write
becomes part of it, and no name is a path that CRIU might bind (CVE-2026-119101). Which mount of a running container
has the name is told by the kernel, by its mount id, not by looking a path up twice.
"""
from __future__ import annotations

import errno
import posix
from _blake2 import blake2b  # hashlib would be read from a file, which a worker must not

from ..errors import Refused
from ..paths import absolute
from ..rootfs import devices
from ..rootfs.mountinfo import Mount, parse
from ..rootfs.mounts import entries
from ..rootfs.paths import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.types import Config
    from ..kernel.linux import Kernel
    from ..options import Options

MOUNTINFO_LIMIT = 64 << 20
NULL = "/dev/null"


class External:
    """A mount that config.json asks for and the outside provides.

    destination   in the container
    source        the host's path
    readonly      it must not come back writable
    """
    __slots__ = ("destination", "masks", "name", "readonly", "source")

    def __init__(self, kind: str, destination: str, source: str, readonly: bool = False) -> None:
        self.destination, self.source, self.readonly = destination, source, readonly
        self.masks = kind == "mask"
        self.name = f"{kind}-{blake2b(destination.encode(errors='surrogateescape'), digest_size=16).hexdigest()}"


def external(config: Config, bundle: str) -> list[External]:
    """Every one that config.json may have led to; a restore offers them all, whichever the images ask for."""
    found = [External("bind", fields["path"], absolute(fields["source"], bundle), parsed.readonly)
             for parsed, fields in entries(config) if parsed.bind and not parsed.remount]
    linux = config.get("linux", {})
    nodes = [*devices.DEFAULT, *(device["path"] for device in linux.get("devices") or ())]
    found += [External("device", path, path) for path in dict.fromkeys(nodes)]
    found += [External("mask", path, NULL) for path, _ in places(linux.get("maskedPaths") or (), "linux.maskedPaths")]
    return found


def mountinfo(kernel: Kernel, pid: int | str) -> dict[int, Mount]:
    """{mount id: mount} of a process."""
    return parse(kernel.read_file(f"/proc/{pid}/mountinfo", limit=MOUNTINFO_LIMIT))


def names(kernel: Kernel, pid: int, config: Config, options: Options) -> Iterator[tuple[str, str]]:
    """(where it is mounted, name) of each external mount that the container of this init has now."""
    lines, root = mountinfo(kernel, pid), kernel.open(f"/proc/{pid}/root", posix.O_PATH | posix.O_DIRECTORY)
    named: set[int] = set()
    try:
        for mount in external(config, options.bundle):
            line = _mounted(kernel, root, mount, lines)
            if line is None or line.id in named or (mount.masks and _inner(line, lines, named)):
                continue
            # CRIU takes "mnt[KEY]:NAME" apart at the first "]:", and the container may rename what is above a mount.
            if "]" in line.point:
                raise Refused(f'a mount with "]" in its path cannot be checkpointed: {line.point}')
            named.add(line.id)
            yield line.point, mount.name
    finally:
        kernel.close(root)


def _inner(line: Mount, lines: dict[int, Mount], named: set[int]) -> bool:
    """Whether it is a bind mount of a file system that the container itself has: its own /dev/null, say."""
    return any(other.device == line.device and other.root == "/" and other.id not in named for other in lines.values())


def _mounted(kernel: Kernel, root: int, mount: External, lines: dict[int, Mount]) -> Mount | None:
    """The mount whose top is at the destination; None when the container has unmounted it, or never had it."""
    try:
        fd = kernel.open_in_root(root, mount.destination, posix.O_PATH)
    except OSError as fault:
        if fault.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            raise
        return None
    try:
        line = lines.get(kernel.mount_id(fd))
        if line is None or kernel.fd_path(fd) != line.point:
            return None
        return None if mount.masks and not devices.is_device(kernel, fd, *devices.NULL) else line
    finally:
        kernel.close(fd)


def check(kernel: Kernel, pid: int, config: Config, options: Options) -> None:
    """Refused when the images made a writable mount of what config.json gives read-only.

    The flags of a restored mount are the images', not the config's.
    """
    wanted = external(config, options.bundle)
    writable = {identity(kernel, mount.source) for mount in wanted if not mount.readonly and not mount.masks}
    sources = {identity(kernel, mount.source): mount for mount in wanted if mount.readonly}
    for line in mountinfo(kernel, pid).values():
        mount = sources.get((line.device, line.root))
        if mount is not None and "ro" not in line.options and (line.device, line.root) not in writable:
            raise Refused(f"the images mount {mount.source} writable at {line.point}; config.json has it read-only")


def identity(kernel: Kernel, source: str) -> tuple[str, str]:
    """(device, path in its file system) of a path of the host, as mountinfo will show it when it is bound."""
    try:
        fd = kernel.open(source, posix.O_PATH)
    except FileNotFoundError:
        return "", source
    try:
        line, path = mountinfo(kernel, "self").get(kernel.mount_id(fd)), kernel.fd_path(fd)
    finally:
        kernel.close(fd)
    if line is None:
        return "", path
    inner = path[len(line.point.rstrip("/")):]
    return line.device, (line.root.rstrip("/") + inner) or "/"
