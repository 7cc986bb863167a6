"""check: everything that is wrong with a bundle, without creating anything."""
from __future__ import annotations

import posix

from ..formats.json_text import dumps
from ..log import visible
from ..paths import absolute
from .flags import Command, Flag
from .pager import page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..checks.findings import Finding
    from .flags import Call

COMMAND = Command(
    "check", "find everything that is wrong with a bundle, by the specification and for this host",
    (Flag("bundle", str, "the bundle's directory (default: the current one)", short="b", value="DIR"),
     Flag("config", str, "use this file instead of the bundle's config.json", value="FILE"),
     Flag("format", str, "text or json", short="f", value="FORMAT", default="text", choices=("text", "json"))),
    arguments=" ", least=0, most=0)


def run(call: Call) -> int:
    """Print the findings; 0 when there are no errors among them, however many warnings, 1 otherwise."""
    from ..checks.findings import ERROR, examine
    bundle = absolute(call.text("bundle")) if call.text("bundle") else posix.getcwd()
    found = examine(bundle, absolute(call.text("config")) if call.text("config") else "config.json")
    page(as_json(found) if call.text("format") == "json" else as_text(found))
    return int(any(finding.level == ERROR for finding in found))


def as_text(found: Sequence[Finding]) -> str:
    """A line for each finding, and how many of each sort there are."""
    levels = [finding.level for finding in found]
    counts = " and ".join(f"{count} {word}{'s' if count > 1 else ''}" for word in ("error", "warning")
                          if (count := levels.count(word)))
    return "".join(f"{visible(str(finding))}\n" for finding in found) + f"{counts or 'nothing to complain about'}\n"


def as_json(found: Sequence[Finding]) -> str:
    """An array with an object for each finding: level, where (JSON path), what, hint, spec (chapter)."""
    return dumps([{"level": finding.level, "where": finding.where, "what": finding.what, "hint": finding.hint,
                   "spec": finding.spec} for finding in found], 2) + "\n"
