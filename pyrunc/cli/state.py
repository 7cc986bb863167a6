"""state: what a container is doing, as JSON."""
from __future__ import annotations

import posix

from ..formats.json_text import dumps
from ..state.container import Container
from .flags import Command
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .flags import Call

COMMAND = Command("state", "print the state of a container, as JSON")


def run(call: Call) -> int:
    """Print the state of runtime.md#state with runc's additions: indented, no newline at the end."""
    described = Container.load(call.root, call.id).described()
    if at := stops(call.root, call.id):
        described["stopped"] = at
    emit(dumps(described, 2))
    return 0


def stops(root: str, id: str) -> list[dict[str, Any]]:
    """Where commands have stopped for --break, if one has."""
    try:
        if not any(name.startswith("stopped.") for name in posix.listdir(f"{root}/{id}")):
            return []
    except OSError:                          # deleted meanwhile
        return []
    from ..runtime.stopped import shown, stopped
    return [shown(record) for record in stopped(root, id)]
