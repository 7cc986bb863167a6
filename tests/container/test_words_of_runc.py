"""What callers and people search errors for: the words of runc are in ours, and Debian's runc says them itself.

docs/commands.md has the table. Texts that are newer than Debian's runc are not asked of it.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import bundles, runtimes
from tests.bundles import docker_like
from tests.runtimes import Runtime

AGENT = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/agent",
         "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}


def unified(file: str) -> dict[str, Any]:
    return {"linux": {"resources": {"unified": {file: "1"}}}}


def policy(**members: Any) -> dict[str, Any]:
    return {"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", **members}}}


#: change of the config -> words; whether Debian's runc has them, too
CREATE: dict[str, tuple[dict[str, Any], str, bool]] = {
    "an agent that is not there": ({"linux": {"seccomp": AGENT}}, "failed to connect with seccomp agent", True),
    "a unified file that is not there": (unified("cgroup.nosuch"), 'unable to set unified resource \\"cgroup.nosuch\\"',
                                         True),
    "why": (unified("cgroup.nosuch"), "no such file or directory", True),
    "a unified file of no controller": (unified("foo.bar"), 'unified resource \\"foo.bar\\" can\'t be set: controller '
                                        '\\"foo\\" not available', True),
    "an unknown policy": (policy(mode="MPOL_X"), "invalid memory policy mode", False),
    "an unknown flag": (policy(flags=["MPOL_F_X"]), "invalid memory policy flag", False),
    "no nodes": (policy(nodes="a"), "invalid memory policy nodes", False),
    "a deadline before the runtime": ({"process": {"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 9,
                                                                 "deadline": 5}}}, "invalid argument", False),
    "a missing program": ({"process": {"args": ["nosuch"]}}, 'exec: \\"nosuch\\": executable file not found in $PATH',
                          True),
    "a missing path": ({"process": {"args": ["/nosuch"]}}, "stat /nosuch: no such file or directory", True),
    "a namespace twice": ({"linux": {"namespaces": bundles.namespaces(
        "pid", "pid", "mount", "uts")}}, "duplicated ns", True),
}


@pytest.mark.parametrize(("changes", "words", "older"), CREATE.values(), ids=list(CREATE))
def test_of_create(runtime: Runtime, place: Path, name: str, changes: dict[str, Any], words: str, older: bool) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(**changes))
    for driven in (runtime, *([Runtime(runtimes.find("runc"), place / "runc")] if older else [])):
        outcome = driven.run(f"{name}-{driven.name}", bundle)
        assert outcome.status == 1 and words in outcome.stderr, (driven.name, outcome.stderr)


@pytest.mark.parametrize(("args", "words", "older"), [
    (["--user", "foo"], "bad uid", "parsing foo as int for uid failed"),
    (["--user", "1:x"], "bad gid", "parsing x as int for gid failed"),
    (["--user", "-1"], "bad uid", ""), (["--user", "4294967295"], "bad uid", ""), (["--user", "1_0"], "bad uid", ""),
    (["--cgroup", "../x"], "bad sub cgroup path", "is not a sub cgroup path"),
    (["--cgroup", "nosuch"], "no such file or directory", "no such file or directory"),
])
def test_of_exec(runtime: Runtime, place: Path, name: str, args: list[str], words: str, older: str) -> None:
    """runc of Debian 12 and 13 says it in other words than later ones; its status is 255, too."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    for driven, wanted in ((runtime, words), (Runtime(runtimes.find("runc"), place / "runc"), older)):
        id = f"{name}-{driven.name}"
        driven.ok("run", "--detach", "--bundle", bundle, id)
        outcome = driven("exec", *args, id, "true")
        said = wanted in outcome.stderr or words in outcome.stderr
        assert (outcome.status == 255 and said) or not wanted, (driven.name, outcome.stderr)
        driven.ok("delete", "--force", id)


def test_of_version(runtime: Runtime, place: Path) -> None:
    """Line by line, as engines take it: name, commit, specification."""
    runc = Runtime(runtimes.find("runc"), place / "runc")
    for driven in (runtime, runc):
        lines = driven.ok("--version").stdout.splitlines()
        assert [line.split(" ")[0] for line in lines[:3]] == ["runc", "commit:", "spec:"], lines
    assert [line for line in runtime.ok("--version").stdout.splitlines() if "version" in line][-1].startswith("pyrunc ")
