"""SELinux, enforcing, with a policy of a few lines (selinux.cil): labels of the process, its keys and its mounts."""
from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, world
from tests.bundles import docker_like
from tests.runtimes import Runtime

pytestmark = pytest.mark.guest_selinux

PROCESS, MOUNTS = "u:r:box_t", "u:object_r:volume_t"
SELINUX = Path("/sys/fs/selinux")
#: Python in the container: what it finds, as JSON.
LOOK = """
import ctypes, json, os
def label(path):
    return os.getxattr(path, "security.selinux").rstrip(b"\\0").decode()
def made(path):
    try:
        open(path, "x").close()
    except OSError as fault:
        return fault.strerror
    return "made"
session, name = -3, ctypes.create_string_buffer(100)
ctypes.CDLL(None).syscall(250, 17, session, name, 100)           # keyctl(KEYCTL_GET_SECURITY)
print(json.dumps({
    "process": open("/proc/self/attr/current").read().rstrip("\\0\\n"), "key": name.value.decode(),
    "labels": {path: label(path) for path in ("/mnt", "/dev/shm", "/dev/mqueue", "/dev/pts", "/etc")},
    "made": {path: made(path) for path in ("/mnt/x", "/dev/shm/x", "/etc/x")}}))
"""


@pytest.fixture(scope="module", autouse=True)
def enforcing(private_world: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if not (SELINUX / "load").exists():
        world.mount("selinuxfs", SELINUX, "selinuxfs")
    policy = tmp_path_factory.mktemp("policy") / "policy"
    version = (SELINUX / "policyvers").read_text()
    source = Path(__file__).with_name("selinux.cil")
    subprocess.run(["secilc", "-c", version, "-o", policy, "-f", "/dev/null", source], check=True)
    (SELINUX / "load").write_bytes(policy.read_bytes())
    (SELINUX / "enforce").write_text("1")
    yield
    (SELINUX / "enforce").write_text("0")


def config(*args: str, **process: Any) -> bundles.Config:
    volume = {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"}
    *mounts, usr = bundles.host_mounts()
    usr["options"] = ["rbind", "ro"]          # from a nosuid mount no program gets another label than its caller's
    return docker_like(process={"args": ["/usr/bin/python3", "-I", "-S", "-c", LOOK, *args], **process},
                       mounts=[*mounts, usr, volume])


def look(runtime: Runtime, bundle: Path, name: str) -> dict[str, Any]:
    outcome = runtime.run(name, bundle)
    assert outcome.status == 0, outcome.stderr
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


# config.md#linux-process: "selinuxLabel (string, OPTIONAL) specifies the SELinux label for the process."
# config-linux.md#mount-label: "mountLabel (string, OPTIONAL) will set the Selinux context for the mounts in the
# container."
@pytest.mark.spec("config.md#linux-process", "selinuxLabel")
@pytest.mark.spec("config-linux.md#mount-label", "mountLabel")
def test_labels_are_enforced(runtime: Runtime, place: Path, name: str) -> None:
    whole = bundles.merge(config(selinuxLabel=PROCESS), {"linux": {"mountLabel": MOUNTS}})
    found = look(runtime, bundles.bundle(place / "bundle", whole, host_usr=True), name)
    assert (found["process"], found["key"]) == (PROCESS, PROCESS)
    assert {path for path, label in found["labels"].items() if label == MOUNTS} == {
        "/mnt", "/dev/shm", "/dev/mqueue", "/dev/pts"}
    # Files are made where the mount's label allows it to this process, and nowhere else.
    assert found["made"] == {"/mnt/x": "made", "/dev/shm/x": "made", "/etc/x": "Permission denied"}


def test_without_labels_it_is_as_the_runtime(runtime: Runtime, place: Path, name: str) -> None:
    found = look(runtime, bundles.bundle(place / "bundle", config(), host_usr=True), name)
    assert (found["process"], found["key"]) == ("u:r:host_t", "u:r:host_t")
    assert MOUNTS not in found["labels"].values() and set(found["made"].values()) == {"made"}


def test_an_option_of_the_mount_counts_more(runtime: Runtime, place: Path, name: str) -> None:
    whole = bundles.merge(config(), {"linux": {"mountLabel": "u:object_r:host_t"}})
    whole["mounts"][-1]["options"] = [f"context={MOUNTS}"]
    found = look(runtime, bundles.bundle(place / "bundle", whole, host_usr=True), name)
    assert found["labels"]["/mnt"] == MOUNTS != found["labels"]["/dev/shm"]


@pytest.mark.spec("config.md#linux-process", "selinuxLabel")
def test_exec(runtime: Runtime, place: Path, name: str) -> None:
    whole = docker_like(process={"args": ["sleep", "1000"], "selinuxLabel": PROCESS})
    runtime.create(name, bundles.bundle(place / "bundle", whole))
    runtime.ok("start", name)
    show = ["cat", "/proc/self/attr/current"]
    assert runtime.ok("exec", name, *show).stdout.rstrip("\0\n") == PROCESS
    assert runtime.ok("exec", "--process-label", "u:r:host_t", name, *show).stdout.rstrip("\0\n") == "u:r:host_t"
    assert runtime.ok("exec", "--process-label", "", name, *show).stdout.rstrip("\0\n") == PROCESS
    file = place / "process.json"
    for process, label in (({}, PROCESS), ({"selinuxLabel": ""}, PROCESS), ({"user": {"uid": 5, "gid": 5}}, PROCESS),
                           ({"selinuxLabel": "u:r:host_t"}, "u:r:host_t")):
        file.write_text(json.dumps({"args": show, "cwd": "/", "env": [bundles.PATH], **process}))
        assert runtime.ok("exec", "--process", file, name).stdout.rstrip("\0\n") == label


@pytest.mark.spec("config.md#linux-process", "selinuxLabel")
@pytest.mark.spec("config-linux.md#mount-label", "mountLabel")
@pytest.mark.parametrize(("changes", "where"), [
    ({"process": {"selinuxLabel": "u:r:nosuch_t"}}, "process.selinuxLabel"),
    ({"linux": {"mountLabel": "no context"}}, "mounts["), ])
def test_a_label_that_the_policy_does_not_know(changes: dict[str, Any], where: str, runtime: Runtime, place: Path,
                                               name: str) -> None:
    outcome = runtime("create", "--bundle", bundles.bundle(place / "bundle", docker_like(**changes)), name)
    assert outcome.status == 1
    assert "invalid argument" in outcome.stderr and f"at {where}" in outcome.stderr, outcome.stderr
    assert not (runtime.root / name).exists()
