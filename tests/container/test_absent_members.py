"""Configs that lack what the specification requires, or have what it does not know, and that runc and crun run."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import bundles, runtimes
from tests.bundles import docker_like
from tests.runtimes import Runtime

SHOW = "id; ulimit -c; cat /proc/self/uid_map; stat -c %t:%T:%F /dev/x; grep Seccomp: /proc/self/status; : </dev/probe"
PROBE = {"type": "c", "path": "/dev/probe", "major": 1, "minor": 11}      # kmsg: no container may open it by default
ALL = [{"containerID": 0, "hostID": 0, "size": 2**32 - 1}]
SPACES = bundles.namespaces("pid", "network", "ipc", "uts", "mount", "cgroup")
ARGUMENT = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}


def process(**changes: Any) -> dict[str, Any]:
    return {"process": changes}


def linux(**changes: Any) -> dict[str, Any]:
    return {"linux": changes}


def rules(*devices: dict[str, Any]) -> dict[str, Any]:
    return linux(devices=[PROBE], resources={"devices": [{"allow": False, "access": "rwm"}, *devices]})


def filtered(**changes: Any) -> dict[str, Any]:
    rule = {"names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "args": [ARGUMENT], **changes}
    return linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})


def lacking(member: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in ARGUMENT.items() if key != member}]


def mapped(**absent: Any) -> dict[str, Any]:
    mappings = [{key: value for key, value in ALL[0].items() if key not in absent}]
    return linux(namespaces=[*SPACES[:5], {"type": "user"}], uidMappings=mappings, gidMappings=ALL)


CASES: dict[str, dict[str, Any]] = {
    "no ids": process(user={"uid": None, "gid": None, "additionalGids": None}),
    "no uid": process(user={"uid": None, "gid": 7}),
    "no gid": process(user={"uid": 7, "gid": None}),
    "no height": process(consoleSize={"width": 80}),
    "no width": process(consoleSize={"height": 24}),
    "no hard limit": process(rlimits=[{"type": "RLIMIT_CORE", "soft": 0}]),
    "no soft limit": process(rlimits=[{"type": "RLIMIT_CORE", "hard": 4096}]),
    "no limits": process(rlimits=[{"type": "RLIMIT_CORE"}]),
    "no I/O priority": process(ioPriority={"class": "IOPRIO_CLASS_BE"}),
    "no containerID": mapped(containerID=1),
    "no hostID": mapped(hostID=1),
    "no major": linux(devices=[{"path": "/dev/x", "type": "c", "minor": 3}]),
    "no minor": linux(devices=[{"path": "/dev/x", "type": "c", "major": 1}]),
    "no numbers": linux(devices=[{"path": "/dev/x", "type": "b"}]),
    "no allow": rules({"type": "c", "major": 1, "minor": 11, "access": "rwm"}),
    "rwa": rules({"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rwa"}),
    "a": rules({"allow": True, "type": "c", "major": 1, "minor": 11, "access": "a"}),
    "no index": filtered(args=lacking("index")),
    "no value": filtered(args=lacking("value")),
}


@pytest.fixture
def bundle(place: Path) -> Path:
    return bundles.bundle(place / "bundle")


def outcomes(runtime: Runtime, bundle: Path, name: str, place: Path) -> dict[str, tuple[int, str, str]]:
    told = {}
    for driven in (runtime, *(Runtime(runtimes.find(peer), place / peer) for peer in ("runc", "crun"))):
        done = driven.run(f"{name}-{driven.name}", bundle)
        told[driven.name] = done.status, done.stdout, done.stderr
    return told


@pytest.mark.spec("config.md#posix-platform-user", "uid", "gid")
@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_it_runs_as_under_runc_and_crun(runtime: Runtime, bundle: Path, name: str, place: Path,
                                        changes: dict[str, Any]) -> None:
    bundles.write(bundle, bundles.merge(docker_like(process={"args": ["sh", "-c", SHOW]}), changes))
    told = outcomes(runtime, bundle, name, place)
    ours = told.pop(runtime.name)
    assert "Seccomp:" in ours[1], ours
    for peer, (status, out, err) in told.items():
        assert (ours[0], ours[1]) == (status, out), (peer, err, ours)
        if peer == "runc" or "access" not in str(changes):      # Debian's crun is told to leave cgroups alone natively
            assert ours[2].splitlines()[-1:] == err.splitlines()[-1:], (peer, err, ours)


#: What both peers refuse, too, or take for something that nobody can have meant.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no size": (mapped(size=1), "linux.uidMappings[0].size"),
    "no type of a limit": (process(rlimits=[{"soft": 0, "hard": 0}]), "process.rlimits[0].type"),
    "hard below soft": (process(rlimits=[{"type": "RLIMIT_CORE", "soft": 1}]), "process.rlimits[0].soft"),
    "no type of a device": (linux(devices=[{"path": "/dev/x", "major": 1, "minor": 3}]), "linux.devices[0].type"),
    "no operator": (filtered(args=lacking("op")), "linux.seccomp.syscalls[0].args[0].op"),
    "no action": (filtered(action=None), "linux.seccomp.syscalls[0].action"),
    "no type of a namespace": (linux(namespaces=[*SPACES, {"path": ""}]), "linux.namespaces[6].type"),
    "no destination": ({"mounts": [*bundles.MOUNTS, {"type": "tmpfs", "source": "x"}]}, "mounts[7].destination"),
    "no path of the root": ({"root": {"path": None}}, "root.path"),
    "no cwd": (process(cwd=None), "process.cwd"),
}


@pytest.mark.parametrize(("changes", "where"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_meaning_is_refused_by_all(runtime: Runtime, bundle: Path, name: str, place: Path,
                                               changes: dict[str, Any], where: str) -> None:
    bundles.write(bundle, bundles.merge(docker_like(), changes))
    told = outcomes(runtime, bundle, name, place)
    assert all(status for status, _, _ in told.values()), told
    assert f"at {where} in config.json" in told[runtime.name][2]
