"""pause: stop every process of a container by the cgroup freezer."""
from __future__ import annotations

from .. import plan
from ..runtime.freeze import pause
from ..state.container import Container
from .flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.step import Plan
    from .flags import Call

COMMAND = Command("pause", "freeze every process of a container until resume")


def run(call: Call) -> int:
    pause(call.root, call.id, call.observers())
    return 0


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    return plan.pause(Container.load(call.root, call.id))
