"""The mount options of the machine's cgroup2, which CRIU takes away.

To look at cgroups it mounts a cgroup2 without options, and from the initial cgroup namespace that sets nsdelegate and
its kin for the whole machine (cgroup-v2.rst, Mount Options). Without nsdelegate a container that may write to its own
cgroup could change the limits that it was given.
"""
from __future__ import annotations

from ..kernel.posix import lines
from ..rootfs.mounting import CREATE, SET_FLAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.linux import Kernel


def read(kernel: Kernel) -> list[str]:
    """Options of the cgroup2 file system that is mounted here; none where there is none, or it has none."""
    for line in lines(kernel.read_file("/proc/self/mountinfo")):
        kind, _, after = line.partition(" - ")[2].partition(" ")
        if kind == "cgroup2":
            return [word for word in after.partition(" ")[2].split(",") if word not in ("ro", "rw")]
    return []


def put_back(kernel: Kernel, options: list[str]) -> None:
    """Set them again, if they are others now. A new context of the file system does it, and nothing is mounted."""
    if set(read(kernel)) == set(options):
        return
    try:
        context = kernel.fsopen("cgroup2")
        try:
            for option in options:
                kernel.fsconfig(context, SET_FLAG, option)
            kernel.fsconfig(context, CREATE)
        finally:
            kernel.close(context)
    except OSError:         # whoever may not set them had a CRIU that could not take them either
        pass
