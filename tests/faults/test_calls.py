"""One system call fails, each in turn: one clear line and nothing left, nothing lost and nothing weaker, no hanging.

Without --faults a slice is tried: of each process, each call on each thing once, and an errno of the five. With it, by
`make faults`, every errno of the first and of the last call of each kind (injection.kinds); with --every-call, of
every call, which takes hours.
"""
from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import injection, variants
from tests.faults.injection import Call
from tests.faults.scenarios import Create, Run, Scenario
from tests.runtimes import Runtime

BESIDE = "beside"


def part(calls: list[Call], number: int) -> Iterator[tuple[Call, int]]:
    """A slice of about this number: spread over the calls, and the errnos taken in turns."""
    different = list({injection.subject(call): call for call in reversed(calls)}.values())[::-1]
    errors = itertools.cycle(injection.ERRORS)
    for call in different[::max(1, len(different) // number)]:
        yield call, injection.HALF if call.name in injection.WRITING and call.occurrence % 2 else next(errors)


def ends(calls: list[Call]) -> list[Call]:
    """The first and the last of each kind, in order."""
    kept = {call for kind in injection.kinds(calls).values() for call in (kind[0], kind[-1])}
    return [call for call in calls if call in kept]


def whole(calls: list[Call]) -> Iterator[tuple[Call, int]]:
    for call in calls:
        for error in injection.faults(call):
            yield call, error


def new(calls: list[Call], known: list[Call]) -> list[Call]:
    """Those of a kind that is not known, in order. What is known was made in the folder BESIDE."""
    moved = [replace(call, on=call.on.replace(f"/{BESIDE}", ""), text=call.text.replace(f"/{BESIDE}", ""))
             for call in known]
    kinds, before = injection.kinds(calls), injection.kinds(moved)
    kept = {call for kind, found in kinds.items() if kind not in before for call in found}
    return [call for call in calls if call in kept]


def made(scenario: Scenario, log: Path, id: str) -> list[Call]:
    """The calls of its command."""
    scenario.prepare(id)
    calls = injection.calls(scenario.argv(id), log, scenario.stdin())
    assert scenario.left(id) == ""
    assert len(calls) > 20          # a start from the snapshot makes few
    return calls


def chosen(calls: list[Call], slice: int, config: pytest.Config) -> Iterator[tuple[Call, int]]:
    if not config.getoption("--faults"):
        return part(calls, slice)
    mine, shares = map(int, config.getoption("--share").split("/"))
    return itertools.islice(whole(calls if config.getoption("--every-call") else ends(calls)), mine - 1, None, shares)


def test_each_kind_of_call_is_tried() -> None:
    """By its first and its last; what follows something else is another kind."""
    def call(name: str, occurrence: int, on: str, text: str = "") -> Call:
        number = next(number for number, known in injection.names().items() if known == name)
        return Call(0, number, occurrence, on, text)
    stats = [call("newfstatat", n, "-", f"/proc/{n}/stat") for n in range(1, 5)]
    calls = [*stats, call("read", 1, "/proc/7/stat", "left over"), call("read", 2, "/proc/8/stat"),
             call("read", 3, "/etc/passwd"), call("newfstatat", 5, "-", "/proc/9/stat")]
    kinds = injection.kinds(calls)
    assert [len(kind) for kind in kinds.values()] == [1, 3, 1, 1, 1, 1]
    assert ends(calls) == [calls[0], calls[1], *calls[3:]]
    assert {*map(injection.subject, ends(calls))} == {*map(injection.subject, calls)}
    assert new(calls, calls[:4]) == calls[4:] and new(calls, calls) == []
    assert new([call("openat", 1, "-", "/tmp/x/file")], [call("openat", 1, "-", f"/tmp/x/{BESIDE}/file")]) == []
    assert len(list(whole(ends(calls)))) == 7 * len(injection.ERRORS)


@pytest.mark.timeout(24 * 3600)
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=marks) for kind, marks in variants.everywhere()],
                         ids=lambda kind: f"{kind.name}, {kind.where}".removesuffix(", "))
def test_a_call_fails(kind: type[Scenario], request: pytest.FixtureRequest, runtime: Runtime, place: Path,
                      name: str) -> None:
    scenario, log = kind(runtime, place), place / "log"
    calls = made(scenario, log, f"{name}-0")
    if kind.beside:
        (place / BESIDE).mkdir()
        calls = new(calls, made(kind.beside(runtime, place / BESIDE), log, f"{name}-0"))
    failures, tried = [], 0
    for call, error in chosen(calls, scenario.slice, request.config):
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


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.EPERM])
def test_a_snapshot_that_cannot_be_copied_at_once_is_mapped(error: int, runtime: Runtime, place: Path, name: str
                                                            ) -> None:
    """A user's create starts from a copy of the program in memory. It ended with status 127 and no word."""
    scenario, log = variants.variant(variants.OfUser, Create)(runtime, place), place / "log"
    calls = made(scenario, log, f"{name}-0")
    copies = [call for call, then in itertools.pairwise(calls) if call.name == "mmap" and then.name == "madvise"]
    assert bool(copies) == ("start: snapshot\n" in runtime.ok("--version").stdout)
    for call in copies:
        outcome = injection.with_fault(scenario.argv(f"{name}-1"), log, call, error)
        assert (outcome.status, outcome.done, scenario.wrong(f"{name}-1", outcome)) == (0, True, "")
