"""The trace: one JSON line per step that ran, from the times both processes left behind.

    {"time": "2026-01-02T03:04:05.123456Z", "duration": 12.3, "side": "child", "pid": 42, "id": "mounts.proc",
     "step": "mounts.proc", "where": "mounts[0]", "outcome": "ok", "container": "c1", "command": "create", ...}

time is UTC, duration is in microseconds, pid is the process as the runtime sees it, outcome is "ok", the error
line of the step that failed, or "unfinished" for a step the process died in. The last line of a run has its warnings,
if there are any. docs/tracing.md shows what to do with it.
"""
from __future__ import annotations

import posix
import time

from .. import __version__
from ..errors import strerror
from ..formats._jsontext import lines
from ..formats.json_text import dumps
from ..formats.rfc3339 import stamp
from .observer import Observer, warn
from .step import BOTH, LAST, PARENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .run import Engine

STOPS = "stops"                  # key of Facts.results: breakpoints have put some into the plan
PATIENCE = 1.0                   # seconds for a FIFO that is full


def children(engine: Engine) -> list[int]:
    """The steps whose time the child writes down: at a barrier it is the runtime that does."""
    return [index for index, _, side in engine.childs if side != BOTH]


def ran(engine: Engine, childs: Sequence[int]) -> list[tuple[int, int, int]]:
    """(begin, end, index in the plan) of each step that ran, by the monotonic clock in ns, as they began. end is 0 for
    one that its process did not survive. childs: of children()."""
    facts, failed = engine.facts, engine.failed
    times = facts.page.times if facts.pid else ()     # before the clone the child has none
    found = [(begun, ended, index) for index, (begun, ended) in enumerate(engine.times) if begun]
    if times:
        found += [(times[index].start, times[index].end, index) for index in childs if times[index].start]
    if failed >= 0 and not any(index == failed for _, _, index in found):
        now = time.monotonic_ns()
        found.append((now, now, failed))
    if facts.kept(STOPS, False):                      # only those at which it has stood
        ids = engine.plan.ids
        found = [entry for entry in found if not ids[entry[2]].startswith("stop.")
                 or facts.kept(("stopped", ids[entry[2]].partition(":")[2]), False)]
    found.sort()
    return found


def outcome_of(engine: Engine, ended: int, index: int) -> str:
    """ "ok", "unfinished", or the error."""
    if index == engine.failed:
        return str(engine.error)
    # After seccomp.load the C stage records the step, but not its time: the filter may forbid asking for it.
    return "ok" if ended or engine.facts.page.child_step > index else "unfinished"


def records(engine: Engine) -> Iterator[dict[str, Any]]:
    """The steps that ran, in the order in which they began."""
    offset, facts = time.time_ns() - time.monotonic_ns(), engine.facts
    for begun, ended, index in ran(engine, children(engine)):
        step = engine.steps[index]
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
            "outcome": outcome_of(engine, ended, index),
        }


class Lines:
    """The records of one run as the file has them, with the members of about.

    Whoever waits for a container waits for this, too. So what is known before is made before: after the clone each
    object that is looked at costs a copy of its page. C writes the lines (_native/trace_lines.c): it makes none.
    """

    def __init__(self, engine: Engine, about: dict[str, str]) -> None:
        self.tail = dumps(about)[1:]
        self.engine, self.childs, self.rows = engine, children(engine), engine.plan.rows()
        self.names = [step.name for step in engine.steps]

    def text(self) -> bytes:
        """The lines, when the run has ended."""
        engine, facts = self.engine, self.engine.facts
        parents, childs = engine.times, self.childs
        times = _raw(facts.page.times, len(self.names)) if facts.pid else b""
        if facts.kept(STOPS, False):
            left = [not id.startswith("stop.") or bool(facts.kept(("stopped", id.partition(":")[2]), False))
                    for id in engine.plan.ids]
            parents = [pair if keep else (0, 0) for pair, keep in zip(parents, left)]
            childs = [index for index in childs if left[index]]
        now = time.monotonic_ns()
        return lines(self.rows, self.names, parents, childs if len(times) else [], times, stamp, time.time_ns() - now,
                     posix.getpid(), facts.pid, engine.failed, str(engine.error) if engine.failed >= 0 else "",
                     facts.page.child_step, now, self.tail)


def _raw(times: Any, count: int) -> Any:
    """Begin and end of each step in the page's array, as it lies there; b"" for none."""
    if isinstance(times, list):                       # of a page that stands in (kernel/page.py)
        return b"".join(number.to_bytes(8, "little") for slot in times for number in (slot.start, slot.end))
    from .._native import ffi
    return memoryview(ffi.buffer(times, 16 * count))


def open_to_append(path: str) -> int:
    """A descriptor of the file for the trace, made 0600 if it is not there: it may name secrets of the host. A FIFO
    that nobody reads is ENXIO, not a wait."""
    return posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NONBLOCK | posix.O_NOCTTY
                      | posix.O_CLOEXEC, 0o600)


class TraceFile(Observer):
    """Appends the trace of each run to a file. What has been done is done: a fault is a warning.

    container   the id of the container that the plans are about: several may write into one file
    told        what there was to warn of before the first plan
    """

    def __init__(self, path: str, container: str, told: Sequence[str] = ()) -> None:
        self.path, self.container, self.runs = path, container, 0
        self.told = list(told)

    def before_plan(self, run: Engine) -> None:
        self.runs += 1
        self.lines = Lines(run, {"container": self.container, "command": run.plan.command,
                                 "plan": f"{posix.getpid():x}-{time.time_ns():x}-{self.runs}", "version": __version__})

    def warning(self, text: str) -> None:
        self.told.append(text)

    def note(self, text: str) -> None:
        self.told.append(text)

    def after_plan(self, run: Engine) -> None:
        data = self.lines.text()
        if self.told and data:               # of the whole run: in its last record
            data = data[:-2] + b',"warnings":' + dumps(self.told).encode(errors="backslashreplace") + b"}\n"
            self.told = []
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
