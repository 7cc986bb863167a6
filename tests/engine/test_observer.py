"""What watches a plan: what it is told, and that the step that failed is the one that is called so."""
from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.breakpoints import Breakpoints, Stop
from pyrunc.engine.facts import Facts
from pyrunc.engine.observer import LogLines, Observer
from pyrunc.engine.run import Engine, execute
from pyrunc.engine.step import Barrier, Plan, Step
from pyrunc.engine.trace import TraceFile, records
from pyrunc.errors import PyruncError, StepError
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder


class Limit(Step):
    name = "cgroup.limit"
    value: int
    fault: int = 0

    def describe(self) -> str:
        return f"limit {self.value}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.warnings += [f"warned of {self.value}"] if self.value == 1 else []
        if self.fault:
            raise OSError(self.fault, "", "it")


def limits(*faults: int) -> Plan:
    return Plan("create", [Limit(value=number, fault=fault, where=f"limits[{number}]")
                           for number, fault in enumerate(faults, 1)])


@pytest.mark.parametrize("which", [1, 2, 3])
def test_of_steps_with_one_name_only_the_one_that_failed_is_traced_as_failed(which: int, tmp_path: Path) -> None:
    plan = limits(*(errno.EBUSY if number == which else 0 for number in (1, 2, 3)))
    with pytest.raises(StepError) as caught:
        execute(plan, Recorder(), [TraceFile(str(tmp_path / "trace"), "c")])
    traced = [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]
    assert [(line["id"], line["outcome"]) for line in traced] == [
        *((f"cgroup.limit#{number}", "ok") for number in range(1, which)), (f"cgroup.limit#{which}", str(caught.value))]
    assert [line.get("warnings") for line in traced] == [None] * (which - 1) + [["warned of 1"]]
    assert caught.value.id == f"cgroup.limit#{which}" and caught.value.step == "cgroup.limit"
    assert traced[-1]["where"] == f"limits[{which}]"


class Told(Observer):
    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def before_plan(self, run: Engine) -> None:
        self.told.append(("begin", run.plan.command))

    def before_step(self, run: Engine, index: int) -> None:
        self.told.append(("before", run.plan.ids[index]))

    def after_step(self, run: Engine, index: int) -> None:
        self.told.append(("after", run.plan.ids[index]))

    def failed(self, run: Engine, error: PyruncError) -> None:
        self.told.append(("failed", run.plan.ids[run.failed]))

    def undone(self, run: Engine, index: int) -> None:
        self.told.append(("undone", run.plan.ids[index]))

    def warning(self, text: str) -> None:
        self.told.append(("warning", text))

    def after_plan(self, run: Engine) -> None:
        self.told.append(("end", [line["outcome"] == "ok" for line in records(run)]))


def test_an_observer_is_told_in_order() -> None:
    watcher = Told()
    with pytest.raises(StepError):
        execute(limits(0, errno.EIO), Recorder(), [Observer(), watcher])
    one, two = "cgroup.limit#1", "cgroup.limit#2"
    assert watcher.told == [("begin", "create"), ("before", one), ("after", one), ("before", two), ("failed", two),
                            ("undone", two), ("undone", one), ("warning", "warned of 1"), ("end", [True, False])]


def test_a_breakpoint_may_do_something_else_than_stop() -> None:
    """It is called before the step, with the ids and numbers of the plan as it was."""
    seen: list[tuple[int, str]] = []

    class Note(Breakpoints):
        def reached(self, stop: Any, facts: Facts) -> None:
            seen.append((stop.number, stop.id))

    class Log:
        verbose = False

    plan = Plan("create", [*limits(0, 0).steps, Limit(value=3, side="child"), *limits(0).steps])
    found = Note(["cgroup.limit#2", "3"], Log()).planned(plan)          # type: ignore[arg-type]
    assert [id for id in found.ids if not id.startswith("stop.")] == list(plan.ids)
    assert [step.id for step in found if isinstance(step, Stop) and step.wanted] == ["cgroup.limit#2", "cgroup.limit#4"]
    for step in found:
        if step.name == "stop.here":
            step.apply(Recorder(), Facts())
    assert seen == [(1, "cgroup.limit#2"), (3, "cgroup.limit#4")]
    inside = Note(["cgroup.limit#3"], Log()).planned(plan)              # type: ignore[arg-type]
    assert inside.ids[4:8] == ("stop.begin:cgroup.limit#3", "stop.here:cgroup.limit#3", "stop.end:cgroup.limit#3",
                               "cgroup.limit#3")
    assert isinstance(inside[4], Barrier) and isinstance(inside[6], Barrier)


def test_a_verbose_log_has_every_step() -> None:
    lines: list[str] = []

    class Log:
        verbose = True
        warning = debug = staticmethod(lines.append)

    execute(limits(0, 0), Recorder(), [LogLines(Log())])                # type: ignore[arg-type]
    assert lines == ["warned of 1", "parent: cgroup.limit#1: limit 1: ok", "parent: cgroup.limit#2: limit 2: ok"]


# ---- the plan -------------------------------------------------------------------------------------------------------
def test_an_id_is_the_name_or_the_name_and_a_number() -> None:
    plan = Plan("x", [Limit(value=1), Barrier(label="b"), Limit(value=2)])
    assert plan.ids == ("cgroup.limit#1", "barrier", "cgroup.limit#2")
    assert [line["index"] for line in plan.records()] == [0, 1, 2] and len(plan) == 3


def test_a_step_is_not_written_to_and_says_what_it_is() -> None:
    step = Limit(value=1, where="limits[0]")
    with pytest.raises(AttributeError, match="cannot be changed"):
        step.value = 2
    assert repr(step) == "<parent cgroup.limit limits[0]: limit 1>"
