"""One system call fails, each in turn: one clear line and nothing left, nothing lost and nothing weaker, no hanging.

Without --faults a slice is tried: of each process, each call on each thing once, and an errno of the five; with it, by
`make faults`, every call and every errno, which takes hours.
"""
from __future__ import annotations

import errno
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import injection, variants
from tests.faults.injection import Call
from tests.faults.scenarios import Run, Scenario
from tests.runtimes import Runtime


def subject(call: Call) -> tuple[int, str, str]:
    """What one call is as good as another for."""
    return call.process, call.name, re.sub(r"\d+", "N", call.text)


def part(calls: list[Call], number: int) -> Iterator[tuple[Call, int]]:
    """A slice of about this number: spread over the calls, and the errnos taken in turns."""
    different = list({subject(call): call for call in reversed(calls)}.values())[::-1]
    errors = itertools.cycle(injection.ERRORS)
    for call in different[::max(1, len(different) // number)]:
        yield call, injection.HALF if call.name in injection.WRITING and call.occurrence % 2 else next(errors)


def whole(calls: list[Call]) -> Iterator[tuple[Call, int]]:
    for call in calls:
        for error in injection.faults(call):
            yield call, error


@pytest.mark.timeout(24 * 3600)
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=marks) for kind, marks in variants.everywhere()],
                         ids=lambda kind: f"{kind.name}, {kind.where}".removesuffix(", "))
def test_a_call_fails(kind: type[Scenario], request: pytest.FixtureRequest, runtime: Runtime, place: Path,
                      name: str) -> None:
    scenario, log = kind(runtime, place), place / "log"
    scenario.prepare(f"{name}-0")
    calls = injection.calls(scenario.argv(f"{name}-0"), log, scenario.stdin())
    assert scenario.left(f"{name}-0") == ""
    assert len(calls) > 20          # a start from the snapshot makes few
    failures, tried = [], 0
    for call, error in whole(calls) if request.config.getoption("--faults") else part(calls, scenario.slice):
        tried += 1
        id = f"{name}-{tried}"
        scenario.prepare(id)
        outcome = injection.with_fault(scenario.argv(id), log, call, error, scenario.stdin())
        if wrong := scenario.wrong(id, outcome):
            failures.append(f"{call}: {injection.error_name(error)}: {wrong}")
    assert tried >= min(scenario.slice, 10)
    assert not failures, f"{len(failures)} of {tried} faults are not borne:\n" + "\n".join(failures[:40])


def test_run_deletes_whatever_fails_between_two_plans(runtime: Runtime, place: Path, name: str) -> None:
    """Signals are held at each seam."""
    scenario, log = Run(runtime, place), place / "log"
    calls = [call for call in injection.calls(scenario.argv(f"{name}-0"), log)
             if call.name == "rt_sigprocmask" and call.process == 0]
    assert len(calls) > 3
    for call in calls:
        id = f"{name}-{call.occurrence}"
        outcome = injection.with_fault(scenario.argv(id), log, call, errno.ENOSPC)
        assert scenario.wrong(id, outcome) == "", call
