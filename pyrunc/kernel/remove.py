"""Remove a directory whatever a container has put there: /run/notify of one that may mount is in its hands.

No link is followed, no path is resolved (they may be longer than PATH_MAX), no recursion is as deep as the tree, and
one descriptor is open however deep that is. A directory that does not let its owner in is made to.
"""
from __future__ import annotations

import errno
import posix

DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC


def tree(path: str) -> None:
    """Remove the directory at path and everything in it; fine when it is gone. OSError for what does not go."""
    try:
        here = posix.open(path, DIRECTORY)
    except FileNotFoundError:
        return
    above: list[tuple[str, int]] = []        # of each directory that we are in: its name, the inode of the one above
    try:
        while True:
            name = _empty(here)
            if name:
                above.append((name, posix.fstat(here).st_ino))
                here = _replace(here, _enter(name, here))
            elif above:
                name, inode = above.pop()
                here = _replace(here, posix.open("..", DIRECTORY, dir_fd=here))
                if posix.fstat(here).st_ino != inode:        # moved while we were in it: by whom, if all are dead
                    raise OSError(errno.EBUSY, posix.strerror(errno.EBUSY), f"{path}: another process works in it")
                posix.rmdir(name, dir_fd=here)
            else:
                break
    finally:
        posix.close(here)
    posix.rmdir(path)


def _empty(directory: int) -> str:
    """Remove all that is no directory; the name of one that is not empty, "" when there is none."""
    for name in posix.listdir(directory):
        try:
            posix.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            continue
        except IsADirectoryError:
            try:
                posix.rmdir(name, dir_fd=directory)
            except OSError as fault:
                if fault.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                return name
    return ""


def _enter(name: str, directory: int) -> int:
    try:
        return posix.open(name, DIRECTORY, dir_fd=directory)
    except PermissionError:
        place = posix.open(name, DIRECTORY | posix.O_PATH, dir_fd=directory)
        try:
            posix.chmod(f"/proc/self/fd/{place}", 0o700)
        finally:
            posix.close(place)
        return posix.open(name, DIRECTORY, dir_fd=directory)


def _replace(old: int, new: int) -> int:
    posix.close(old)
    return new
