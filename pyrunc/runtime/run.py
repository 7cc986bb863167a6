"""Staying with a container from its creation to its end: what `run` and `restore` do besides making it."""
from __future__ import annotations

import _signal
import posix

from ..engine.observer import warn
from ..engine.run import Interrupted
from ..errors import PyruncError, describe
from ..kernel.native import fail
from ..kernel.stopping import STOPPING, hand_on
from .delete import delete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.facts import Facts
    from ..engine.observer import Observer

PR_SET_CHILD_SUBREAPER = 36
TRIES = 2


def adopt_orphans() -> None:
    """Become the parent of processes of the container whose own parent has ended (prctl(2)). OSError."""
    from .._native import lib
    if lib.pr_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0:
        raise fail("become the parent of the container's orphans")


def let_go(facts: Facts) -> None:
    """Close what a later operation must not find: the lock of create, and a reader of the fifo besides the init."""
    for fd in (facts.lock_fd, facts.fifo_fd):
        if fd >= 0:
            posix.close(fd)
    facts.lock_fd = facts.fifo_fd = -1


def forget(root: str, id: str, facts: Facts, observers: Sequence[Observer]) -> None:
    """Delete the container. A failure is a warning: the program's status is what the caller wants to know.

    It has the descriptors that were put by for the undo: where there were enough to run, there are enough to delete.

    But who asked for `run` does not think of deleting: what fails may be no more than a moment's want of memory, and a
    deletion can be gone on with, so it gets a second try.
    """
    failed = 0
    let_go(facts)                    # what failed may have come before that
    while facts.spare:
        posix.close(facts.spare.pop())
    while True:
        try:
            for number in STOPPING:
                _signal.signal(number, hand_on)      # else to no effect: half a deletion helps nobody
            return delete(root, id, True, observers)
        except Interrupted:              # it has ended a poststop hook; what is left is done now
            continue
        except (OSError, PyruncError) as fault:
            failed += 1
            if failed == TRIES:
                warn(observers, [f"delete {id}: {describe(fault) if isinstance(fault, OSError) else fault}"])
                return None
