"""state: what a container is doing, as JSON."""
from __future__ import annotations

from ..formats.json_text import dumps
from ..state.container import Container
from .flags import Command
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

COMMAND = Command("state", "print the state of a container, as JSON")


def run(call: Call) -> int:
    """Print the state of runtime.md#state with runc's additions: indented, no newline at the end."""
    emit(dumps(Container.load(call.root, call.id).described(), 2))
    return 0
