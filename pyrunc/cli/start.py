"""start: let a created container run its program."""
from __future__ import annotations

import posix

from ..runtime.start import start
from .flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.step import Plan
    from .flags import Call

COMMAND = Command("start", "run the program of a created container")


def run(call: Call) -> int:
    notify = None
    if posix.environ.get(b"NOTIFY_SOCKET"):
        from ..runtime.sd_notify import of_caller
        notify = of_caller(call.root, call.id, call.log)
    container = start(call.root, call.id, call.observers(), notify)
    if notify is not None:
        notify.wait(container)
    return 0


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    from .. import plan
    from ..state.container import Container
    return plan.start(Container.load(call.root, call.id))
