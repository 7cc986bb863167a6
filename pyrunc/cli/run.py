"""run: create a container and run its program at once, staying with it to the end unless detached."""
from __future__ import annotations

import _signal
import posix

from .. import plan
from ..engine.run import Interrupted
from ..errors import PyruncError, describe
from ..kernel.linux import fail
from ..kernel.stopping import STOPPING
from ..runtime import create
from ..runtime.delete import delete
from ..runtime.start import start
from ..state import store
from .bundle import FLAGS, explained, prepare
from .flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.facts import Facts
    from ..engine.step import Plan
    from .flags import Call

COMMAND = Command(
    "run", "create a container from a bundle and run its program",
    (*FLAGS,
     Flag("detach", bool, "return as soon as the program runs", short="d"),
     Flag("keep", bool, "keep the container after its program has ended"),
     Flag("no-subreaper", bool, "do not become the parent of the container's orphans")),
    prefix="pyrunc run failed: ", shares=True)

PR_SET_CHILD_SUBREAPER = 36
TRIES = 2


def run(call: Call) -> int:
    """The exit status is the program's, or 128 and the number of the signal that killed it; 0 when detached."""
    detach = call.on("detach")
    config, options = prepare(call, detach, start=True)
    if not detach:
        from .foreground import hold_signals
        hold_signals()
    if not call.on("no-subreaper"):
        from .._native import lib
        if lib.pr_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0:
            raise fail("become the parent of the container's orphans")
    facts = create.create(config, options, observers=call.observers(stops=True))
    try:
        if not detach:
            from .foreground import hold_all
            hold_all()
        let_go(call, facts)
        notify = None
        if options.notify_socket:
            from ..runtime.sd_notify import of_caller
            notify = of_caller(call.root, call.id, call.log)
        container = start(call.root, call.id, call.observers(), notify)
        if detach:
            if notify is not None:
                notify.wait(container)
            return 0
        from .foreground import stay
        return stay(facts, call.log, notify)
    except BaseException:
        detach = False              # a container that failed to start is not left behind
        raise
    finally:
        if not detach and not call.on("keep"):
            forget(call, facts)


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    return plan.create(*explained(call, call.on("detach"), start=True), call.planned_for())


def let_go(call: Call, facts: Facts) -> None:
    """Close what `start` must not find: the lock of create, and a reader of the fifo besides the init."""
    store.release(call.root, call.id)
    posix.close(facts.fifo_fd)
    facts.fifo_fd = -1


def forget(call: Call, facts: Facts) -> None:
    """Delete the container. A failure is a warning: the program's status is what the caller wants to know.

    It has the descriptors that were put by for the undo: where there were enough to run, there are enough to delete.

    But who asked for `run` does not think of deleting: what fails may be no more than a moment's want of memory, and a
    deletion can be gone on with, so it gets a second try.
    """
    failed = 0
    while facts.spare:
        posix.close(facts.spare.pop())
    while True:
        try:
            for number in STOPPING:
                _signal.signal(number, _signal.SIG_IGN)      # half a deletion helps nobody
            return delete(call.root, call.id, True, call.observers())
        except Interrupted:              # it has ended a poststop hook; what is left is done now
            continue
        except (OSError, PyruncError) as fault:
            failed += 1
            if failed == TRIES:
                call.log.warning(f"delete {call.id}: {describe(fault) if isinstance(fault, OSError) else fault}")
                return None
