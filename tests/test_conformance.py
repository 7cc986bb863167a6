"""conformance/: verdicts, time limits, and the three reports, on a suite of shell scripts."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conformance import suite
from conformance.stale import GUEST_ONLY, STALE
from tests.guest.machine import CHECKOUT

SCRIPTS = {
    "create": 'echo "ok 1 - $RUNTIME"; echo "ok 2"; echo 1..2',
    "hostname": "echo 'ok 1'; echo 'not ok 2 - no'; echo 1..2",
    "kill": "sleep 60",
    "hooks": "echo 1..0",
    "delete": "echo 'not ok 1'",
    "linux_ns_itype": "touch harmed",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, script in SCRIPTS.items():
        path = tmp_path / "validation" / name / f"{name}.t"
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    (tmp_path / "runtimetest").touch()
    runtime = tmp_path / "fake"
    runtime.write_text("#!/bin/sh\necho fake version 1\n")
    runtime.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(("status", "output", "verdict"), [
    (0, "ok 1 - a\nok 2\n", (suite.PASS, 2, 0)), (0, "ok 1\nnot ok 2\n", (suite.FAIL, 1, 1)),
    (1, "ok 1\n", (suite.FAIL, 1, 0)), (0, "Bail out! no\n", (suite.FAIL, 0, 0)), (0, "1..0\n", (suite.EMPTY, 0, 0)),
    (None, "ok 1\n", (suite.TIMEOUT, 1, 0)), (0, "# ok in a comment\n", (suite.EMPTY, 0, 0))])
def test_verdicts(status: int | None, output: str, verdict: tuple[str, int, int]) -> None:
    assert suite.judge(status, output) == verdict


def test_a_whole_run(folder: Path) -> None:
    argv = [sys.executable, "-m", "conformance", "--runtime", str(folder / "fake"), "--runtime-tools", str(folder),
            "--timeout", "1"]
    for kind in ("text", "json", "junit"):
        argv += [f"--{kind}", str(folder / kind)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, cwd=CHECKOUT)
    assert done.returncode == 1, done.stderr
    column = json.loads((folder / "json").read_text())["results"]["fake"]
    verdicts = {entry["test"]: entry["verdict"] for entry in column}
    assert verdicts == {"create": "pass", "hostname": "fail", "kill": "time is over", "hooks": "no checks",
                        "delete": "fail", "linux_ns_itype": "not run"}
    assert not (folder / "harmed").exists()
    assert (folder / "text").read_text() == done.stdout
    lines = done.stdout.splitlines()
    assert "fake: fake version 1" in lines and f"* delete: {STALE['delete']}" in lines
    assert f"* linux_ns_itype: {GUEST_ONLY['linux_ns_itype']}" in lines
    found = ElementTree.parse(folder / "junit").iter("testcase")
    cases = {case.get("name"): [child.tag for child in case] for case in found}
    assert cases == {"create": [], "hostname": ["failure"], "kill": ["failure"], "hooks": [], "delete": ["skipped"],
                     "linux_ns_itype": ["skipped"]}


def test_only_stale_failures_are_no_failure(folder: Path) -> None:
    argv = [sys.executable, "-m", "conformance", "--runtime", str(folder / "fake"), "--runtime-tools", str(folder),
            "--test", "create", "--test", "delete"]
    assert subprocess.run(argv, capture_output=True, check=False, timeout=60, cwd=CHECKOUT).returncode == 0


def test_a_folder_without_the_suite_is_told(folder: Path) -> None:
    (folder / "runtimetest").unlink()
    argv = [sys.executable, "-m", "conformance", "--runtime", str(folder / "fake"), "--runtime-tools", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, cwd=CHECKOUT)
    assert done.returncode == 2 and "build runtime-tools first" in done.stderr
