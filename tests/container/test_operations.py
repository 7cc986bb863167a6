"""runtime.md's operations as anybody may call them: what they need, what they say, and what has no effect on them."""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like, merge, namespaces
from tests.runtimes import Runtime
from tests.world import Snapshot


@pytest.fixture
def bundle(place: Path) -> Path:
    return bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))


# runtime.md#query-state, #create, #start, #kill, #delete: "This operation MUST generate an error if it is not provided
# the container ID." create: "… if it is not provided a path to the bundle and the container ID"
@pytest.mark.spec("runtime.md#query-state", "state needs an id")
@pytest.mark.spec("runtime.md#create", "create needs an id and a bundle")
@pytest.mark.spec("runtime.md#start", "start needs an id")
@pytest.mark.spec("runtime.md#kill", "kill needs an id")
@pytest.mark.spec("runtime.md#delete", "delete needs an id")
def test_without_an_id(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    for words in (["state"], ["create", "--bundle", bundle], ["start"], ["kill"], ["delete"], ["delete", "--force"]):
        outcome = runtime(*words)
        assert outcome.status == 1 and " requires " in outcome.stderr, outcome.stderr
        outcome = runtime(*words, "")
        assert outcome.status == 1 and "container id cannot be empty" in outcome.stderr, outcome.stderr
    outcome = runtime("create", "--bundle", place / "nowhere", name)
    assert outcome.status == 1 and "no such file or directory" in outcome.stderr
    outcome = runtime("create", name, cwd=place)                       # the current directory is none, either
    assert outcome.status == 1 and "config.json not found" in outcome.stderr
    assert before.settle(name, runtime.root) == before


# runtime.md#scope-of-a-container: "The entity using a runtime to create a container MUST be able to use the operations
# defined in this specification against that same container."
@pytest.mark.spec("runtime.md#scope-of-a-container", "who creates a container can do all operations on it")
@pytest.mark.spec("runtime.md#operations", "all operations are there")
@pytest.mark.spec("runtime.md#state", "the state is what its schema says", "annotations", "pid", "status")
@pytest.mark.spec("config.md#annotations", "annotations", "unknown annotations are ignored",
                  "annotations of the org.opencontainers namespace are taken as they are")
def test_every_operation_and_the_states_between(runtime: Runtime, bundle: Path, name: str) -> None:
    from pyrunc.config.schema import Schemas
    schema = Schemas().validator("state.json")
    annotations = {"org.opencontainers.image.stopSignal": "SIGUSR1", "com.example.unknown": "", "ünï": "two\nlines"}
    bundles.write(bundle, docker_like(process={"args": ["sleep", "1000"]}, annotations=annotations))

    def state() -> tuple[str, bool]:
        found = runtime.state(name)
        schema.validate(found)
        assert (found["annotations"], found["id"], found["bundle"]) == (annotations, name, str(bundle))
        return found["status"], found.get("pid", 0) > 0
    init = runtime.create(name, bundle)
    assert state() == ("created", True)
    runtime.ok("start", name)
    assert state() == ("running", True)
    runtime.ok("kill", name, "KILL")
    assert init.wait() == 137
    assert state() == ("stopped", False)
    runtime.ok("delete", name)
    assert runtime("state", name).status == 1
    # "Once a container is deleted its ID MAY be used by a subsequent container."
    runtime.create(name, bundle)
    assert state() == ("created", True)


# runtime.md#lifecycle 2: "Any updates to config.json after this step MUST NOT affect the container."
@pytest.mark.spec("runtime.md#lifecycle", "later changes of config.json do nothing")
def test_a_changed_config_changes_nothing(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    hooks = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat >{place}/told"]}]}
    bundles.write(bundle, docker_like(process={"args": ["echo", "first"]}, annotations={"a": "1"}, hooks=hooks))
    init = runtime.create(name, bundle)
    for text in (json.dumps(docker_like(process={"args": ["echo", "second"]}, annotations={"a": "2"})), "no json"):
        (bundle / "config.json").write_text(text)
        assert runtime.state(name)["annotations"] == {"a": "1"}
    runtime.ok("start", name)
    assert init.wait() == 0 and init.outcome.stdout == "first\n"
    (bundle / "config.json").unlink()
    runtime.ok("delete", name)
    assert json.loads((place / "told").read_text())["annotations"] == {"a": "1"}


# bundle.md: "This REQUIRED file MUST reside in the root of the bundle directory and MUST be named config.json."
@pytest.mark.spec("bundle.md#container-format", "config.json is in the root of the bundle, and has this name",
                  "the artifacts are in one directory, which is no part of the bundle")
def test_a_bundle_is_a_folder_with_a_config_json(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    bundles.write(bundle, docker_like(process={"args": ["echo", "ran"]}))
    moved = bundle.rename(place / "another name: *")
    init = runtime.create(name, moved)
    runtime.ok("start", name)
    assert init.wait() == 0 and init.outcome.stdout == "ran\n"
    runtime.ok("delete", name)
    for elsewhere in (moved / "Config.json", moved / "rootfs/config.json", place / "config.json"):
        (moved / "config.json").rename(elsewhere)
        outcome = runtime("create", "--bundle", moved, name)
        assert outcome.status == 1 and "config.json not found" in outcome.stderr
        elsewhere.rename(moved / "config.json")


# runtime.md#start: "This operation MUST generate an error if process was not set." config.md#process: "This property is
# REQUIRED when start is called."
@pytest.mark.spec("runtime.md#start", "start without a process is an error")
@pytest.mark.spec("config.md#process", "process", "start needs a process")
@pytest.mark.spec("runtime.md#create", "every property but process is applied")
def test_a_container_without_a_process(runtime: Runtime, bundle: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    bundles.write(bundle, docker_like(process=None, hostname="empty", linux={"sysctl": {"net.ipv4.ip_forward": "1"}}))
    init = runtime.create(name, bundle)
    assert runtime.status(name) == "created"
    inside = subprocess.run(["nsenter", "-t", str(init.pid), "-u", "-n", "sh", "-c",
                             "hostname; cat /proc/sys/net/ipv4/ip_forward"], capture_output=True, text=True, check=True)
    assert inside.stdout.split() == ["empty", "1"]
    assert os.readlink(f"/proc/{init.pid}/root") == "/"
    assert "busybox" in os.listdir(f"/proc/{init.pid}/root/bin")
    outcome = runtime("start", name)
    assert outcome.status == 1 and "without a process" in outcome.stderr
    assert runtime.status(name) == "created"
    assert runtime("run", "--bundle", bundle, f"{name}-2").status == 1
    runtime.ok("delete", name)
    assert before.settle(name, runtime.root) == before


# config.md#extensibility: "Runtimes MAY log unknown properties but MUST otherwise ignore them." What is for other
# platforms is as good as unknown.
@pytest.mark.spec("config.md#extensibility", "unknown properties are ignored")
@pytest.mark.spec("config.md#platform-specific-configuration", "linux", "freebsd, solaris, vm, windows, zos")
@pytest.mark.spec("config.md#process", "commandLine", "consoleSize without a terminal is ignored")
@pytest.mark.spec("config.md#windows-user", "username")
def test_what_is_unknown_or_of_other_platforms(runtime: Runtime, bundle: Path, name: str) -> None:
    changes: dict[str, Any] = {
        "nobody": {"knows": ["this"]}, "freebsd": {"devices": []}, "vm": {"kernel": {"path": "/k"}},
        "zos": {"namespaces": []}, "solaris": {"milestone": "x"}, "windows": {"layerFolders": ["C:\\\\x"]},
        "process": {"args": ["id", "-u"], "commandLine": "format c:", "user": {"username": "nobody", "shoe": 44},
                    "consoleSize": {"height": 1, "width": 2}, "colour": "red"},
        "root": {"painted": True}, "linux": {"future": {"a": 1}, "resources": {"quantum": {"bits": 3}}}}
    bundles.write(bundle, merge(docker_like(), changes))
    outcome = runtime.run(name, bundle)
    assert (outcome.status, outcome.stdout) == (0, "0\n"), outcome.stderr


# config-linux.md#namespaces: "The runtime MUST generate an error if path is not associated with a namespace of type
# type." runtime.md#errors: "generating an error MUST leave the state of the environment as if …"
@pytest.mark.spec("config-linux.md#namespaces", "a path of another type is an error")
@pytest.mark.spec("runtime.md#errors", "an error leaves everything as it was")
@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "mount", "user", "cgroup", "time"])
def test_a_namespace_of_another_type(kind: str, runtime: Runtime, bundle: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    other = "/proc/self/ns/" + ("ipc" if kind == "uts" else "uts")
    spaces = [*namespaces(*({"pid", "mount", "network", "ipc"} - {kind})), {"type": kind, "path": other}]
    bundles.write(bundle, merge(docker_like(hostname=None), {"linux": {"namespaces": spaces, "maskedPaths": None,
                                                                       "readonlyPaths": None}}))
    outcome = runtime("create", "--bundle", bundle, name)
    assert outcome.status == 1 and "invalid argument" in outcome.stderr, outcome.stderr
    assert before.settle(name, runtime.root) == before


# config-linux.md#user-namespace-mappings: "The runtime SHOULD NOT modify the ownership of referenced filesystems to
# realize the mapping."
@pytest.mark.spec("config-linux.md#namespaces", "user", "mount")
@pytest.mark.spec("config-linux.md#user-namespace-mappings", "uidMappings", "gidMappings",
                  "no file changes its owner")
def test_owners_of_files_stay(runtime: Runtime, place: Path, bundle: Path, name: str) -> None:
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    volume = place / "volume"
    volume.mkdir()
    (volume / "file").touch()
    os.chown(volume / "file", 100007, 100008)
    spaces = namespaces("user", "pid", "network", "ipc", "uts", "mount", "cgroup")
    (bundle / "rootfs/data").mkdir()

    def owners() -> dict[str, tuple[int, int]]:
        return {str(path): (path.lstat().st_uid, path.lstat().st_gid)
                for path in [*(bundle / "rootfs").rglob("*"), *volume.rglob("*")]}
    script = "stat -c %u:%g /bin/busybox /data/file; for n in user mnt; do readlink /proc/self/ns/$n; done"
    bundles.write(bundle, docker_like(
        process={"args": ["sh", "-c", script]},
        mounts=[*bundles.MOUNTS, {"destination": "/data", "source": str(volume), "options": ["bind"]}],
        linux={"namespaces": spaces, "uidMappings": mapping, "gidMappings": mapping}))
    before = owners()
    lines = runtime.run(name, bundle).stdout.split()
    assert lines[:2] == ["65534:65534", "7:8"] and owners() == before
    assert lines[2] != os.readlink("/proc/self/ns/user") and lines[3] != os.readlink("/proc/self/ns/mnt")


# runtime.md#delete: "resources associated with the container, but not created by this container, MUST NOT be deleted"
@pytest.mark.spec("runtime.md#delete", "delete leaves what create did not make")
def test_what_was_there_before_stays(runtime: Runtime, place: Path, bundle: Path, name: str) -> None:
    volume = place / "volume"
    volume.mkdir()
    holder = subprocess.Popen(["unshare", "--net", "--uts", "sleep", "1000"])
    while os.readlink(f"/proc/{holder.pid}/exe") != os.path.realpath("/usr/bin/sleep"):
        pass
    spaces = [*namespaces("pid", "mount", "ipc"), *({"type": kind, "path": f"/proc/{holder.pid}/ns/{file}"}
                                                   for kind, file in (("network", "net"), ("uts", "uts")))]
    bundles.write(bundle, docker_like(hostname=None, process={"args": ["touch", "/data/file", "/made"]},
                                      mounts=[*bundles.MOUNTS, {"destination": "/data", "source": str(volume),
                                                                "options": ["bind"]}],
                                      linux={"namespaces": spaces}))
    mine = os.readlink(f"/proc/{holder.pid}/ns/net")
    assert runtime.run(name, bundle).status == 0
    assert (volume / "file").exists() and (bundle / "rootfs/made").exists()
    assert holder.poll() is None and os.readlink(f"/proc/{holder.pid}/ns/net") == mine
    holder.kill()
    holder.wait()


