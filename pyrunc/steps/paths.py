"""maskedPaths and readonlyPaths. Both act on what is there when the mounts are; what is missing needs no protection."""
from __future__ import annotations

import errno
import posix

from ..engine.step import CHILD, Step
from ..errors import ConfigError
from ..rootfs import destination
from ..rootfs.devices import NULL, is_device
from ..rootfs.mount_options import RDONLY
from ..rootfs.mounting import AT_EMPTY_PATH, AT_RECURSIVE, OPEN_TREE_CLONE, empty_directory
from ..rootfs.paths import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request


class Path(Step):
    """One path that may or may not exist in the container."""
    side = CHILD
    path: str

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            place = destination.find(kernel, facts.root_fd, self.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        if destination.is_root(kernel, facts.root_fd, place):
            self.root(kernel, facts)          # a mount on it would not be where the process's "/" is
        else:
            mount = self.cover(kernel, facts, place)
            kernel.move_mount(mount, place)
            kernel.close(mount)
        kernel.close(place)

    def root(self, kernel: Kernel, facts: Facts) -> None:
        """What is done where the path names the root itself."""
        raise NotImplementedError

    def cover(self, kernel: Kernel, facts: Facts, place: int) -> int:
        """The detached mount that goes on place."""
        raise NotImplementedError


class ReadOnly(Path):
    """A mount of the path on itself, whose other flags stay as they are: it never was a writable one."""
    name = "paths.readonly"
    spec = "config-linux.md#readonly-paths"

    def describe(self) -> str:
        return f"make {self.path} read-only"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if not kernel.usual_readonly(facts.root_fd, self.path):
            super().apply(kernel, facts)

    def root(self, kernel: Kernel, facts: Facts) -> None:
        kernel.mount_setattr(facts.root_fd, RDONLY)

    def cover(self, kernel: Kernel, facts: Facts, place: int) -> int:
        mount = kernel.open_tree("", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH, place)
        kernel.mount_setattr(mount, RDONLY)
        return mount


class Covers:
    """What masked paths are covered with, made at the first use: the null device, one empty directory for all."""
    __slots__ = ("label",)

    def __init__(self, label: str) -> None:
        self.label = label

    def file(self, kernel: Kernel, facts: Facts) -> int:
        if (null := facts.kept((self, "null"), -1)) < 0:
            null = null_device(kernel, facts.root_fd)
            facts.keep((self, "null"), null)
        return kernel.open_tree("", OPEN_TREE_CLONE | AT_EMPTY_PATH, null)


class Masked(Path):
    """A file reads as empty, a directory is empty."""
    name = "paths.masked"
    spec = "config-linux.md#masked-paths"
    covers: Covers

    def describe(self) -> str:
        return f"mask {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        covers = self.covers
        if not kernel.usual_mask(facts.root_fd, self.path, facts.kept((covers, "null"), -1),
                                 facts.kept((covers, "directory"), -1)):
            super().apply(kernel, facts)

    def root(self, kernel: Kernel, facts: Facts) -> None:
        raise ConfigError(f"{self.path} is the root itself, which cannot be masked", self.where)

    def cover(self, kernel: Kernel, facts: Facts, place: int) -> int:
        if not destination.is_directory(kernel, place):
            return self.covers.file(kernel, facts)
        if (directory := facts.kept((self.covers, "directory"), -1)) >= 0:
            return kernel.open_tree("", OPEN_TREE_CLONE | AT_EMPTY_PATH, directory)
        # Only a mount that is attached can be cloned, so the first one is the pattern of the others.
        mount = empty_directory(kernel, self.covers.label)
        facts.keep((self.covers, "directory"), kernel.open(".", posix.O_PATH | posix.O_DIRECTORY, 0, mount))
        return mount


def null_device(kernel: Kernel, root_fd: int) -> int:
    """The container's null device, or else the host's: verified, because any other file would show through the mask
    (CVE-2025-31133)."""
    try:
        fd = destination.find(kernel, root_fd, "/dev/null")
        if is_device(kernel, fd, *NULL):
            return fd
        kernel.close(fd)
    except OSError:
        pass
    fd = kernel.open("/dev/null", posix.O_PATH | posix.O_NOFOLLOW)
    if not is_device(kernel, fd, *NULL):
        raise OSError(errno.ENODEV, posix.strerror(errno.ENODEV), "/dev/null is not the null device")
    return fd


def all(want: Request) -> Iterator[Step]:
    """CHILD, when everything is mounted: first the read-only paths, then the masked ones, as runc does."""
    linux = want.config.get("linux", {})
    label = linux.get("mountLabel", "") if want.host.selinux else ""
    for path, where in places(linux.get("readonlyPaths") or (), "linux.readonlyPaths"):
        yield ReadOnly(path=path, where=where)
    covers = Covers(label)
    for path, where in places(linux.get("maskedPaths") or (), "linux.maskedPaths"):
        yield Masked(path=path, where=where, covers=covers)
