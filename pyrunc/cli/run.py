"""run: create a container and run its program at once, staying with it to the end unless detached."""
from __future__ import annotations

from ..runtime.create import create, planned
from ..runtime.run import adopt_orphans, forget, let_go
from ..runtime.start import start
from .bundle import FLAGS, explained, prepare
from .flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.step import Plan
    from .flags import Call

COMMAND = Command(
    "run", "create a container from a bundle and run its program",
    (*FLAGS,
     Flag("detach", bool, "return as soon as the program runs", short="d"),
     Flag("keep", bool, "keep the container after its program has ended"),
     Flag("no-subreaper", bool, "do not become the parent of the container's orphans")),
    prefix="pyrunc run failed: ", shares=True)


def run(call: Call) -> int:
    """The exit status is the program's, or 128 and the number of the signal that killed it; 0 when detached."""
    detach = call.on("detach")
    config, options = prepare(call, detach, start=True)
    if not detach:
        from .foreground import hold_signals
        hold_signals()
    if not call.on("no-subreaper"):
        adopt_orphans()
    facts = create(config, options, call.observers(stops=True))
    try:
        if not detach:
            from .foreground import hold_all
            hold_all()
        let_go(facts)
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
            forget(call.root, call.id, facts, call.observers())


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    return planned(*explained(call, call.on("detach"), start=True), call.planned_for())
