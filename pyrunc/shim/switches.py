"""Who else watches a shim's plans: the trace and stops, where a file in the state root asks for them (docs/shim.md).

Two looks for files that mostly are not there are all that it costs then: what is needed is imported after that.
"""
from __future__ import annotations

import posix

from ..errors import PyruncError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..engine.observer import Observer
    from ..keeper.operations import Told

#: Operations whose plans can stop.
STOPPING = ("create", "exec", "restore")


def observers(operation: str, root: str, id: str, bundle: str, told: Told | None = None) -> list[Observer]:
    """Those of an operation on one container. bundle: of one that is being made; told: of its worker, without whom
    there are no stops."""
    wants_trace = _there(f"{root}/@trace") or b"PYRUNC_TRACE" in posix.environ
    wants_stops = told is not None and operation in STOPPING and _there(f"{root}/@break")
    if not (wants_trace or wants_stops):
        return []
    annotations = _annotations(root, id, bundle)
    found: list[Observer] = []
    if wants_trace and (path := _trace(root, annotations)):
        from ..engine.trace import TraceFile
        found.append(TraceFile(path, id))
    if wants_stops and told is not None and (asked := _stops(root, annotations)):
        from ..runtime.stopped import Halts
        found.append(Halts(asked, told, True, root, id, operation))
    return found


def _there(path: str) -> bool:
    try:
        posix.lstat(path)
    except OSError:
        return False
    return True


def _trace(root: str, annotations: Callable[[], Mapping[str, str]]) -> str:
    """The file for the trace, as the command line finds it (cli/main.py); "" where this container is not meant."""
    chosen = posix.environ.get(b"PYRUNC_TRACE", b"").decode(errors="surrogateescape")
    if chosen[:1] == "/":                              # a shim's directory is not that of whoever has set it
        return chosen
    from ..state import switches
    path, name = switches.trace(root)
    return path if not name or switches.traced(annotations(), name) else ""


def _stops(root: str, annotations: Callable[[], Mapping[str, str]]) -> list[str]:
    from ..state import switches
    asked, name = switches.stops(root)
    return switches.stops_of(asked, annotations(), name) if name else asked


def _annotations(root: str, id: str, bundle: str) -> Callable[[], Mapping[str, str]]:
    """The annotations of the container that is there, or of one that is being made; none, when the operation itself
    will say what is wrong."""
    def found() -> Mapping[str, str]:
        try:
            if bundle:
                from ..config.load import load
                return load(bundle).get("annotations") or {}
            from ..state.container import Container
            annotations: Mapping[str, str] = Container.load(root, id).state["annotations"]
            return annotations
        except PyruncError:
            return {}
    return found
