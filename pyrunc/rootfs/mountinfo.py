"""The mounts that a process sees, from /proc/PID/mountinfo (proc_pid_mountinfo(5))."""
from __future__ import annotations

from ..kernel.posix import lines


class Mount:
    """One line. Paths are as they are, without the escapes that the kernel writes for blanks and backslashes.

    id, parent    mount ids
    device        "major:minor" of its file system
    root, point   what of the file system is mounted, and where
    options       of the mount itself: "ro", "nosuid"
    kind          the file system's type
    data          options of the file system, as they are written there: "rw,lowerdir=/a,upperdir=/b"
    """
    __slots__ = ("data", "device", "id", "kind", "options", "parent", "point", "root")

    def __init__(self, line: str) -> None:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        self.id, self.parent, self.device = int(fields[0]), int(fields[1]), fields[2]
        self.root, self.point = plain(fields[3]), plain(fields[4])
        self.options = fields[5].split(",")
        self.kind, _, after = after.partition(" ")
        self.data = after.rpartition(" ")[2]


def type_of(path: str) -> str:
    """The type of the file system that an absolute path of the host is on, as far as its letters tell; "" for none."""
    from ..kernel.posix import PosixKernel
    try:
        mounts = parse(PosixKernel().read_file("/proc/self/mountinfo")).values()
    except OSError:
        return ""
    above = [mount for mount in mounts if f"{path}/".startswith(f"{mount.point.rstrip('/')}/")]
    return max(above, key=lambda mount: len(mount.point)).kind if above else ""


def plain(text: str) -> str:
    """A path as mountinfo writes it, without its escapes: \\040 is a space."""
    if "\\" not in text:
        return text
    first, *rest = text.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def parse(text: str) -> dict[int, Mount]:
    """{mount id: mount}, in the order of the file: of two on one place the later one is on top."""
    return {mount.id: mount for mount in map(Mount, lines(text))}
