"""check and explain of any JSON: findings or an error line, never a traceback."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrunc.checks.findings import examine
from pyrunc.cli.main import main
from pyrunc.config.schema import Schemas
from tests.bundles import docker_like, minimal

SCHEMAS = Schemas()
TEXTS = ["", "x", "/", "/proc", "rootfs", "0-3", "a=b", "rw", "bind", "tmpfs", "SCMP_ACT_ERRNO", "CAP_KILL", "\u20ac",
         "user", "RLIMIT_CPU", "c", "\x1b[1m", "a.b[0]", '"', "x" * 300]
NAMES = [
    "", '"', "X", "a.b", "annotations", "args", "bounding", "capabilities", "cpu", "destination", "devices", "env",
    "execCPUAffinity", "hooks", "hugepageLimits", "intelRdt", "ioPriority", "limit", "linux", "memory", "mounts",
    "names", "namespaces", "netDevices", "options", "path", "pids", "prestart", "process", "rdma", "resources",
    "rlimits", "root", "scheduler", "seccomp", "source", "sysctl", "syscalls", "timeOffsets", "timeout", "type",
    "uidMappings", "unified", "user", "x[0]"]
LEAVES = (st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats(allow_nan=False, allow_infinity=False)
          | st.sampled_from(TEXTS) | st.text(max_size=8))
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=4), max_leaves=12)


def whole() -> dict[str, Any]:
    """A config with something of everything, by the schema: what is in it can be damaged in every place."""
    return docker_like(
        annotations={"a": "b"}, hostname="h", domainname="d",
        hooks={kind: [{"path": "/x", "args": ["x"], "env": ["A=b"], "timeout": 3}]
               for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")},
        process={"consoleSize": {"height": 1, "width": 2}, "apparmorProfile": "p", "selinuxLabel": "l",
                 "scheduler": {"policy": "SCHED_FIFO", "priority": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
                 "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 3},
                 "execCPUAffinity": {"initial": "0", "final": "0-1"}},
        linux={"uidMappings": [{"containerID": 0, "hostID": 1, "size": 5}], "sysctl": {"net.ipv4.ip_forward": "1"},
               "gidMappings": [{"containerID": 0, "hostID": 1, "size": 5}], "rootfsPropagation": "slave",
               "devices": [{"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": 438, "uid": 0}],
               "timeOffsets": {"monotonic": {"secs": 1, "nanosecs": 2}}, "netDevices": {"eth0": {"name": "e"}},
               "personality": {"domain": "LINUX"}, "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"},
               "intelRdt": {"closID": "x", "l3CacheSchema": "L3:0=f", "schemata": ["MB:0=10"]},
               "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                           "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [
                               {"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]}]},
               "resources": {"memory": {"limit": 1 << 30}, "cpu": {"shares": 5, "cpus": "0"}, "pids": {"limit": 3},
                             "blockIO": {"weight": 100, "weightDevice": [{"major": 8, "minor": 0, "weight": 5}]},
                             "hugepageLimits": [{"pageSize": "2MB", "limit": 5}], "unified": {"memory.high": "max"},
                             "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 1}]},
                             "rdma": {"mlx": {"hcaHandles": 3}},
                             "devices": [{"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]}})


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, member in members for place in places(member, (*path, key)))]


WHOLE = whole()
PLACES = places(WHOLE)


def put(path: tuple[Any, ...], value: Any, beside: str) -> Any:
    """The whole config with another value at a place or, if a name is given, a member of that name more there."""
    config = json.loads(json.dumps(WHOLE))
    node = config
    for key in path[:-1]:
        node = node[key]
    if beside and isinstance(node, dict) and path:
        node[beside] = value
    elif path:
        node[path[-1]] = value
    else:
        return value
    return config


def judge(folder: Path, config: Any) -> None:
    (folder / "rootfs").mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    for finding in examine(str(folder)):
        assert finding.level in ("error", "warning") and finding.what and str(finding).count("\n") == 0


CALM = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@CALM
@given(ANYTHING)
def test_any_document(tmp_path: Path, config: Any) -> None:
    judge(tmp_path, config)


@CALM
@given(st.sampled_from(PLACES), ANYTHING, st.sampled_from(["", "", *NAMES]))
def test_anything_at_any_place(tmp_path: Path, path: tuple[Any, ...], value: Any, beside: str) -> None:
    judge(tmp_path, put(path, value, beside))


@CALM
@given(st.lists(st.tuples(st.sampled_from(PLACES), ANYTHING), min_size=2, max_size=5))
def test_several_faults_at_once(tmp_path: Path, faults: list[tuple[tuple[Any, ...], Any]]) -> None:
    config = json.loads(json.dumps(WHOLE))
    for path, value in faults:
        node = config
        try:
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = value
        except (LookupError, TypeError):         # an earlier fault has taken the place away
            continue
    judge(tmp_path, config)


VALUES: list[Any] = [[], {}, [[]], [{}], {"X": [[]]}, {"X": {}}, {"X": [{"path": []}]}, None, 0, "", [None], True, 1.5,
                     2**70, {"": ""}, [[[[]]]], {"a.b[0]": [{"\u20ac": [1]}]}, "x"]


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_each_value_at_many_places(number: int, tmp_path: Path) -> None:
    for count, path in enumerate(PLACES[number % 4::4]):
        judge(tmp_path, put(path, VALUES[number], "X" if count % 3 == 0 else ""))


@pytest.mark.parametrize("value", [{"X": [[]]}, [[]], {"X": {}}, 0, None, "", [None], {"prestart": [[]]}], ids=str)
@pytest.mark.parametrize("name", ["ociVersion", "root", "process", "mounts", "hooks", "linux", "annotations"])
def test_the_command_line(name: str, value: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """hooks {"X": [[]]} was a TypeError."""
    (tmp_path / "config.json").write_text(json.dumps({**minimal(), name: value}))
    for words in (["check"], ["check", "--format", "json"], ["explain"]):
        assert main([*words, "--bundle", str(tmp_path)]) in (0, 1)
        told = capfd.readouterr()
        assert "internal error" not in told.err and "Traceback" not in told.err
