"""The trace: one JSON line per step that ran, from the times both processes left behind.

    {"time": "2026-01-02T03:04:05.123456Z", "duration": 12.3, "side": "child", "pid": 42, "id": "mounts.proc",
     "step": "mounts.proc", "where": "mounts[0]", "outcome": "ok", "container": "c1", "command": "create", ...}

time is UTC, duration is in microseconds, pid is the process as the runtime sees it, outcome is "ok", the error
line of the step that failed, or "unfinished" for a step the process died in. docs/tracing.md shows what to do
with it.
"""
from __future__ import annotations

import posix
import time

from .. import __version__
from ..errors import strerror
from ..formats.json_text import dumps
from ..formats.rfc3339 import stamp
from .observer import Observer, warn
from .step import LAST, PARENT, Barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .run import Engine

PATIENCE = 1.0                   # seconds for a FIFO that is full


def records(engine: Engine) -> Iterator[dict[str, Any]]:
    """The steps that ran, in the order in which they began."""
    page, facts = engine.facts.page, engine.facts
    offset = time.time_ns() - time.monotonic_ns()
    child_times = page.times if facts.pid else ()     # before the clone the child has none
    ran = []
    for index, step in enumerate(engine.steps):
        begun, ended = engine.times[index]
        if step.side != PARENT and not isinstance(step, Barrier) and child_times:
            begun, ended = child_times[index].start, child_times[index].end
        if index == engine.failed and not begun:
            begun = ended = time.monotonic_ns()
        id = engine.plan.ids[index]
        passed = id.startswith("stop.") and not facts.kept(("stopped", id.partition(":")[2]), False)
        if begun and not passed:
            ran.append((begun, ended, index))
    for begun, ended, index in sorted(ran):
        step = engine.steps[index]
        # After seccomp.load the C stage records the step, but not its time: the filter may forbid asking for it.
        outcome = "ok" if ended or page.child_step > index else "unfinished"
        if index == engine.failed:
            outcome = str(engine.error)
        yield {
            "time": stamp(begun + offset, 6),
            "duration": round((ended - begun) / 1000, 1) if ended else None,
            "side": "child" if step.side == LAST else step.side,
            "zone": step.side,
            "pid": posix.getpid() if step.side == PARENT else facts.pid,
            "id": engine.plan.ids[index],
            "step": step.name,
            "spec": step.spec,
            "where": step.where,
            "what": step.describe(),
            "outcome": outcome,
        }


def open_to_append(path: str) -> int:
    """A descriptor of the file for the trace, made 0600 if it is not there: it may name secrets of the host. A FIFO
    that nobody reads is ENXIO, not a wait."""
    return posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NONBLOCK | posix.O_NOCTTY
                      | posix.O_CLOEXEC, 0o600)


class TraceFile(Observer):
    """Appends the trace of each run to a file. What has been done is done: a fault is a warning.

    container   the id of the container that the plans are about: several may write into one file
    """

    def __init__(self, path: str, container: str) -> None:
        self.path, self.container, self.runs = path, container, 0

    def after_plan(self, run: Engine) -> None:
        self.runs += 1
        about = {"container": self.container, "command": run.plan.command,
                 "plan": f"{posix.getpid():x}-{time.time_ns():x}-{self.runs}", "version": __version__}
        data = "".join(dumps({**record, **about}) + "\n" for record in records(run)).encode()
        try:
            fd = open_to_append(self.path)
            try:
                _write_all(fd, data)
            finally:
                posix.close(fd)
        except OSError as fault:
            warn(run.observers, [f"write the trace {self.path}: {strerror(fault.errno or 0)}"])


def _write_all(fd: int, data: bytes) -> None:
    """To the last byte; OSError (EAGAIN) when whoever reads a FIFO does not read on."""
    while data:
        try:
            data = data[posix.write(fd, data):]
        except BlockingIOError:
            import select
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            if not poll.poll(PATIENCE * 1000):
                raise
