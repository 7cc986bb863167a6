"""Waits: one that signals end, which Python's own retries would not (PEP 475); and for the end of a process that is
another's child."""
from __future__ import annotations

import _signal
import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


#: How a process has ended that the kernel does not tell: no status, and no signal's number, negated.
UNKNOWN = -256
#: include/uapi/linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info), 64 bytes in its first version; and a bit of its mask.
PIDFD_GET_INFO, PIDFD_INFO_EXIT, PIDFD_INFO_SIZE = 3 << 30 | 64 << 16 | 0xFF << 8 | 11, 1 << 3, 64
#: Milliseconds between two looks, while whoever is the parent reaps it.
LOOKS = (0, 1, 5, 20, 100, 300)


class Came(Exception):
    """One of the signals."""

    def __init__(self, number: int) -> None:
        self.number = number


def wait_unread(fd: int, signals: Sequence[int]) -> int:
    """PosixKernel.wait_unread. A startContainer hook may take for ever, so this wait can be interrupted, also by
    signals that are blocked around it."""
    import select
    poll = select.poll()
    poll.register(fd, 0)
    handlers = [(number, _signal.signal(number, _interrupt)) for number in signals]
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    try:
        try:
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, signals)     # one that waited is raised here
            poll.poll()
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    except Came as interrupted:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        return interrupted.number
    finally:
        for number, handler in handlers:
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
    return 0


def ended(pidfd: int) -> None:
    """Wait until a process has ended, whoever's child it is."""
    import select
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()


def status_of_another(pidfd: int) -> int:
    """Wait for the end of another process's child: its exit status, minus the signal, or UNKNOWN.

    The kernel tells it of a pidfd once the parent has reaped it (PIDFD_GET_INFO, Linux 6.15).
    """
    import fcntl
    import select
    from posix import waitstatus_to_exitcode
    from sys import byteorder
    ended(pidfd)
    for pause in LOOKS:
        select.poll().poll(pause)
        info = bytearray(PIDFD_INFO_EXIT.to_bytes(8, byteorder)).ljust(PIDFD_INFO_SIZE, b"\0")
        try:
            fcntl.ioctl(pidfd, PIDFD_GET_INFO, info)
        except OSError as fault:
            if fault.errno != errno.ESRCH:                # an older kernel does not know the question: ENOTTY
                break
            continue
        if int.from_bytes(info[:8], byteorder) & PIDFD_INFO_EXIT:
            return waitstatus_to_exitcode(int.from_bytes(info[60:64], byteorder))
    return UNKNOWN


def _interrupt(number: int, _frame: object) -> NoReturn:
    raise Came(number)
