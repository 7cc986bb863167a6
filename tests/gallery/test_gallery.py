"""What pyrunc says of 89 faults, beside runc and crun: what a reader learns of each, and that the page shows it."""
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pyrunc.errors import NOT_FOUND_IN_PATH

from . import everyday, first, others, page, record, run
from .fault import GUEST, Fault

RECORDED = json.loads(record.RECORDED.read_text())
LONGEST = 1024
#: What engines look for in a line (tests/cli/test_engines.py has their sources): a hint must have none of it.
PATTERNS = (NOT_FOUND_IN_PATH, "no such file or directory", "permission denied", "is a directory", "operation not "
                                                                                                   "permitted",
            "already exists", "does not exist", "container not running")
#: Faults for which Docker and Podman report 127 and 126.
MISSING = ("interpreter of a script not there", "program not there", "dynamic loader not there", "script with DOS "
                                                                                                 "line ends",
           "the same in PATH", "the user cannot enter /bin")
NOT_EXECUTABLE = ("seccomp refuses execve", "program that no user may execute", "program is a directory",
                  "program on a noexec mount")


def said(fault: Fault, name: str) -> str:
    line: str = RECORDED["faults"][fault.name][name][1]
    return line


def figures(faults: tuple[Fault, ...], name: str) -> dict[str, int]:
    """How many lines say the cause, the place, what to do; and how many faults have a place, and can have a finding."""
    marks = [page.marks(fault, said(fault, name)) for fault in faults]
    return {"cause": sum("C" in mark for mark in marks), "place": sum("P" in mark for mark in marks),
            "fix": sum("F" in mark for mark in marks), "with a place": sum(bool(fault.place) for fault in faults)}


def test_every_fault_is_recorded_and_shown() -> None:
    assert len(first.FAULTS) == 24 and len(record.EVERYDAY) == 65
    assert len(everyday.FAULTS) == 44 and len(others.OF_USERS) == 10 and len(others.OF_THE_GUEST) == 11
    assert list(RECORDED["faults"]) == [fault.name for fault in record.ALL]
    assert page.shown() == page.render(RECORDED)


def test_figures(capsys: pytest.CaptureFixture[str]) -> None:
    found = {(title, name): figures(faults, name) for title, faults in (
        ("gallery", first.FAULTS), ("everyday", record.EVERYDAY)) for name in ("pyrunc", run.CHECK)}
    with capsys.disabled():
        for (title, name), numbers in found.items():
            print(f"\n{title:<9}{name:<7}", " ".join(f"{key} {number}" for key, number in numbers.items()), end="")
        print()
    gallery, everyday_ = found["gallery", "pyrunc"], found["everyday", "pyrunc"]
    assert gallery["cause"] >= 23 and everyday_["cause"] >= 62 and everyday_["fix"] >= 40
    assert found["gallery", "check"]["cause"] >= 22 and found["everyday", "check"]["cause"] >= 50


@pytest.mark.parametrize("fault", record.ALL, ids=lambda fault: fault.name)
def test_a_line(fault: Fault) -> None:
    """One line, not too long, with the place of what has one; engines are not misled by its hint."""
    line = said(fault, "pyrunc")
    assert len(line.encode()) <= LONGEST and "\n" not in line
    assert all(len(part.encode()) <= LONGEST for part in said(fault, "check").split(" | "))
    if fault.place and line != run.SILENT:
        assert fault.has_place(line), line
    hint = line.partition("; hint: ")[2]
    assert not [pattern for pattern in PATTERNS if pattern in hint]
    status, _ = RECORDED["faults"][fault.name]["pyrunc"]
    assert (status == 0) == (line == run.SILENT or line.startswith("warning: "))


@pytest.mark.parametrize(("names", "patterns"), [(MISSING, PATTERNS[:2]), (NOT_EXECUTABLE, PATTERNS[2:5])])
def test_exit_codes_of_engines(names: tuple[str, ...], patterns: tuple[str, ...]) -> None:
    """moby/daemon/start.go, podman/libpod/define/exec_codes.go: 127, and 126 for what is there."""
    for fault in record.ALL:
        if fault.name in names:
            assert any(pattern in said(fault, "pyrunc") for pattern in patterns), fault.name


def still_said(fault: Fault, place: Path) -> None:
    """pyrunc and check say today what the page shows."""
    now = run.lines(fault, place, ("pyrunc", run.CHECK))
    for name, line in now.items():
        assert line.as_json() == RECORDED["faults"][fault.name][name], name


@pytest.mark.parametrize("fault", record.NATIVE, ids=lambda fault: fault.name)
def test_what_is_shown_is_what_is_said(private_world: None, place: Path, fault: Fault) -> None:
    """Where the kernel, or who made its cgroups, is another, only what a reader learns has to be the same."""
    now = run.lines(fault, place, ("pyrunc", run.CHECK))
    for name, line in now.items():
        recorded = said(fault, name)
        if line.text != recorded and _words(line.text) != _words(recorded):
            assert page.marks(fault, line.text) >= page.marks(fault, recorded), (name, line.text, recorded)


def _words(line: str) -> str:
    """Without numbers, which a machine may have others of."""
    return re.sub(r"\d+", "N", line)


@pytest.mark.guest
@pytest.mark.parametrize("fault", others.OF_THE_GUEST, ids=lambda fault: fault.name)
def test_what_is_shown_of_the_guest(place: Path, fault: Fault) -> None:
    assert fault.where == GUEST
    still_said(fault, place)
