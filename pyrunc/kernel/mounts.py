"""Mounts by descriptor (fsopen(2), open_tree(2), mount_setattr(2)); mount(2) where these cannot do it."""
from __future__ import annotations

import posix

from .._native import ffi, lib
from .native import cstr, fail
from .posix import AT_FDCWD, PosixKernel

AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000


class Mounts(PosixKernel):
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

    def usual_mount(self, root_fd: int, path: bytes, kind: bytes, options: bytes, attributes: int, how: int) -> int:
        """A new file system, as rootfs/usual.py says: the mount's descriptor, or 0. -1 when nothing has been done;
        OSError when the mount point that was made for it cannot be taken back."""
        mount: int = lib.pr_usual_mount(root_fd, path, kind, options, attributes, how)
        if mount < -1:
            raise fail("take back a mount point")
        return mount

    def usual_node(self, root_fd: int, path: str, mode: int, device: int, uid: int, gid: int) -> bool:
        """A new device node; mode has the type. False when nothing has been done, as for the next two; OSError when one
        that is not finished cannot be taken back."""
        done: int = lib.pr_usual_node(root_fd, cstr(path), mode, device, uid & 0xffffffff, gid & 0xffffffff)
        if done < -1:
            raise fail("take back a device node")
        return done == 0

    def usual_readonly(self, root_fd: int, path: str) -> bool:
        """A mount of a path on itself that is read-only; nothing where nothing is."""
        done: int = lib.pr_usual_readonly(root_fd, cstr(path))
        return done == 0

    def usual_mask(self, root_fd: int, path: str, file_fd: int, directory_fd: int) -> bool:
        """A mount of one of the two on a path; nothing where nothing is. -1: that one is not made yet."""
        done: int = lib.pr_usual_mask(root_fd, cstr(path), file_fd, directory_fd)
        return done == 0

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
