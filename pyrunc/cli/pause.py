"""pause: stop every process of a container by the cgroup freezer."""
from __future__ import annotations

from .. import plan
from ..engine import execute
from ..errors import NOT_RUNNING, StateError
from ..files import Files
from ..state.container import CREATED, RUNNING, Container
from ..state.store import Lock
from .flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..step import Plan
    from .flags import Call

COMMAND = Command("pause", "freeze every process of a container until resume")


def run(call: Call) -> int:
    container = Container.load(call.root, call.id)
    with Lock(call.root, call.id):
        if container.status() not in (CREATED, RUNNING):
            raise StateError(NOT_RUNNING)
        execute(plan.pause(container), Files(), call.observers())
    return 0


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    return plan.pause(Container.load(call.root, call.id))
