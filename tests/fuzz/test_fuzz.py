"""A short run of the fuzzer with sanitizers; `make -C tests/fuzz SECONDS=3600` is the long one."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyrunc.kernel import last_stage

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def output() -> str:
    done = subprocess.run(["make", "-C", HERE, "SECONDS=3", f"PYTHON={sys.executable}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout


def test_mutated_operations_do_no_harm(output: str) -> None:
    """Not only refused ones: every operation must have been reached, or the fuzzer shows nothing."""
    reached = {int(code): int(times) for code, times in re.findall(r"operation (\d+): (\d+)", output)}
    assert set(range(1, last_stage.OP_LET_GO + 1)) <= set(reached)
    assert min(reached[code] for code in range(1, last_stage.OP_LET_GO + 1)) > 50


def test_hostile_executables_are_explained_on_one_line(output: str) -> None:
    runs, accepted = map(int, re.findall(r"(\d+) runs, (\d+) accepted", output)[1])
    assert runs > accepted > 100
