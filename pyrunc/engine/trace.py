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
from .step import BOTH, CHILD, LAST, PARENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .run import Engine

STOPS = "stops"                  # key of Facts.results: breakpoints have put some into the plan
OK, SECOND = '"ok"', 1_000_000_000
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
        both = _numbers(times, len(engine.steps))
        found += [(both[2 * index], both[2 * index + 1], index) for index in childs if both[2 * index]]
    if failed >= 0 and not any(index == failed for _, _, index in found):
        now = time.monotonic_ns()
        found.append((now, now, failed))
    if facts.kept(STOPS, False):                      # only those at which it has stood
        ids = engine.plan.ids
        found = [entry for entry in found if not ids[entry[2]].startswith("stop.")
                 or facts.kept(("stopped", ids[entry[2]].partition(":")[2]), False)]
    found.sort()
    return found


def _numbers(times: Any, count: int) -> Sequence[int]:
    """Begin and end of each step, one after the other, of the page's array: to ask for each member costs ten times."""
    if isinstance(times, list):                       # of a page that stands in (kernel/page.py)
        return [number for slot in times for number in (slot.start, slot.end)]
    from .._native import ffi
    return memoryview(ffi.buffer(times, 16 * count)).cast("Q")


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
    """The records of one run as the file has them, with the members of about. Whoever waits for a container waits for
    this, too; so what is known before is written before: after the clone each look at a step would copy its page."""

    def __init__(self, engine: Engine, about: dict[str, str]) -> None:
        tail = dumps(about)[1:]
        self.engine, self.childs = engine, children(engine)
        self.parts = [
            (step.side == PARENT, f'"side":"{PARENT if step.side == PARENT else CHILD}","zone":"{step.side}",'
             f'"id":"{id}","step":"{step.name}","spec":"{step.spec}","where":{dumps(step.where)},"what":{dumps(what)},{tail}\n')
            for step, id, what in zip(engine.steps, engine.plan.ids, engine.plan.words())]

    def text(self) -> str:
        """The lines, when the run has ended."""
        engine, parts = self.engine, self.parts
        own, child, offset = posix.getpid(), engine.facts.pid, time.time_ns() - time.monotonic_ns()
        since, day, lines = -1, "", []
        for begun, ended, index in ran(engine, self.childs):
            now = begun + offset - since
            if since < 0 or not 0 <= now < SECOND:
                since = (begun + offset) // SECOND * SECOND
                day, now = stamp(since)[:-1], begun + offset - since
            told = OK if ended and index != engine.failed else dumps(outcome_of(engine, ended, index))
            took = round((ended - begun) / 1000, 1) if ended else "null"
            parents, part = parts[index]
            lines.append(f'{{"time":"{day}.{now // 1000:06}Z","duration":{took},"pid":{own if parents else child},'
                         f'"outcome":{told},{part}')
        return "".join(lines)


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

    def before_plan(self, run: Engine) -> None:
        self.runs += 1
        self.lines = Lines(run, {"container": self.container, "command": run.plan.command,
                                 "plan": f"{posix.getpid():x}-{time.time_ns():x}-{self.runs}", "version": __version__})

    def after_plan(self, run: Engine) -> None:
        data = self.lines.text().encode()
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
