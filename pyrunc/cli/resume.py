"""resume: let the processes of a paused container run again."""
from __future__ import annotations

from .. import plan
from ..runtime.freeze import resume
from ..state.container import Container
from .flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.step import Plan
    from .flags import Call

COMMAND = Command("resume", "let the processes of a paused container run again")


def run(call: Call) -> int:
    resume(call.root, call.id, call.observers())
    return 0


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    return plan.resume(Container.load(call.root, call.id))
