"""The executables of the suite, one at a time: each with a time limit, a process group and a session of its own."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .stale import GUEST_ONLY, STALE

PASS, FAIL, EMPTY, TIMEOUT, NOT_RUN = "pass", "fail", "no checks", "time is over", "not run"


@dataclass
class Result:
    """One test under one runtime. ok and not_ok count its checks; stale is why a failure says nothing, or empty."""
    test: str
    verdict: str
    ok: int
    not_ok: int
    seconds: float
    stale: str
    output: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def tests(folder: Path) -> list[str]:
    """Names of the tests built in a runtime-tools checkout. FileNotFoundError when it is none."""
    found = sorted(path.stem for path in (folder / "validation").glob("*/*.t") if path.stem == path.parent.name)
    if not found or not (folder / "runtimetest").exists():
        raise FileNotFoundError(f"{folder} has no validation/NAME/NAME.t or no runtimetest: build runtime-tools first")
    return found


def judge(status: int | None, output: str) -> tuple[str, int, int]:
    """Verdict and counts from the exit status (None: killed for time) and what was printed (Test Anything Protocol)."""
    ok = len(re.findall(r"^ok\b", output, re.M))
    not_ok = len(re.findall(r"^not ok\b", output, re.M))
    if status is None:
        return TIMEOUT, ok, not_ok
    if status or not_ok or "Bail out!" in output:
        return FAIL, ok, not_ok
    return (PASS if ok else EMPTY), ok, not_ok


def run_one(folder: Path, test: str, runtime: Path, limit: float) -> Result:
    """Run one test; after limit seconds it and what it started are killed."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as record:
        process = subprocess.Popen(
            [f"validation/{test}/{test}.t"], cwd=folder, env={**os.environ, "RUNTIME": str(runtime)},
            stdin=subprocess.DEVNULL, stdout=record, stderr=subprocess.STDOUT, start_new_session=True)
        status: int | None
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = None
        record.seek(0)
        output = record.read().decode(errors="replace")
    verdict, ok, not_ok = judge(status, output)
    return Result(test, verdict, ok, not_ok, round(time.monotonic() - began, 1), STALE.get(test, ""), output)


def run(folder: Path, names: list[str], runtime: Path, limit: float, dangerous: bool) -> Iterator[Result]:
    """Each test in turn; unless dangerous, those that may harm the machine are reported as not run."""
    for test in names:
        if test in GUEST_ONLY and not dangerous:
            yield Result(test, NOT_RUN, 0, 0, 0.0, GUEST_ONLY[test], "")
        else:
            yield run_one(folder, test, runtime, limit)
