"""delete: remove what a container left, or with --force all of it."""
from __future__ import annotations

from ..runtime.delete import delete
from .flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.step import Plan
    from .flags import Call

COMMAND = Command(
    "delete", "delete a stopped container",
    (Flag("force", bool, "also delete a running container: kill it with SIGKILL first", short="f"),
     Flag("regex", bool, "take the id as a regular expression, and every container that it matches", short="r")))


def run(call: Call) -> int:
    if call.on("regex"):
        from .id_patterns import ids
        chosen = ids(call.root, call.id)
    else:
        chosen = [call.id]
    for id in chosen:
        delete(call.root, id, call.on("force"), call.observers())
    return 0


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    from .. import plan
    from ..state.container import Container
    return plan.delete(Container.load(call.root, call.id))
