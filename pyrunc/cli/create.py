"""create: make a container of a bundle; its program waits for `start`."""
from __future__ import annotations

from ..runtime.create import create, planned
from .bundle import FLAGS, explained, prepare
from .flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.step import Plan
    from .flags import Call

COMMAND = Command("create", "create a container from a bundle", FLAGS, prefix="pyrunc create failed: ",
                  shares=True)


def run(call: Call) -> int:
    config, options = prepare(call, detach=True, start=False)
    create(config, options, call.observers(stops=True))
    return 0


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    return planned(*explained(call, detach=True, start=False), call.planned_for())
