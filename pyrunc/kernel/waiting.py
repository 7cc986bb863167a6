"""A wait that signals end, which Python's own retries would not (PEP 475)."""
from __future__ import annotations

import _signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


class Came(Exception):
    """One of the signals."""

    def __init__(self, number: int) -> None:
        self.number = number


def wait_unread(fd: int, signals: Sequence[int]) -> int:
    """Files.wait_unread. A startContainer hook may take for ever, so this wait can be interrupted, also by signals that
    are blocked around it."""
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


def _interrupt(number: int, _frame: object) -> NoReturn:
    raise Came(number)
