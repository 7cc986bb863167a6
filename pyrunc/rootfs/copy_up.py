"""tmpcopyup: what a tmpfs is going to cover is copied into it first, by descriptor, while it is still detached.

The tree comes from the container's root: no link in it is followed, and only regular files are opened. Loaded for a
mount with this option only.
"""
from __future__ import annotations

import errno
import posix

from ..errors import advise, at
from .destination import NO_LINKS, PLACE, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, open_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.linux import Kernel

DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY


def copy(kernel: Kernel, covered: int, mount: int) -> None:
    """Copy owner, times, attributes and content of directory covered (O_PATH) to the root of mount; not the mode,
    which the mount's options have decided. However deep the tree is, few descriptors are open at a time."""
    source = kernel.open(".", DIRECTORY, 0, covered)
    target = kernel.open(".", DIRECTORY, 0, mount)
    folders = ["."]
    for folder in folders:                   # which grows meanwhile
        folders += _content(kernel, source, target, folder)
    for folder in reversed(folders):         # a folder has its times when nothing more is put into it
        original, duplicate = _folder(kernel, source, folder), _folder(kernel, target, folder)
        _likeness(kernel, original, duplicate, folder != ".")
        kernel.close(original)
        kernel.close(duplicate)
    kernel.close(source)
    kernel.close(target)


def failed(fault: OSError, words: str, target: str, where: str) -> OSError:
    """The fault of a copy, at the option that asks for it: words are the options of the mount, where is its place."""
    place = words.split(",").index("tmpcopyup")
    told = OSError(fault.errno, fault.strerror, f"tmpcopyup: copy what {target} has in the root")
    full = "it does not fit: a larger size or nr_inodes among the options is needed"
    return advise(at(told, f"{where}.options[{place}]"), full if fault.errno == errno.ENOSPC else "")


def _folder(kernel: Kernel, top: int, path: str) -> int:
    return kernel.open_in_root(top, path, DIRECTORY, 0, NO_LINKS)


def _content(kernel: Kernel, source: int, target: int, folder: str) -> list[str]:
    """Copy all that is in a folder; the paths of the folders in it, which are empty as yet."""
    original, duplicate = _folder(kernel, source, folder), _folder(kernel, target, folder)
    folders = []
    for name in kernel.list_dir(original):
        entry = kernel.open(name, PLACE, 0, original)
        state = kernel.stat(entry)
        kind = state.st_mode & S_IFMT
        if kind == S_IFDIR:
            kernel.mkdir(name, 0o700, duplicate)
            folders.append(f"{folder}/{name}")
        elif kind == S_IFREG:
            _file(kernel, entry, name, duplicate)
        else:
            if kind == S_IFLNK:
                kernel.symlink(kernel.read_link(entry), name, duplicate)
            else:
                kernel.mknod(name, state.st_mode, state.st_rdev, duplicate)
            made = kernel.open(name, PLACE, 0, duplicate)
            kernel.chown(made, state.st_uid, state.st_gid)
            if kind != S_IFLNK:
                kernel.chmod(made, state.st_mode & 0o7777)
            kernel.close(made)
        kernel.close(entry)
    kernel.close(original)
    kernel.close(duplicate)
    return folders


def _file(kernel: Kernel, entry: int, name: str, target: int) -> None:
    # By the descriptor that was looked at: another process may have put a device there since.
    original = open_file(kernel, entry)
    duplicate = kernel.open(name, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW, 0o600, target)
    kernel.copy_data(original, duplicate)
    _likeness(kernel, original, duplicate, True)
    kernel.close(original)
    kernel.close(duplicate)


def _likeness(kernel: Kernel, original: int, duplicate: int, with_mode: bool) -> None:
    state = kernel.stat(original)
    kernel.chown(duplicate, state.st_uid, state.st_gid)
    if with_mode:
        kernel.chmod(duplicate, state.st_mode & 0o7777)
    for name in kernel.listxattr(original):
        try:
            kernel.setxattr(duplicate, name, kernel.getxattr(original, name))
        except OSError as fault:         # tmpfs has no user.* attributes before Linux 6.6
            if fault.errno not in (errno.EOPNOTSUPP, errno.EPERM):
                raise
    kernel.set_times(duplicate, state.st_atime_ns, state.st_mtime_ns)
