"""exec: what a process file or the command line leaves out is the container's, never the caller's or the host's."""
from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from pyrunc.config import shape
from tests import bundles
from tests.bundles import docker_like, merge, namespaces
from tests.console import Console
from tests.runtimes import Runtime

DOCUMENT = Path(__file__).parents[2] / "docs/process.md"
IDS = [{"containerID": 0, "hostID": 0, "size": 65536}]
KILL_AND_RAW = ["CAP_KILL", "CAP_NET_RAW"]
LAST_CPU = str(max(os.sched_getaffinity(0)))
#: A value of every property that nobody has by chance.
SPECIAL: dict[str, Any] = {
    "args": ["sleep", "1000"], "cwd": "/var", "env": [bundles.PATH, "MARK=of the container"],
    "user": {"uid": 1000, "gid": 1001, "umask": 0o74, "additionalGids": [7, 9]},
    "capabilities": {"bounding": KILL_AND_RAW, "permitted": KILL_AND_RAW, "effective": KILL_AND_RAW,
                     "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]},
    "noNewPrivileges": True, "oomScoreAdj": 321, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456}],
    "scheduler": {"policy": "SCHED_BATCH", "nice": 5}, "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6},
    "execCPUAffinity": {"final": LAST_CPU},
}
#: What the process is, a line for each.
LOOK = r"""
echo "cwd $PWD"; echo "env $MARK"; echo "uid $(id -u)"; echo "gid $(id -g)"; echo "groups $(id -G)"
echo "umask $(umask)"
sed -n 's/^\(Cap[A-Z][a-z]*\|NoNewPrivs\|Cpus_allowed_list\):\t/\1 /p' /proc/self/status
echo "oom $(cat /proc/self/oom_score_adj)"; echo "files $(ulimit -n) $(ulimit -Hn)"
echo "io $(busybox ionice -p $$)"; echo "scheduler $(cut -d' ' -f19,41 /proc/self/stat)"; echo "tty $(tty)"
"""
SEEN = {
    "cwd": "/var", "env": "of the container", "uid": "1000", "gid": "1001", "groups": "1001 7 9", "umask": "0074",
    "CapInh": f"{1 << 5:016x}", "CapPrm": f"{1 << 5:016x}", "CapEff": f"{1 << 5:016x}", "CapAmb": f"{1 << 5:016x}",
    "CapBnd": f"{1 << 5 | 1 << 13:016x}", "NoNewPrivs": "1", "Cpus_allowed_list": LAST_CPU, "oom": "321",
    "files": "123 456", "io": "best-effort: prio 6", "scheduler": "5 3", "tty": "not a tty",
}
PRIVATE = {"linux": {"namespaces": namespaces("pid", "network", "ipc", "uts", "mount", "cgroup", "user"),
                     "uidMappings": IDS, "gidMappings": IDS}}


def running(runtime: Runtime, place: Path, name: str, *changes: dict[str, Any]) -> Path:
    config = docker_like(process={"args": ["sleep", "1000"]})
    for change in changes:
        config = merge(config, change)
    bundle = bundles.bundle(place / "bundle", config)
    (bundle / "rootfs/bin/sed").symlink_to("busybox")
    (bundle / "rootfs/bin/cut").symlink_to("busybox")
    runtime.create(name, bundle)
    runtime.ok("start", name)
    return bundle


def by_file(runtime: Runtime, name: str, bundle: Path, process: dict[str, Any], script: str = LOOK) -> dict[str, str]:
    file = bundle / "process.json"
    file.write_text(json.dumps({"cwd": "/var", "args": ["sh", "-c", script], **process}))
    return told(runtime.ok("exec", "--process", file, name).stdout)


def told(text: str) -> dict[str, str]:
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in text.splitlines()}


@pytest.mark.parametrize("changes", [{}, PRIVATE], ids=["ids of the host", "user namespace"])
def test_what_is_left_out_is_the_containers(changes: dict[str, Any], runtime: Runtime, place: Path, name: str) -> None:
    bundle = running(runtime, place, name, {"process": SPECIAL}, changes)
    assert told(runtime.ok("exec", name, "sh", "-c", LOOK).stdout) == SEEN
    assert by_file(runtime, name, bundle, {}) == SEEN
    assert by_file(runtime, name, bundle, {"capabilities": None, "apparmorProfile": "", "selinuxLabel": ""}) == SEEN


# A user that the file names has no groups but those named with it; all else stays the container's.
@pytest.mark.parametrize("changes", [{}, PRIVATE], ids=["ids of the host", "user namespace"])
@pytest.mark.parametrize(("user", "differs"), [
    ({"uid": 0, "gid": 0}, {"uid": "0", "gid": "0", "groups": "0"}),
    ({"uid": 5, "gid": 6}, {"uid": "5", "gid": "6", "groups": "6"}),
    ({"uid": 5, "gid": 6, "additionalGids": [3], "umask": 1}, {"uid": "5", "gid": "6", "groups": "6 3",
                                                               "umask": "0001"})])
