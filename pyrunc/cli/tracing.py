"""The file for a trace, and which containers are traced when the switch file names an annotation: those that have it.
"""
from __future__ import annotations

from ..errors import PyruncError, UsageError, strerror
from ..state import switches
from ..state.container import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .flags import Call


def hold(call: Call, path: str) -> None:
    """Open the file for the trace, and keep it open to the command's end: whoever reads a FIFO reads on between plans.

    One that the caller names has to be there. For the one beside the containers, which engines cannot help, a warning
    is enough, and there is no trace.
    """
    from ..engine.trace import open_to_append
    try:
        open_to_append(path)
    except OSError as fault:
        told = f"open the trace {path}: {strerror(fault.errno or 0)}"
        if path != f"{call.root}/{switches.TRACE_FILE}":
            raise UsageError(told) from None
        call.log.warning(told)
        call.trace = ""


def narrow(call: Call, annotations: Mapping[str, str] | None = None) -> None:
    """Take the trace from a call whose container has not the annotation, or has it say false.

    annotations   of the config; None: of the container that is there, if one is
    """
    if annotations is None:
        if not call.arguments:
            return
        try:
            annotations = Container.load(call.root, call.id).state["annotations"]
        except PyruncError:          # create: it looks again when it has read the config
            return
    if not switches.traced(annotations, call.settings["trace-annotation"]):
        call.trace = ""
