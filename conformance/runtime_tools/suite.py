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

from . import prepare
from .stale import GUEST_ONLY, STALE

PASS, FAIL, EMPTY, SKIPPED, TIMEOUT, NOT_RUN = "pass", "fail", "no checks", "skipped", "time is over", "not run"


@dataclass
class Result:
    """One test under one runtime. ok and not_ok count its checks; stale is why some of them say nothing, or empty.

    excused: it did not pass, and only for that reason.
    """
    test: str
    verdict: str
    ok: int
    not_ok: int
    seconds: float
    stale: str
    excused: bool
    output: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def failed(self) -> bool:
        """Whether this speaks against the runtime."""
        return self.verdict in (FAIL, TIMEOUT) and not self.excused


def tests(folder: Path) -> list[str]:
    """Names of the tests built in a runtime-tools checkout. FileNotFoundError when it is none."""
    found = sorted(path.stem for path in (folder / "validation").glob("*/*.t") if path.stem == path.parent.name)
    if not found or not (folder / "runtimetest").exists():
        raise FileNotFoundError(f"{folder} has no validation/NAME/NAME.t or no runtimetest: build runtime-tools first")
    return found


def failed_checks(output: str) -> list[str]:
    return re.findall(r"^not ok\b.*", output, re.M)


def judge(status: int | None, output: str) -> tuple[str, int, int]:
    """Verdict and counts from the exit status (None: killed for time) and what was printed (Test Anything Protocol).

    A test without checks that planned none either (`1..0`) says nothing; one without a plan speaks by its exit status.
    """
    checks = re.findall(r"^ok\b.*", output, re.M)
    ok, not_ok = len(checks), len(failed_checks(output))
    if status is None:
        return TIMEOUT, ok, not_ok
    if status or not_ok or "Bail out!" in output:
        return FAIL, ok, not_ok
    if ok:
        return (SKIPPED if all("# SKIP" in check for check in checks) else PASS), ok, 0
    return (EMPTY if re.search(r"^1\.\.", output, re.M) else PASS), 0, 0


def result(test: str, status: int | None, output: str, seconds: float) -> Result:
    verdict, ok, not_ok = judge(status, output)
    stale = STALE.get(test)
    excused = stale is not None and ((verdict == FAIL and stale.excuses(failed_checks(output)))
                                     or (verdict == TIMEOUT and not stale.checks))
    return Result(test, verdict, ok, not_ok, round(seconds, 1), stale.why if stale else "", excused, output)


def run_one(folder: Path, test: str, runtime: Path, limit: float, cwd: Path) -> Result:
    """Run one test; after limit seconds it and what it started are killed."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as record:
        process = subprocess.Popen(
            [folder / f"validation/{test}/{test}.t"], cwd=cwd, env={**os.environ, "RUNTIME": str(runtime)},
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
    return result(test, status, output, time.monotonic() - began)


def containers(runtime: Path) -> set[str]:
    """Ids of the runtime's containers that the suite can have made: it gives them random UUIDs."""
    said = subprocess.run([runtime, "list", "-q"], capture_output=True, text=True, check=False).stdout
    return {word for word in said.split() if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", word)}


def run(folder: Path, names: list[str], runtime: Path, limit: float, dangerous: bool, place: Path) -> Iterator[Result]:
    """Each test in turn, with what it lacks; unless dangerous, those that may harm the machine are reported as not run.

    place: a directory of ours. Containers that a test leaves, as those that fail do, are deleted.
    """
    before = containers(runtime)
    for test in names:
        if test in GUEST_ONLY and not dangerous:
            yield Result(test, NOT_RUN, 0, 0, 0.0, GUEST_ONLY[test], True, "")
            continue
        if dangerous:
            prepare.load_profile(test)
        yield run_one(folder, test, runtime, limit, prepare.folder_of(test, folder, place))
        for left in containers(runtime) - before:
            subprocess.run([runtime, "delete", "--force", left], capture_output=True, check=False)
