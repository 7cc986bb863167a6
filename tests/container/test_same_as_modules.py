"""The program says what its modules say: those that are frozen into it have lost docstrings and annotations, and a
command that looks at them answers something else there than in most other tests, which call its module."""
from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import MOUNTS, docker_like
from tests.runtimes import Runtime
from tests.seccomp_profile import engine_sized

#: BUNDLE, OTHER: a bundle, and one with faults; ID, TRACE, REPORT, FACTS: a container, and files of earlier commands.
COMMANDS = [line.split() for line in """
    --help
    explain --bundle BUNDLE
    explain --bundle OTHER
    explain --bundle OTHER mounts binds.source
    explain --bundle BUNDLE --format json
    explain --bundle BUNDLE --format lines
    explain --bundle BUNDLE --as nobody
    explain --bundle BUNDLE --diff nobody
    explain --bundle BUNDLE --diff OTHER --format json
    explain --bundle BUNDLE --host FACTS
    explain --bundle BUNDLE --diff FACTS
    explain --bundle BUNDLE --syscall clone
    explain --bundle BUNDLE --syscall clone 0x10000000
    explain --bundle BUNDLE --syscall getpid --format json
    explain --report REPORT
    explain run --bundle BUNDLE
    explain exec ID sh
    explain update --pids-limit 7 ID
    explain delete ID
    check --bundle BUNDLE
    check --bundle OTHER
    check --bundle OTHER --format json
    doctor
    doctor --format json
    why
    why --all
    why ID
    report --output - --no-doctor
    trace show TRACE
    trace show --all TRACE
    trace show --format html TRACE TRACE
    trace show --format chrome TRACE
    trace diff TRACE TRACE
    completion bash
    completion zsh
    features
    state ID
    list --format json
    spec --config FILE
    step ID
    events --stats ID
    ps ID
    explain --nosuch
    explain nosuch --bundle BUNDLE
    check --bundle /nonexistent
    why nosuch
    nosuch
""".strip().splitlines()]
#: What another process, or another time, says differently.
MOVING = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+( UTC|Z)?|[\d.]+ (s|ms|min) ago|\bpid \d+|\"pid\": ?\d+")


@pytest.fixture
def words(runtime: Runtime, place: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What stands for the words of COMMANDS, with all of it made by the program."""
    monkeypatch.delenv("PYRUNC_REPORTS", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]},
                                                          linux={"seccomp": engine_sized()}))
    missing = {"destination": "/data", "source": "/no/such", "options": ["bind"]}
    bad: dict[str, Any] = docker_like(process={"args": ["nosuch"]}, mounts=[*MOUNTS, missing], hostname="web",
                                      rootfsPropogation="slave")
    other = bundles.bundle(place / "other", bad)
    runtime.create(name, bundle)
    runtime.ok("start", name)
    assert runtime("--trace", place / "trace", "create", "--bundle", other, f"{name}b").status == 1
    (place / "facts").write_text(runtime.ok("doctor", "--format", "json").stdout)
    runtime.ok("report", "--output", place / "report", "--no-doctor")
    return {"BUNDLE": str(bundle), "OTHER": str(other), "ID": name, "TRACE": str(place / "trace"),
            "REPORT": str(place / "report"), "FACTS": str(place / "facts"), "FILE": str(place / "spec.json")}


@pytest.mark.timeout(600)
def test_every_command_says_the_same(runtime: Runtime, words: dict[str, str], place: Path, name: str) -> None:
    facts = json.loads(Path(words["FACTS"]).read_text())["facts"]["host"]
    assert facts["euid"] == 0 and len(facts) > 10, "there is something to compare"
    for command in COMMANDS:
        argv = runtime.argv(*(words.get(word, word) for word in command))
        said = []
        for program in (argv[:1], [sys.executable, "-m", "pyrunc"]):
            Path(words["FILE"]).unlink(missing_ok=True)
            done = subprocess.run([*program, *argv[1:]], capture_output=True, text=True, check=False, timeout=60)
            said.append([f"{done.returncode}\n{done.stdout}\n{done.stderr}"])
        one, two = (MOVING.sub("", text).splitlines() for text, in said)
        assert one == two, command
    runtime.ok("delete", "--force", name)
