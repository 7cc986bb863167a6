"""Finding and making places inside the container's root, by descriptor.

The root's content is hostile: any part of a path may be a symbolic link, and may be exchanged while it is looked at.
What exists is opened by openat2(2), which keeps links and ".." inside the root (RESOLVE_IN_ROOT). What is missing is
made one component at a time, each on the descriptor of the one before it. The descriptor that comes back is what is
used; no path is resolved a second time. All functions act through the kernel object and raise OSError.
"""
from __future__ import annotations

import errno
import posix

from ..kernel.constants import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.linux import Kernel

# The hot world has no stat module.
S_IFMT, S_IFDIR, S_IFREG, S_IFCHR, S_IFBLK, S_IFLNK = 0o170000, 0o040000, 0o100000, 0o020000, 0o060000, 0o120000
#: For openat2(2)
IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
NO_LINKS = IN_ROOT | RESOLVE_NO_SYMLINKS
PLACE = posix.O_PATH | posix.O_NOFOLLOW
#: As the kernel's own limit (path_resolution(7)).
MAX_LINKS = 40
#: Of reading a file: what fails whatever the image has there. (Bits of a mode and security modules say EACCES.)
OF_THE_HOST = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EINTR, errno.EPERM)


def find(kernel: Kernel, root_fd: int, path: str, follow: bool = True) -> int:
    """An O_PATH descriptor of what path names below root_fd; follow=False: of the link that it may name."""
    return kernel.open_in_root(root_fd, path, posix.O_PATH if follow else PLACE, 0, IN_ROOT)


def open_file(kernel: Kernel, place: int) -> int:
    """A descriptor to read what the O_PATH descriptor place refers to; -1 unless it is an ordinary file.

    Opening is an act: of a device that the image chose (a tape rewinds), perhaps outside of the container's device
    filter, or of a fifo at which a process waits. So it is looked at before, by the descriptor that is opened then.
    """
    if kernel.stat(place).st_mode & S_IFMT != S_IFREG:
        return -1
    return kernel.reopen(place, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY)


def directory(kernel: Kernel, root_fd: int, path: str, links: bool = True) -> int:
    """An O_PATH descriptor of the directory at path, made with its parents (0755) where it is missing. links=False
    refuses any symbolic link on the way (ELOOP)."""
    try:
        return kernel.open_in_root(root_fd, path, posix.O_PATH | posix.O_DIRECTORY, 0, IN_ROOT if links else NO_LINKS)
    except FileNotFoundError:
        return _make(kernel, root_fd, path, True, links)


def place(kernel: Kernel, root_fd: int, path: str, as_directory: bool) -> tuple[int, bool]:
    """(an O_PATH descriptor of what is at path, whatever it is; whether it was there). Where nothing is, an empty
    directory (0755) or file (0644) is made, with its parents."""
    try:
        return find(kernel, root_fd, path), True
    except FileNotFoundError:
        return _make(kernel, root_fd, path, as_directory, True), False


def place_itself(kernel: Kernel, root_fd: int, path: str, as_directory: bool) -> tuple[int, bool]:
    """The same of what is at path even if that is a symbolic link: it is not followed."""
    try:
        return find(kernel, root_fd, path, follow=False), True
    except FileNotFoundError:
        above, name = parent(kernel, root_fd, path)
        try:
            return _enter(kernel, above, name, as_directory), False
        finally:
            kernel.close(above)


def parent(kernel: Kernel, root_fd: int, path: str) -> tuple[int, str]:
    """(descriptor of the directory that path is in, made where it is missing; the last component)."""
    above, _, name = path.rpartition("/")
    return directory(kernel, root_fd, above or "/"), name


def is_directory(kernel: Kernel, fd: int) -> bool:
    return kernel.stat(fd).st_mode & S_IFMT == S_IFDIR


def is_root(kernel: Kernel, root_fd: int, fd: int) -> bool:
    """Whether fd is the root itself, not merely another mount of the same directory."""
    one, other = kernel.stat(fd), kernel.stat(root_fd)
    return ((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
            and kernel.mount_id(fd) == kernel.mount_id(root_fd))


def _make(kernel: Kernel, root_fd: int, path: str, want_directory: bool, links: bool) -> int:
    """Walk path below root_fd and make what is missing, also where a dangling link leads to.

    The descriptors of the directories passed are kept: ".." goes back to the one before, and at the root stays there,
    so that nobody who moves a directory meanwhile can lead the walk out of the root.
    """
    trail: list[int] = []
    rest = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    followed = 0
    try:
        while rest:
            name = rest.pop()
            if name == "..":
                if trail:
                    kernel.close(trail.pop())
                continue
            fd = _enter(kernel, trail[-1] if trail else root_fd, name, want_directory or bool(rest))
            if kernel.stat(fd).st_mode & S_IFMT != S_IFLNK:
                trail.append(fd)
                continue
            target = kernel.read_link(fd)
            kernel.close(fd)
            followed += 1
            if followed > MAX_LINKS or not links:
                raise OSError(errno.ELOOP, posix.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                while trail:
                    kernel.close(trail.pop())
            rest += [part for part in reversed(target.split("/")) if part not in ("", ".")]
        if not trail:
            return kernel.open(".", posix.O_PATH, 0, root_fd)
        found = trail.pop()
        if want_directory and not is_directory(kernel, found):
            kernel.close(found)
            raise OSError(errno.ENOTDIR, posix.strerror(errno.ENOTDIR), path)
        return found
    finally:
        for fd in trail:
            kernel.close(fd)


def _enter(kernel: Kernel, directory_fd: int, name: str, as_directory: bool) -> int:
    """Open name in a directory without following it; make it when it is not there."""
    try:
        return kernel.open(name, PLACE, 0, directory_fd)
    except FileNotFoundError:
        pass
    try:
        if as_directory:
            kernel.mkdir(name, 0o755, directory_fd)
        else:
            kernel.close(kernel.open(name, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW, 0o644,
                                     directory_fd))
    except FileExistsError:          # another process was faster; whatever it is, it is looked at below
        pass
    return kernel.open(name, PLACE, 0, directory_fd)
