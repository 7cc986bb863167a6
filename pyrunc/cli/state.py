"""state: what a container is doing, as JSON."""
from __future__ import annotations

from ..formats.json_text import dumps
from ..state.container import STOPPED, Container
from .flags import Command
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .flags import Call

COMMAND = Command("state", "print the state of a container, as JSON")


def run(call: Call) -> int:
    """Print the state of runtime.md#state with runc's additions: indented, no newline at the end."""
    emit(dumps(description(Container.load(call.root, call.id)), 2))
    return 0


def description(container: Container, owner: str = "") -> dict[str, Any]:
    """The container as `state` and `list --format json` show it; pid is 0 once it has stopped."""
    state = container.state
    status = container.status()
    shown = {
        "ociVersion": state["ociVersion"],
        "id": container.id,
        "pid": 0 if status == STOPPED else container.pid,
        "status": status,
        "bundle": state["bundle"],
        "rootfs": state["rootfs"],
        "created": state["created"],
    }
    if state["annotations"]:
        shown["annotations"] = state["annotations"]
    shown["owner"] = owner
    return shown
