"""The lines of a trace, which C writes, are the records that Python makes of the same run."""
from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunc.engine.facts import Facts
from pyrunc.engine.run import Engine
from pyrunc.engine.step import BOTH, CHILD, LAST, PARENT, Plan, Step
from pyrunc.engine.trace import Lines, records
from pyrunc.formats._jsontext import lines
from pyrunc.formats.rfc3339 import stamp

ABOUT = {"container": 'c"1', "command": "create", "plan": "p", "version": "0"}
TEXT = st.text(st.characters(), max_size=30)
MIDNIGHT = 1_767_225_600_000_000_000


class Said(Step):
    name = "said.so"
    spec = "config.md#mounts"
    what: str = ""

    def describe(self) -> str:
        return self.what


class Slot:
    """Of the child's times."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end


def engine(steps: list[tuple[str, str, str, int, int]], pid: int, failed: int, error: Any, child_step: int) -> Engine:
    """A run that has ended. steps: side, where, what, begin, end."""
    plan = Plan("create", [Said(side=side, where=where, what=what) for side, where, what, _, _ in steps])
    made = Engine(plan, None, Facts(), ())  # type: ignore[arg-type]
    times = [(begin, end) for *_, begin, end in steps]
    made.times = [pair if side in (PARENT, BOTH) else (0, 0) for (side, *_), pair in zip(steps, times)]
    made.facts.pid, made.failed, made.error = pid, failed, error
    made.facts.page.times = [Slot(*pair) if side in (CHILD, LAST) else Slot(0, 0)
                             for (side, *_), pair in zip(steps, times)]
    made.facts.page.child_step = child_step
    return made


#: Before, at and after the end of a second and of a day.
BEGINS = st.sampled_from((0, 1, 999_999_999, 1_000_000_000, 86_400_000_000_000)) | st.integers(0, 1 << 50)
STEPS = st.lists(st.tuples(st.sampled_from((PARENT, CHILD, LAST)), TEXT, TEXT, BEGINS,
                           st.just(0) | st.integers(0, 1 << 40)), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, pid=st.sampled_from((0, 7)), failed=st.integers(-1, 11), error=TEXT, child_step=st.integers(-1, 12))
def test_they_are_the_records(steps: list[tuple[str, str, str, int, int]], pid: int, failed: int, error: str,
                              child_step: int) -> None:
    ended = [(side, where, what, begin, begin + took if took else 0) for side, where, what, begin, took in steps]
    made = engine(ended, pid, failed if failed < len(ended) else -1, error, child_step)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "time_ns", lambda: MIDNIGHT + 5)
        patched.setattr(time, "monotonic_ns", lambda: 5)
        told = [json.loads(line) for line in Lines(made, ABOUT).text().decode("ascii").splitlines()]
        wanted = [{**record, **ABOUT} for record in records(made)]
    for line, record in zip(told, wanted, strict=True):
        assert next(iter(line)) == "time" and line.keys() == record.keys()
        took, wanted_took = line.pop("duration"), record.pop("duration")
        assert took is wanted_took is None or took == pytest.approx(wanted_took, abs=0.101)       # both round
        assert line == record


def test_a_page_that_was_written_over_is_not_read_past() -> None:
    """Other processes write the times; the plan's own number of steps is what counts."""
    step = ("a", "child", "", "", "what")
    with pytest.raises(IndexError):
        lines([step], ["a"], [(0, 0)], [0], b"short", stamp, 0, 1, 2, -1, "", 0, 0, "}")
    with pytest.raises(IndexError):
        lines([step], ["a"], [(0, 0)], [-1], bytes(16), stamp, 0, 1, 2, -1, "", 0, 0, "}")
    with pytest.raises(IndexError):
        lines([], [], [(5, 6)], [], b"", stamp, 0, 1, 2, -1, "", 0, 0, "}")
