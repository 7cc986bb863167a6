"""Few descriptors, as by `ulimit -n`: every command works, or fails with one line and leaves things as they were."""
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.faults.injection import Outcome
from tests.runtimes import Runtime

#: From what no program can start with to what is enough for each.
LIMITS = range(3, 31)
ENOUGH = 30


def run(argv: list[str], number: int, place: Path) -> Outcome:
    """The hard limit, too, as a shell sets both."""
    script = f"ulimit -n {number}; exec \"$@\""
    with (place / "out").open("w") as out, (place / "err").open("w") as err:
        done = subprocess.run(["/bin/sh", "-c", script, "sh", *argv], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                              timeout=60, check=False)
    status = done.returncode if done.returncode >= 0 else 200 - done.returncode
    return Outcome(status, (place / "out").read_text(), (place / "err").read_text())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", scenarios.ALL, ids=lambda kind: kind.name)
def test_few_descriptors(kind: type[scenarios.Scenario], runtime: Runtime, place: Path, name: str) -> None:
    scenario = kind(runtime, place)
    failures, worked = [], []
    for number in LIMITS:
        id = f"{name}-{number}"
        scenario.prepare(id)
        outcome = run(scenario.argv(id), number, place)
        if wrong := scenario.wrong(id, outcome):
            failures.append(f"ulimit -n {number}: {wrong}")
        if outcome.status == 0:
            worked.append(number)
    assert not failures, "\n".join(failures)
    assert ENOUGH in worked and worked == list(range(worked[0], ENOUGH + 1)), worked
