"""A process by a descriptor, which stays that process when its number is given out again (pidfd_open(2))."""
from __future__ import annotations

import errno
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

#: What pidfd_open(2) answers for a number that is no process: EINVAL, ENOENT in newer
#: kernels, when it is a thread's.
NO_PROCESS = (errno.ESRCH, errno.EINVAL, errno.ENOENT)


def open_if_there(pid: int) -> int:
    """pidfd_open(2); -1 when there is no such process. For want of a descriptor nobody is gone."""
    try:
        return posix.pidfd_open(pid)
    except OSError as fault:
        if fault.errno not in NO_PROCESS:
            raise
        return -1


def open_exactly(who: Mapping[str, Any], alive: Callable[[Mapping[str, Any]], bool]) -> int:
    """A pidfd of the process with who["pid"], if alive(who); ProcessLookupError when it is gone.

    The pidfd comes first and the look second: once it is open, its pid cannot become another process.
    """
    fd = open_if_there(who["pid"]) if who["pid"] > 0 else -1
    if fd < 0:
        raise ProcessLookupError
    try:
        if alive(who):
            return fd
    except BaseException:
        posix.close(fd)
        raise
    posix.close(fd)
    raise ProcessLookupError


def wait_end(pidfd: int, seconds: float) -> bool:
    """Wait until the process behind a pidfd has ended; False when it has not within that time."""
    import select
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
