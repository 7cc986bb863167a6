"""Files that are read and believed: they, their directory and the root are the caller's, and only his to write."""
from __future__ import annotations

import errno
import posix
from sys import byteorder

from ..errors import StateError

#: Who can write what is believed here, or owns it, could have the runtime run a hook or kill a process of his choice.
WRITABLE_BY_OTHERS = 0o022
TYPE, REGULAR = 0o170000, 0o100000       # S_IFMT, S_IFREG
FLOCK = 32               # sizeof(struct flock) where long has 64 bits: type, whence, start, length, pid
FLOCK_PID = slice(24, 28)
#: One byte of a lock file excludes others, the next one says by whose process it is held.
EXCLUDES, SAYS_WHO = 0, 1
IN = posix.O_DIRECTORY | posix.O_PATH | posix.O_CLOEXEC


def check_owner(what: str, found: posix.stat_result) -> None:
    """StateError unless what was looked at is the caller's own, and only his to write."""
    if found.st_uid == 0 != posix.geteuid() and what.startswith("state root"):
        raise StateError(f"{what} belongs to root: set XDG_RUNTIME_DIR, or give --root a directory of your own")
    if found.st_uid != posix.geteuid() or found.st_mode & WRITABLE_BY_OTHERS:
        raise StateError(f"{what} can be written by others: owner {found.st_uid}, mode {found.st_mode & 0o7777:04o}")


def open_root(root: str) -> int:
    """An O_PATH descriptor of the state root. StateError unless it is the caller's own, and only his to write."""
    fd = posix.open(root, IN)
    try:
        check_owner(f"state root {root}", posix.fstat(fd))
    except (OSError, StateError):
        posix.close(fd)
        raise
    return fd


def open_directory(root: str, id: str, above: int | None = None) -> int:
    """An O_PATH descriptor of a container's directory, when it and the root are the caller's own. above: the root's."""
    own = open_root(root) if above is None else above
    try:
        fd = posix.open(id, IN | posix.O_NOFOLLOW, dir_fd=own)
    except NotADirectoryError:           # a link, too; with the name of what is none
        raise NotADirectoryError(errno.ENOTDIR, posix.strerror(errno.ENOTDIR), f"{root}/{id}") from None
    finally:
        if above is None:
            posix.close(own)
    try:
        check_owner(f"{root}/{id}", posix.fstat(fd))
    except (OSError, StateError):
        posix.close(fd)
        raise
    return fd


def open_file(root: str, id: str, name: str, above: int | None = None) -> int:
    """A file of a container, to be read and believed: it, the directory and the root are the caller's, and only his to
    write. FileNotFoundError when there is none, StateError when another user could have made it.

    above   a descriptor of open_root(), of who reads many
    """
    path = f"{root}/{id}/{name}"
    directory = open_directory(root, id, above)
    try:
        fd = posix.open(name, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK, dir_fd=directory)
    except OSError as fault:
        if fault.errno in (errno.ELOOP, errno.ENXIO):        # a link, a socket
            raise StateError(f"{path} is damaged: it is not a regular file") from None
        fault.filename = path
        raise
    finally:
        posix.close(directory)
    try:
        found = posix.fstat(fd)
        check_owner(path, found)
        if found.st_mode & TYPE != REGULAR:
            raise StateError(f"{path} is damaged: it is not a regular file")
    except (OSError, StateError):
        posix.close(fd)
        raise
    return fd


def lock(fd: int) -> None:
    """Lock a container's lock file, opened for writing. BlockingIOError or PermissionError when it is locked, also by
    this process (fcntl(2), open file description locks). What inherits the descriptor holds the lock as well."""
    import fcntl
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, EXCLUDES))


def unlock(fd: int) -> None:
    """Give the lock back, for whoever else has the descriptor, too."""
    import fcntl
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, EXCLUDES))


def sign(fd: int) -> None:
    """Say that this process has locked the file, until it ends or closes any descriptor of the file (a record lock)."""
    import fcntl
    fcntl.fcntl(fd, fcntl.F_SETLK, _flock(fcntl.F_WRLCK, SAYS_WHO))


def signer(path: str) -> int:
    """The pid of the process that has signed a lock file, 0 for none."""
    import fcntl
    fd = posix.open(path, posix.O_RDWR | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    try:
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, _flock(fcntl.F_WRLCK, SAYS_WHO))
    finally:
        posix.close(fd)
    held = int.from_bytes(answer[:2], byteorder) != fcntl.F_UNLCK
    return int.from_bytes(answer[FLOCK_PID], byteorder) if held else 0


def _flock(kind: int, start: int) -> bytes:
    """struct flock: one byte from start on, counted from the beginning of the file."""
    return (kind.to_bytes(8, byteorder) + start.to_bytes(8, byteorder) + (1).to_bytes(8, byteorder)
            + bytes(FLOCK - 24))
