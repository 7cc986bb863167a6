"""features: what this build understands, for engines to ask before they rely on it."""
from __future__ import annotations

from ..formats.json_text import dumps
from ..runtime.features import features
from .flags import Command
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

COMMAND = Command("features", "print what this build understands, as JSON", arguments="", least=0, most=0)


def run(call: Call) -> int:
    emit(dumps(features(), 4) + "\n")
    return 0
