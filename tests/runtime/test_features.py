"""features: what it lists is what the rest of pyrunc takes, name by name, and no more."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyrunc.config.schema import Schemas
from pyrunc.runtime.features import features
from pyrunc.seccomp.compile import program
from pyrunc.seccomp.profile import read
from tests import runtimes
from tests.bundles import docker_like, minimal, namespaces
from tests.config.test_check import first

LINUX: dict[str, Any] = features()["linux"]


def accepted(config: dict[str, Any]) -> bool:
    return first(config) is None


@pytest.mark.spec("features.md#specification-version", "ociVersionMin", "ociVersionMax",
                  "a config of ociVersionMin is accepted", "a config of ociVersionMax is accepted",
                  "ociVersionMax is not less than ociVersionMin")
def test_versions() -> None:
    versions = [features()[key] for key in ("ociVersionMin", "ociVersionMax")]
    assert all(accepted(minimal(ociVersion=version)) for version in versions)
    assert [[int(number) for number in version.split(".")] for version in versions] == [[1, 0, 0], [1, 3, 0]]


# "The Features structure MUST NOT contain properties that are not defined in this version of the Open Container
# Initiative Runtime Specification."
@pytest.mark.spec("features.md#specification-version", "no property of a later version is there")
@pytest.mark.spec("features.md#annotations", "annotations", "annotations are a map of strings")
def test_only_properties_of_this_version() -> None:
    schemas = Schemas()
    schemas.validator("features.json").validate(features())

    def properties(schema: Any) -> set[str]:
        if isinstance(schema, dict):
            return set(schema.get("properties", ())).union(*map(properties, schema.values()))
        return set().union(*map(properties, schema)) if isinstance(schema, list) else set()

    def names(value: Any) -> set[str]:
        if not isinstance(value, dict):
            return set()
        return set(value).union(*(names(part) for key, part in value.items() if key != "annotations"))
    assert names(features()) <= properties(schemas.documents["features.json"])


# "The Features structure is irrelevant to the actual availability of the features in the host operating system."
@pytest.mark.spec("features.md#features-structure", "the features do not depend on the host")
def test_the_same_without_any_host(tmp_path: Path) -> None:
    path = runtimes.for_anyone(runtimes.find())
    own = subprocess.run([path, "features"], capture_output=True, check=True).stdout
    # No /sys, no /proc but the process's own, no privileges.
    script = 'mount -t tmpfs tmpfs /sys && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
    other = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh", path,
                            "features"], capture_output=True, check=True, env={}).stdout
    assert other == own


@pytest.mark.spec("features.md#hooks", "hooks", "each kind is supported")
def test_hooks() -> None:
    assert features()["hooks"] == ["prestart", "createRuntime", "createContainer", "startContainer", "poststart",
                                   "poststop"]
    assert all(accepted(minimal(hooks={kind: [{"path": "/bin/true"}]})) for kind in features()["hooks"])
    assert not accepted(minimal(hooks={kind: [{}] for kind in features()["hooks"]}))


@pytest.mark.spec("features.md#platform-specific-features", "linux")
@pytest.mark.spec("features-linux.md#namespaces", "namespaces", "each type is recognized")
def test_namespaces() -> None:
    assert set(LINUX["namespaces"]) == {"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"}
    mapping = [{"containerID": 0, "hostID": 1, "size": 1}]
    assert accepted(docker_like(linux={"namespaces": namespaces(*LINUX["namespaces"]), "uidMappings": mapping,
                                       "gidMappings": mapping}))


@pytest.mark.spec("features-linux.md#capabilities", "capabilities", "each name is recognized")
def test_capabilities() -> None:
    header = Path("/usr/include/linux/capability.h").read_text()
    assert all(f"#define {name} " in header or f"#define {name}\t" in header for name in LINUX["capabilities"])
    from pyrunc.kernel.constants import CAPABILITIES
    assert set(LINUX["capabilities"]) == set(CAPABILITIES)
    assert accepted(docker_like(process={"capabilities": {"bounding": LINUX["capabilities"]}}))


@pytest.mark.spec("features-linux.md#cgroup", "cgroup", "v1", "v2", "systemd", "systemdUser", "rdma")
def test_cgroup() -> None:
    assert LINUX["cgroup"] == {"v1": False, "v2": True, "systemd": True, "systemdUser": True, "rdma": True}


@pytest.mark.spec("features-linux.md#seccomp", "seccomp", "enabled", "actions", "each action is recognized",
                  "operators", "each operator is recognized", "archs", "each architecture is recognized", "knownFlags",
                  "each known flag is recognized", "supportedFlags", "each supported flag is supported")
def test_seccomp() -> None:
    listed = LINUX["seccomp"]
    assert listed["enabled"] is True and set(listed["supportedFlags"]) <= set(listed["knownFlags"])
    assert len(listed["actions"]) == 9 and len(listed["operators"]) == 7
    profile: dict[str, Any] = {
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": listed["archs"], "flags": listed["knownFlags"],
        "listenerPath": "/run/listener", "syscalls": [
            *({"names": ["mkdir"], "action": action} for action in listed["actions"]),
            *({"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": operator}]}
              for operator in listed["operators"])]}
    assert accepted(docker_like(linux={"seccomp": profile}))
    profile.update(flags=listed["supportedFlags"], architectures=[])     # others may have another byte order
    for action in listed["actions"]:
        profile["syscalls"] = [{"names": ["mkdir"], "action": action}]
        assert program(read(profile))            # type: ignore[arg-type]
    for operator in listed["operators"]:
        argument = {"index": 0, "value": 1, "valueTwo": 1, "op": operator}
        profile["syscalls"] = [{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [argument]}]
        assert program(read(profile))            # type: ignore[arg-type]
    for key, value in (("flags", ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]), ("architectures", ["SCMP_ARCH_VAX"])):
        assert not accepted(docker_like(linux={"seccomp": {**profile, key: value}}))


@pytest.mark.spec("features-linux.md#memorypolicy", "memoryPolicy", "modes", "each mode is recognized", "flags",
                  "each flag is recognized")
def test_memory_policy() -> None:
    listed = LINUX["memoryPolicy"]
    assert len(listed["modes"]) == 7 and len(listed["flags"]) == 3
    for mode in listed["modes"]:
        nodes = {} if mode in ("MPOL_DEFAULT", "MPOL_LOCAL") else {"nodes": "0"}
        assert accepted(minimal(linux={"memoryPolicy": {"mode": mode, **nodes}}))
    for flag in listed["flags"]:
        assert accepted(minimal(linux={"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}}))


# What is said to be there is held by the tests of each: AppArmor and id-mapped mounts in containers, resctrl by files.
@pytest.mark.spec("features-linux.md#apparmor", "apparmor", "enabled")
@pytest.mark.spec("features-linux.md#selinux", "selinux", "enabled")
@pytest.mark.spec("features-linux.md#intel-rdt", "intelRdt", "enabled", "schemata", "monitoring")
@pytest.mark.spec("features-linux.md#mountextensions", "mountExtensions", "idmap", "idmap.enabled",
                  "id-mapped mounts are announced")
@pytest.mark.spec("features-linux.md#netdevices", "netDevices", "enabled")
def test_what_is_there() -> None:
    assert {key: LINUX[key] for key in ("apparmor", "selinux", "intelRdt", "mountExtensions", "netDevices")} == {
        "apparmor": {"enabled": True}, "selinux": {"enabled": True}, "netDevices": {"enabled": True},
        "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
        "mountExtensions": {"idmap": {"enabled": True}}}


# features.md#unsafe-annotations-in-configjson: "contains values of annotations property of config.json that may
# potentially change the behavior of the runtime."
@pytest.mark.spec("features.md#unsafe-annotations-in-configjson", "potentiallyUnsafeConfigAnnotations")
def test_every_annotation_that_pyrunc_reads_is_listed_as_unsafe() -> None:
    listed = features()["potentiallyUnsafeConfigAnnotations"]
    text = r'"((?:org|run|io)\.(?:oci|systemd|criu|opencontainers)[\w.]*)"'
    read_ones: set[str] = set()
    for path in Path(__file__).parents[2].joinpath("pyrunc").rglob("*.py"):
        if path.name != "features.py":
            read_ones |= set(re.findall(text, path.read_text()))
    assert read_ones and all(any(name == unsafe or (unsafe.endswith(".") and name.startswith(unsafe))
                                 for unsafe in listed) for name in read_ones), read_ones
