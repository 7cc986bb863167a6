"""Mounts by descriptor (fsopen(2), open_tree(2), mount_setattr(2)); mount(2) where these cannot do it."""
from __future__ import annotations

import posix

from .._native import ffi, lib
from .native import cstr, fail
from .posix import AT_FDCWD, Files

AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000


class Mounts(Files):
    """See the man pages of the calls the methods are named after."""

    def open_tree(self, path: str, flags: int, dirfd: int = AT_FDCWD) -> int:
        """open_tree(2), OPEN_TREE_CLOEXEC added."""
        fd: int = lib.pr_open_tree(dirfd, cstr(path), flags)
        if fd < 0:
            raise fail(path)
        return fd

    def move_mount(self, from_fd: int, to_fd: int) -> None:
        """Attach the (detached) mount from_fd on what to_fd refers to."""
        if lib.pr_move_mount(from_fd, to_fd, 0x04 | 0x40) < 0:
            raise fail("move_mount")

    def fsopen(self, kind: str) -> int:
        fd: int = lib.pr_fsopen(cstr(kind))
        if fd < 0:
            raise fail(f"fsopen {kind}")
        return fd

    def fsconfig(self, fd: int, command: int, key: str | None = None, value: str | None = None, aux: int = 0) -> None:
        """fsconfig(2). The error's text names the option that the file system refused."""
        if lib.pr_fsconfig(fd, command, ffi.NULL if key is None else cstr(key),
                           ffi.NULL if value is None else cstr(value), aux) < 0:
            number = ffi.errno
            raise OSError(number, posix.strerror(number), key if value is None else f"{key}={value}")

    def fsmount(self, fd: int, attributes: int) -> int:
        """fsmount(2): a detached mount."""
        mount: int = lib.pr_fsmount(fd, attributes)
        if mount < 0:
            raise fail("fsmount")
        return mount

    def mount_setattr(self, fd: int, set_: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False,
                      userns_fd: int = -1) -> None:
        """mount_setattr(2) on the mount that fd refers to."""
        if lib.pr_mount_setattr(fd, AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0), set_, clear, propagation,
                                userns_fd) < 0:
            raise fail("mount_setattr")

    def mount(self, source: str, target: str, kind: str, flags: int, data: str = "") -> None:
        """mount(2): only for propagation of "/" and for what the new API cannot do."""
        if lib.pr_mount(cstr(source), cstr(target), cstr(kind), flags, cstr(data) or ffi.NULL) < 0:
            raise fail(f"mount {source} {target}")

    def umount(self, target: str, flags: int) -> None:
        if lib.pr_umount(cstr(target), flags) < 0:
            raise fail(f"umount {target}")

    def fs_messages(self, fd: int) -> str:
        """What the file system says about a configuration it refuses (fsopen(2): the context is a log, too)."""
        said = []
        try:
            while line := posix.read(fd, 1024):
                said.append(line.decode(errors="replace").strip()[2:])    # without "e ", "w " or "i "
        except OSError:      # ENODATA: no more
            pass
        return "; ".join(said)
