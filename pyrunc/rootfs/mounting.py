"""What all steps that make a mount share: what they say when they fail, and where the mount goes."""
from __future__ import annotations

import errno

from ..engine.step import CHILD, Step
from ..errors import ConfigError
from . import destination

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from .mount_options import MountOptions

#: <linux/mount.h>, <fcntl.h>
OPEN_TREE_CLONE, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_RECURSIVE = 0x1, 0x100, 0x1000, 0x8000
#: enum fsconfig_command: FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE
SET_FLAG, SET_STRING, CREATE = 0, 1, 6
#: <linux/magic.h>; the number of a procfs root, which no other file of a procfs has
PROC_SUPER_MAGIC, PROC_ROOT_INO = 0x9FA0, 1
#: What may be covered below /proc: the files that lxcfs emulates. runc and its kin agree on the list.
EMULATED = frozenset(f"/proc/{name}" for name in (
    "cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled"))

#: errno -> why a mount point was not made. (What is there needs neither room nor a file system that can be written.)
NO_PLACE = {
    errno.EROFS: "the mount point is missing, and cannot be made where all is read-only: make it in the image, or in "
                 "what "
                 "is mounted above it",
    errno.ENOSPC: "the mount point is missing, and there is no room or no inode to make it",
    errno.EDQUOT: "the mount point is missing, and there is no quota left to make it",
    errno.EACCES: "the mount point is missing, and the container's root may not make it",
    errno.ENOTDIR: "something above the mount point is a file",
    errno.ELOOP: "symbolic links above the mount point lead in a circle",
}


class Mount(Step):
    """One entry of config.mounts."""
    spec = "config.md#mounts"
    side = CHILD
    index: int                # in config.mounts
    kind: str                 # file system, or "bind"
    source: str
    target: str               # the destination as config.json has it
    path: str                 # the same, absolute and without ".."
    options: MountOptions
    words: str                # the options as config.json has them

    def describe(self) -> str:
        return f"mount {self.kind} on {self.target}" + (f": {self.words}" if self.words else "")

    def failure(self, fault: OSError) -> str:
        return self.failed(fault.filename)

    def failed(self, detail: object) -> str:
        # Engines and users search for this text.
        what = f'error mounting "{self.source}" to rootfs at "{self.target}"'
        return f"{what}: {detail}" if detail else what

    def refusal(self, why: str) -> ConfigError:
        return ConfigError(self.failed(why), self.where)

    def place(self, kernel: Kernel, facts: Facts, as_directory: bool = True) -> tuple[int, bool]:
        """(a descriptor of the destination, which is made if it is missing; whether it was there)."""
        find = destination.place_itself if self.options.destination_nofollow else destination.place
        try:
            fd, existed = find(kernel, facts.root_fd, self.path, as_directory)
        except OSError as fault:
            raise self.no_place(fault) from None
        if destination.is_root(kernel, facts.root_fd, fd):
            raise self.refusal(f'mountpoint "{self.target}" is on the top of rootfs')
        # A link may have led into /proc, where the attributes of processes must stay what they are
        # (CVE-2019-16884, CVE-2025-52881).
        if self.path not in EMULATED and self.path != "/proc" and kernel.fs_type(fd) == PROC_SUPER_MAGIC:
            raise self.refusal(f'"{self.target}" cannot be mounted because it is inside /proc')
        return fd, existed


    def no_place(self, fault: OSError) -> OSError:
        """The fault of a mount point that is not there and cannot be made, or cannot be come to."""
        from ..errors import advise, at
        detail = f": {fault.filename}" if isinstance(fault.filename, str) else ""
        told = OSError(fault.errno, fault.strerror, f"create mountpoint for {self.target}{detail}")
        return advise(at(told, f"{self.where}.destination"), NO_PLACE.get(fault.errno or 0, ""))


def set_attributes(kernel: Kernel, mount: int, options: MountOptions, even_none: bool = False) -> None:
    """Give a mount that has attributes already those that the options name: exactly these, as `mount --bind -o` does.

    even_none   also where they name none: then it has none afterwards

    Where the kernel has locked the old ones (mount_namespaces(7)), they stay, as long as no option asks to clear one.
    """
    if options.here or even_none:
        try:
            kernel.mount_setattr(mount, *options.here.exact())
        except PermissionError:
            kernel.mount_setattr(mount, *options.here.beside(kernel.mount_flags(mount)))


def set_below_and_propagation(kernel: Kernel, mount: int, options: MountOptions) -> None:
    """The recursive attributes, then the propagation types in the order of the options."""
    if options.below:
        kernel.mount_setattr(mount, *options.below.additive(), recursive=True)
    for kind, recursive in options.propagation:
        kernel.mount_setattr(mount, propagation=kind, recursive=recursive)


def empty_directory(kernel: Kernel, label: str) -> int:
    """A detached read-only tmpfs with room for its root and nothing else."""
    for inodes in ("1", "2"):        # Ubuntu's 5.4 refuses one
        fs = kernel.fsopen("tmpfs")
        kernel.fsconfig(fs, SET_STRING, "source", "tmpfs")
        kernel.fsconfig(fs, SET_FLAG, "ro")
        kernel.fsconfig(fs, SET_STRING, "nr_blocks", "1")
        try:
            kernel.fsconfig(fs, SET_STRING, "nr_inodes", inodes)
            if label:
                kernel.fsconfig(fs, SET_STRING, "context", label)
            kernel.fsconfig(fs, CREATE)
        except OSError:
            kernel.close(fs)
            if inodes == "1":
                continue
            raise
        mount = kernel.fsmount(fs, 1)    # MOUNT_ATTR_RDONLY
        kernel.close(fs)
        return mount
    raise AssertionError
