"""resume: let the processes of a paused container run again."""
from __future__ import annotations

from .. import plan
from ..engine import execute
from ..errors import NOT_PAUSED, StateError
from ..files import Files
from ..state.container import PAUSED, Container
from ..state.store import Lock
from .flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..step import Plan
    from .flags import Call

COMMAND = Command("resume", "let the processes of a paused container run again")


def run(call: Call) -> int:
    container = Container.load(call.root, call.id)
    with Lock(call.root, call.id):
        if container.status() != PAUSED:
            raise StateError(NOT_PAUSED)
        execute(plan.resume(container), Files(), call.observers())
    return 0


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    return plan.resume(Container.load(call.root, call.id))
