"""The lock of a name: a file beside a socket, which whoever binds or removes the socket has locked meanwhile.

The kernel takes the lock from a process that has ended (flock(2)), so none who is dead is ever waited for.
"""
from __future__ import annotations

import posix

#: After the name of a socket.
LOCK = ".lock"


def locked(name: str, wait: bool = False) -> int:
    """A descriptor of this name's lock. While another has it, -1, or wait until it has let go. OSError."""
    from fcntl import LOCK_EX, LOCK_NB, flock
    path = name + LOCK
    while True:
        lock = posix.open(path, posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW, 0o600)
        try:
            flock(lock, LOCK_EX if wait else LOCK_EX | LOCK_NB)
            mine, there = posix.fstat(lock), posix.stat(path)
            if (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino):
                return lock                             # and not of a file that its last owner has just removed
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            posix.close(lock)
            raise
        posix.close(lock)
        if not wait:
            return -1


def unlock(name: str, lock: int) -> None:
    """Let go of a lock that locked() has given, also where a process that was forked has it open; remove its file."""
    from fcntl import LOCK_UN, flock
    try:
        posix.unlink(name + LOCK)
    except FileNotFoundError:                           # with its whole folder
        pass
    flock(lock, LOCK_UN)
    posix.close(lock)