def test_another_user(user: dict[str, Any], differs: dict[str, str], changes: dict[str, Any], runtime: Runtime,
                      place: Path, name: str) -> None:
    bundle = running(runtime, place, name, {"process": SPECIAL}, changes)
    expected = {**SEEN, **differs}
    if user["uid"] == 0:             # root's execve gives it what inheritable and bounding set hold (capabilities(7))
        expected["CapPrm"] = expected["CapEff"] = SEEN["CapBnd"]
        expected["CapAmb"] = SEEN["CapAmb"]
    assert by_file(runtime, name, bundle, {"user": user}) == expected


# The container's empty sets are not "none given": root gets nothing, and another user's bounding set is empty.
@pytest.mark.parametrize("changes", [{}, PRIVATE], ids=["ids of the host", "user namespace"])
@pytest.mark.parametrize("sets", [{}, {kind: [] for kind in ("bounding", "effective", "permitted")}], ids=["{}", "[]"])
def test_empty_sets_stay_empty(sets: dict[str, Any], changes: dict[str, Any], runtime: Runtime, place: Path,
                               name: str) -> None:
    bundle = running(runtime, place, name, {"process": {"capabilities": None}}, {"process": {"capabilities": sets}},
                     changes)
    script = "grep ^Cap /proc/self/status | tr -s '\\t' ' '; echo made $(mknod /tmp/k c 1 11 2>&1 && echo yes)"
    found = [by_file(runtime, name, bundle, process, script)
             for process in ({}, {"user": {"uid": 0, "gid": 0}}, {"user": {"uid": 5, "gid": 5}})]
    found.append(told(runtime.ok("exec", name, "sh", "-c", script).stdout))
    for said in found:
        assert "yes" not in said.pop("made")
        assert len(said) == 5 and set(said.values()) == {"0" * 16}


@pytest.mark.parametrize(("flags", "differs"), [
    (["--user", "5:6"], {"uid": "5", "gid": "6", "groups": "6 7 9"}),
    (["--user", "5"], {"uid": "5"}),
    (["--additional-gids", "3"], {"groups": "1001 3 7 9"}),
    (["--cwd", "/tmp"], {"cwd": "/tmp"}),
    (["--env", "MARK=x"], {"env": "x"}),
    (["--cap", "CAP_CHOWN"], {"CapBnd": f"{1 << 5 | 1 << 13 | 1:016x}"}),
    (["--no-new-privs=false"], {"NoNewPrivs": "0"}),
    (["--apparmor", "", "--process-label", "", "--cwd", ""], {})])
def test_cli(flags: list[str], differs: dict[str, str], runtime: Runtime, place: Path, name: str) -> None:
    running(runtime, place, name, {"process": SPECIAL})
    assert told(runtime.ok("exec", *flags, name, "sh", "-c", LOOK).stdout) == {**SEEN, **differs}


def test_what_a_file_says_counts_though_it_is_little(runtime: Runtime, place: Path, name: str) -> None:
    bundle = running(runtime, place, name, {"process": SPECIAL})
    said = by_file(runtime, name, bundle, {"noNewPrivileges": False, "env": [bundles.PATH], "capabilities": {},
                                           "user": {"uid": 1000, "gid": 1001, "umask": 0}, "oomScoreAdj": 400})
    assert said == {**SEEN, "NoNewPrivs": "0", "env": "", "umask": "0000", "groups": "1001", "oom": "400",
                    **{f"Cap{kind}": "0" * 16 for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")}}


# The terminal is the caller's matter: that of the container, and its size, are not handed on to a file.
def test_a_terminal_is_asked_for(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={
        "args": ["sleep", "1000"], "terminal": True, "consoleSize": {"width": 33, "height": 22}}))
    with Console(place / "console") as console:
        runtime.create(name, bundle, "--console-socket", str(place / "console"))
        console.accept()
        runtime.ok("start", name)
        file = bundle / "process.json"
        file.write_text(json.dumps({"cwd": "/", "args": ["tty"]}))
        for way in (["--process", file, name], [name, "tty"]):
            outcome = runtime("exec", *way)
            assert (outcome.status, outcome.stdout) == (1, "not a tty\n")


def test_the_table_names_every_property() -> None:
    text = DOCUMENT.read_text().partition("## What an exec leaves out")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`([^`]+)`", row)}
    process = shape.CONFIG[1]["process"][1]
    user = {f"user.{name}" for name in process["user"][1]}
    assert named == {*process, *user}
