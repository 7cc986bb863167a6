"""conformance/runtime_tools: verdicts, time limits, and the three reports, on a suite of shell scripts."""
from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conformance.runtime_tools import suite
from conformance.runtime_tools.stale import GUEST_ONLY, STALE
from tests.guest.machine import CHECKOUT

SCRIPTS = {
    "create": 'echo "ok 1 - $RUNTIME"; echo "ok 2"; echo 1..2',
    "hostname": "echo 'ok 1'; echo 'not ok 2 - no'; echo 1..2",
    "kill": "sleep 60",
    "hooks": "echo 1..0",
    "delete": "echo 'not ok 1 - attempting to `delete` a container that is not `stopped` MUST generate an error'",
    "start": "echo 'not ok 1 - start'; echo 'not ok 2 - it MUST generate an error if `process` was not set'",
    "linux_ns_itype": "touch harmed",
    "misc_props": "mkdir b; tar xf rootfs-amd64.tar.gz -C b; test ! -e {folder}/b && ./b/runtimetest && cat b/etc/made",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, script in SCRIPTS.items():
        path = tmp_path / "validation" / name / f"{name}.t"
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{script.replace('{folder}', str(tmp_path))}\n")
        path.chmod(0o755)
    (tmp_path / "VERSION").write_text("0.9.0\n")
    program(tmp_path / "runtimetest", "echo ok 1")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/made").write_text("ok 2\n")
    with tarfile.open(tmp_path / "rootfs-amd64.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "etc", "etc")
    program(tmp_path / "fake", "echo fake version 1")
    return tmp_path


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def run(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "conformance", "runtime-tools", "--runtime-tools", folder, *words],
                          check=False, capture_output=True, text=True, timeout=60, cwd=CHECKOUT)


@pytest.mark.parametrize(("status", "output", "verdict"), [
    (0, "ok 1 - a\nok 2\n", (suite.PASS, 2, 0)), (0, "ok 1\nnot ok 2\n", (suite.FAIL, 1, 1)),
    (1, "ok 1\n", (suite.FAIL, 1, 0)), (0, "Bail out! no\n", (suite.FAIL, 0, 0)), (0, "1..0\n", (suite.EMPTY, 0, 0)),
    (None, "ok 1\n", (suite.TIMEOUT, 1, 0)), (0, "# ok in a comment\n1..0\n", (suite.EMPTY, 0, 0)),
    (0, "the runtime refused it\n", (suite.PASS, 0, 0)), (0, "ok 1 # SKIP not here\n1..1\n", (suite.SKIPPED, 1, 0))])
def test_verdicts(status: int | None, output: str, verdict: tuple[str, int, int]) -> None:
    assert suite.judge(status, output) == verdict


LIMIT = "not ok 13 - has expected soft RLIMIT_NOFILE\n"


@pytest.mark.parametrize(("test", "status", "output", "excused"), [
    ("process_rlimits", 0, f"ok 1\n{LIMIT}", True),                 # the one check that is known to say nothing
    ("process_rlimits", 0, f"not ok 1 - hostname\n{LIMIT}", False),  # another one, too
    ("process_rlimits", 1, "failed to create the container\n", False),
    ("process_rlimits", None, LIMIT, False),                        # it hangs
    ("process_rlimits", 0, "ok 1\n", False),                        # nothing to excuse
    ("pidfile", 0, "not ok 1 - anything\n", True), ("linux_cgroups_cpus", None, "", True),
    ("create", 0, "not ok 1\n", False)])
def test_only_what_is_known_is_excused(test: str, status: int | None, output: str, excused: bool) -> None:
    assert suite.result(test, status, output, 0).excused is excused


def test_a_whole_run(folder: Path) -> None:
    files = [word for kind in ("text", "json", "junit") for word in (f"--{kind}", folder / kind)]
    done = run(folder, "--runtime", folder / "fake", "--timeout", "8", *files)
    assert done.returncode == 1, done.stderr
    column = json.loads((folder / "json").read_text())["results"]["fake"]
    verdicts = {entry["test"]: entry["verdict"] for entry in column}
    assert verdicts == {"create": "pass", "hostname": "fail", "kill": "time is over", "hooks": "no checks",
                        "delete": "fail", "start": "fail", "linux_ns_itype": "not run", "misc_props": "pass"}
    assert not (folder / "harmed").exists()
    assert (folder / "text").read_text() == done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "runtime-tools: 0.9.0" and "fake: fake version 1" in lines
    assert f"* delete: {STALE['delete'].why}" in lines and "= of these, stale  1" in lines
    assert f"* linux_ns_itype: {GUEST_ONLY['linux_ns_itype']}" in lines
    assert "misc_props         pass (2/2)" in lines
    assert any(line.startswith("  misc_props: its bundle lacks") for line in lines)
    found = ElementTree.parse(folder / "junit").iter("testcase")
    cases = {case.get("name"): [child.tag for child in case] for case in found}
    assert cases == {"create": [], "hostname": ["failure"], "kill": ["failure"], "hooks": [], "delete": ["skipped"],
                     "start": ["failure"], "linux_ns_itype": ["skipped"], "misc_props": []}


def test_several_runtimes_and_an_earlier_run(folder: Path) -> None:
    earlier = folder / "earlier.json"
    assert run(folder, "--runtime", f"old={folder}/fake", "--test", "hostname", "--json", earlier).returncode == 1
    other = program(folder / "other", "echo other version 2")
    done = run(folder, "--runtime", folder / "fake", "--runtime", f"new={other}", "--test", "create", "--with", earlier)
    assert done.returncode == 1, "what failed earlier still fails"
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["new:", "other", "version", "2"] in lines and ["old:", "fake", "version", "1"] in lines
    assert ["test", "old", "fake", "new"] in lines
    assert ["create", "-", "pass", "(2/2)", "pass", "(2/2)"] in lines
    assert ["hostname", "fail", "(1/2)", "-", "-"] in lines
    both = run(folder, "--runtime", folder / "fake", "--runtime", folder / "fake")
    assert both.returncode == 2 and "two runtimes are named fake" in both.stderr


def test_a_runtime_of_an_older_specification(folder: Path) -> None:
    program(folder / "fake", 'if [ "$1" = --version ]; then echo fake 1; else cat "$3/config.json"; exit 3; fi')
    config = folder / "config.json"
    program(folder / "validation/create/create.t", f"echo ok 1; $RUNTIME create --bundle {folder} ID; echo status $?")
    words = "--runtime", folder / "fake", "--test", "create", "--json", folder / "json"
    for given, wanted in (('{"ociVersion": "1.3.0"}', '{"ociVersion":"1.0.2"}'),
                          ('{"ociVersion": "invalid"}', '{"ociVersion": "invalid"}')):
        config.write_text(given)
        done = run(folder, *words, "--oci-version", "fake=1.0.2")
        assert done.returncode == 0, done.stderr
        output = json.loads((folder / "json").read_text())["results"]["fake"][0]["output"]
        assert output == f"ok 1\n{wanted}status 3\n"
    assert "fake: fake 1, with ociVersion 1.0.2" in done.stdout.splitlines()
    assert run(folder, *words, "--oci-version", "crun=1.0.2").returncode == 2


def test_what_a_test_leaves_is_deleted(folder: Path) -> None:
    mine, theirs, new = "a" * 8 + "-aaaa-aaaa-aaaa-" + "a" * 12, "engine", "b" * 8 + "-bbbb-bbbb-bbbb-" + "b" * 12
    program(folder / "fake", f"""cd {folder}; case $1 in
        --version) echo fake 1 ;; create) touch there/$2 there/{theirs}-2 ;; list) ls there ;;
        delete) rm there/$3 ;; esac""")
    (folder / "there").mkdir()
    for name in (mine, theirs):
        (folder / "there" / name).touch()
    program(folder / "validation/create/create.t", f"$RUNTIME create {new}; echo ok 1")
    assert run(folder, "--runtime", folder / "fake", "--test", "create").returncode == 0
    assert {path.name for path in (folder / "there").iterdir()} == {mine, theirs, f"{theirs}-2"}


def test_only_stale_failures_are_no_failure(folder: Path) -> None:
    assert run(folder, "--runtime", folder / "fake", "--test", "create", "--test", "delete").returncode == 0


def test_a_folder_without_the_suite_is_told(folder: Path) -> None:
    (folder / "runtimetest").unlink()
    done = run(folder, "--runtime", folder / "fake")
    assert done.returncode == 2 and "build runtime-tools first" in done.stderr


def test_every_stale_test_is_explained_in_the_document() -> None:
    document = " ".join((CHECKOUT / "docs/conformance.md").read_text().split())
    by_reason: dict[str, list[str]] = {}
    for test, stale in STALE.items():
        by_reason.setdefault(stale.why, []).append(f"`{test}`")
    for why, tests in by_reason.items():
        assert f"- {', '.join(tests)}: {why}" in document
