"""Exit code, shape of the standard output, class of the error and what is left, of both runtimes, line by line."""
from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import runtimes, world
from tests.runtimes import Runtime

from . import bundles_of_cases
from .cases import Case, all_cases
from .differences import ALIKE_SINCE, DIFFERENCES, DIFFERENT_SINCE, Version, from_runc
from .view import View, populated, seen


def runc_version() -> Version:
    """That of the runc that is held beside pyrunc: 1.1.15 of "runc version 1.1.15+ds1"."""
    told = subprocess.run([runtimes.find("runc"), "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"\d+", told.split()[2])[:3]))


CASES = all_cases(from_runc(runc_version()))
_numbers = itertools.count()


class Side:
    """One runtime, the bundles, and a fresh container in the state that a line wants."""

    def __init__(self, path: str, place: Path) -> None:
        place.mkdir(mode=0o755)
        self.place, self.bundles = place, place / "bundles"
        self.bundles.mkdir()
        bundles_of_cases.make(self.bundles)
        self.runtime = Runtime(path, place / "state")
        self.unchanged: dict[str, str] = {}                 # state -> a container that is still as it was made

    def given(self, state: str) -> str:
        """The id of a container that is in this state: the one that the last line left alone, or a new one."""
        if state in self.unchanged:
            return self.unchanged.pop(state)
        name = f"side{os.getpid()}-{next(_numbers)}-{self.runtime.name}"
        if state == "absent":
            return name
        self.runtime.create(name, self.bundles / "waits")
        if state != "created":
            self.runtime.ok("start", name)
        if state == "paused":
            self.runtime.ok("pause", name)
        if state == "stopped":
            self.runtime.ok("kill", name, "KILL")
            self.runtime.wait_for(name, "stopped")
            self.ended(name, 60)
        return name

    def ended(self, name: str, seconds: float) -> None:
        """Wait until the container has no process, at most so long."""
        deadline = time.monotonic() + seconds
        while populated(name) and time.monotonic() < deadline:
            world.children()
            time.sleep(0.02)

    def view(self, case: Case) -> View:
        name = self.given(case.given)
        folder = self.place / name
        folder.mkdir(exist_ok=True)
        words = [word.replace("BUNDLE", str(self.bundles)).replace("FOLDER", str(folder)).replace("ID", name)
                 for word in shlex.split(case.line)]
        outcome = self.runtime(*words, timeout=30)
        self.said = outcome.stdout + outcome.stderr
        deadly = "kill" in words
        if "KILL" in words or (deadly and case.given == "created"):         # runc's own init dies of any signal
            self.ended(name, 60 if "KILL" in words else 3)
        elif deadly or ("exec" in words and "--detach" in words):
            time.sleep(0.3)                                 # what the signal or the process does comes later
        view = seen(self.runtime, outcome, name, folder)
        if not deadly and view.left == (case.given, True, 1, []):
            self.unchanged[case.given] = name
        else:
            self.runtime("delete", "--force", name)
            shutil.rmtree(folder)
        return view


@pytest.fixture(scope="module")
def sides(request: pytest.FixtureRequest, private_world: None,
          tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    place = tmp_path_factory.mktemp("sides")
    pair = (Side(runtimes.find("runc"), place / "runc"),
            Side(runtimes.find(request.config.getoption("runtime")), place / "tested"))
    yield pair
    for side in pair:
        for left in side.runtime.root.iterdir():
            side.runtime("delete", "--force", left.name)


def test_there_are_enough_lines() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 150
    known = {*DIFFERENCES, *ALIKE_SINCE, *DIFFERENT_SINCE}
    assert not known - {case.name for case in CASES}, "differences of lines that are no more"


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_same(case: Case, sides: tuple[Side, Side]) -> None:
    """They differ in the aspects that differences.py gives a reason for, and in no others."""
    runc, tested = (side.view(case) for side in sides)
    assert runc.differences(tested) == set(case.differs), (
        f"runc: {runc}\n{sides[0].said}\n{sides[1].runtime.name}: {tested}\n{sides[1].said}")
