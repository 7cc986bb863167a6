"""The signals that ask a command to stop: what an operator or an engine sends to a runtime that takes too long.

Whoever has a process to itself (the command line, a keeper's worker) sets handlers for them, once; they hand a signal
on to the plan that runs, which undoes itself. A plan sets none, so it may run in any thread.
"""
from __future__ import annotations

import posix
from _signal import SIG_DFL, SIGHUP, SIGINT, SIGTERM, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STOPPING = (SIGTERM, SIGINT, SIGHUP)
#: What the plan that runs does about such a signal; one more for a plan within another's step.
running: list[Callable[[int], None]] = []


def hand_on(number: int, _frame: object = None) -> bool:
    """To the plan that runs; False when none does."""
    if running:
        running[-1](number)
        return True
    return False


def or_die(number: int, frame: object) -> None:
    """A handler: hand the signal on, or do what it does to a process that has no handler."""
    if not hand_on(number):
        signal(number, SIG_DFL)
        posix.kill(posix.getpid(), number)
