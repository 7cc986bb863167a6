"""start: let a created container run its program."""
from __future__ import annotations

from ..state.start import start
from .flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

COMMAND = Command("start", "run the program of a created container")


def run(call: Call) -> int:
    start(call.root, call.id, call.trace, call.log)
    return 0
