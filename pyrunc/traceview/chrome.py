"""A trace in the form that Perfetto and chrome://tracing open (the Trace Event Format: complete events, "ph": "X")."""
from __future__ import annotations

from ..formats.json_text import dumps
from .records import LANES, microseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .records import Run, Span


def chrome(runs: Sequence[Run]) -> str:
    """One JSON object for all runs. Each is a process of the picture, its lanes are that process's threads."""
    events: list[dict[str, Any]] = []
    for number, run in enumerate(runs, 1):
        events += _names(run, number)
        events += _events(run, number)
    return dumps({"displayTimeUnit": "ms", "traceEvents": events}) + "\n"


def _names(run: Run, number: int) -> Iterator[dict[str, Any]]:
    title = " ".join(part for part in (run.command or "run", run.container) if part)
    yield {"ph": "M", "name": "process_name", "pid": number, "tid": 0, "args": {"name": title}}
    yield {"ph": "M", "name": "process_sort_index", "pid": number, "tid": 0, "args": {"sort_index": number}}
    for lane, name in enumerate(LANES):
        yield {"ph": "M", "name": "thread_name", "pid": number, "tid": lane, "args": {"name": name}}
        yield {"ph": "M", "name": "thread_sort_index", "pid": number, "tid": lane, "args": {"sort_index": lane}}


def _events(run: Run, number: int) -> Iterator[dict[str, Any]]:
    zero = microseconds(run.time)
    for span in run.spans:
        yield {"ph": "X", "name": span.id, "cat": "barrier" if span.barrier else span.step.partition(".")[0],
               "pid": number, "tid": LANES.index(span.lane), "ts": round(zero + span.begin, 1),
               "dur": span.duration or 0.0, "args": _about(span), **({} if span.ok else {"cname": "terrible"})}
    for text in run.warnings:
        yield {"ph": "i", "s": "p", "name": f"warning: {text}", "pid": number, "tid": 0,
               "ts": round(zero + run.duration, 1)}


def _about(span: Span) -> dict[str, Any]:
    return {name: value for name, value in (("what", span.what), ("where", span.where), ("spec", span.spec),
                                            ("outcome", span.outcome), ("pid", span.pid)) if value}
