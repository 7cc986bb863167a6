"""why: in ten lines, why the last container failed, or the one that is named."""
from __future__ import annotations

from .flags import Command, Flag
from .pager import page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

COMMAND = Command(
    "why", "tell why a container failed: what, where in config.json, and what to do",
    (Flag("all", bool, "list every failure that is kept, newest first, a line for each"),),
    arguments="[container-id|pod|name]", least=0, most=1)

#: Letters of an error in the list: a line or two of a terminal.
LONGEST = 200


def run(call: Call) -> int:
    """Of the newest failure that is kept; without --root also below the state roots of engines."""
    from ..checks.kept import find, kept
    from ..checks.why import told
    root = call.root if "root" in call.settings else ""
    if call.on("all"):
        from ..errors import shortened
        from ..log import visible
        lines = []
        for report in kept(root):
            told_of = shortened(report.error.get("message", ""), LONGEST)
            lines.append(visible("  ".join([report.time, report.command, report.container, told_of])) + "\n")
        page("".join(lines))
        return 0
    page(told(find(call.arguments[0] if call.arguments else "", root)))
    return 0
