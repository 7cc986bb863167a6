"""trace: show a trace as a waterfall, as a page or for Perfetto; say where the time went between two."""
from __future__ import annotations

import posix

from ..errors import UsageError
from ..log import utf8
from ..paths import absolute
from ..state.switches import TRACE_FILE
from .flags import Command, Flag
from .pager import colour, columns, page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..traceview.records import Run
    from .flags import Call

#: Where the output is no terminal.
COLUMNS = 100
FORMATS = ("text", "chrome", "html", "otel")
COMMAND = Command(
    "trace", "draw a trace (show TRACE [TRACE]), or compare two (diff TRACE TRACE)",
    (Flag("format", str, "text: a waterfall; chrome: for ui.perfetto.dev and chrome://tracing; html: one page; "
          "otel: spans of OpenTelemetry, printed or sent to $OTEL_EXPORTER_OTLP_ENDPOINT",
          short="f", value="FORMAT", default="text", choices=FORMATS),
     Flag("command", str, "show only runs of this command (create, start, exec, ...)", value="COMMAND"),
     Flag("all", bool, "show every run in the trace, not only the newest")),
    arguments="<show|diff> <file or container-id> [file or container-id]", least=2, most=3)


def run(call: Call) -> int:
    """TRACE is a file, or a container's id: then its runs in <root>/@trace.jsonl."""
    what, *names = call.arguments
    if what == "diff" and len(names) == 2:
        from ..traceview.difference import difference
        first, second = (runs_of(call, name) for name in names)
        page(difference(first, second, columns(COLUMNS)))
    elif what == "show":
        page(shown(call, names))
    else:
        raise UsageError(f"trace {what}: use trace show TRACE [TRACE], or trace diff TRACE TRACE")
    return 0


def shown(call: Call, names: Sequence[str]) -> str:
    """The runs that were asked for, in the format that was asked for."""
    runs: list[Run] = []
    for name in names:
        found = runs_of(call, name)
        runs += found if call.on("all") else found[-1:]
    if call.text("format") == "chrome":
        from ..traceview.chrome import chrome
        return chrome(runs)
    if call.text("format") == "otel":
        from ..traceview.otel import otel
        return otel(runs)
    if call.text("format") == "html":
        from ..traceview.page import page as document
        return document(runs)
    from ..traceview.waterfall import waterfall
    return "\n".join(waterfall(one, columns(COLUMNS), colour(), utf8()) for one in runs)


def runs_of(call: Call, name: str) -> list[Run]:
    """The runs of a trace. UsageError when there are none."""
    from ..traceview import records
    path = absolute(name)
    odd: list[str] = []
    if "/" in name or _is_file(path):
        found = records.read(path, odd)
    else:
        try:
            found = records.of_container(records.read(f"{call.root}/{TRACE_FILE}", odd), name)
        except UsageError as fault:
            raise UsageError(f"{name} is no file, and no container's trace is to be had: {fault}") from None
    if odd:
        more = f", and {len(odd) - 1} more" if len(odd) > 1 else ""
        call.log.warning(f"{odd[0]} (left out{more})")
    wanted = call.text("command")
    found = [run for run in found if wanted in ("", run.command)]
    if not found:
        raise UsageError(f"{name}: the trace has no run" + (f" of {wanted}" if wanted else " of this container"))
    return found


def _is_file(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True
