"""why: in ten lines, why the last container failed, or the one that is named."""
from __future__ import annotations

from .flags import Command, Flag
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

COMMAND = Command(
    "why", "tell why a container failed: what, where in config.json, and what to do",
    (Flag("all", bool, "list every failure that is kept, newest first, a line for each"),),
    arguments="[container-id|pod|name]", least=0, most=1)


def run(call: Call) -> int:
    """Of the newest failure that is kept; without --root also below the state roots of engines."""
    from ..checks.why import find, kept, told
    root = call.root if "root" in call.settings else ""
    if call.on("all"):
        from ..log import visible
        emit("".join(f"{report.data.get('time')}  {report.data.get('command')}  {report.data.get('container')}  "
                     f"{visible(report.data['error'].get('message', ''))}\n" for report in kept(root)))
        return 0
    emit(told(find(call.arguments[0] if call.arguments else "", root)))
    return 0
