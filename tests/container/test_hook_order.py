"""Hooks: several of one kind, where those of the runtime run, and what poststart sees and does."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like
from tests.runtimes import Runtime
from tests.world import Snapshot

RUNTIME_KINDS = ("prestart", "createRuntime", "poststart", "poststop")
KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


@pytest.fixture
def bundle(place: Path) -> Path:
    return bundles.bundle(place / "bundle")


def hook(script: str) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}


# config.md#posix-platform-hooks: "Hooks MUST be called in the listed order."
@pytest.mark.spec("config.md#posix-platform-hooks", "hooks run in the listed order")
def test_in_the_listed_order(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    record = place / "record"
    hooks = {kind: [hook(f"echo {kind} {number} >>{record}") for number in range(3)] for kind in KINDS}
    hooks["startContainer"] = [hook(f"echo {number} >>/record") for number in range(3)]
    bundles.write(bundle, docker_like(hooks=hooks))
    assert runtime.run(name, bundle).status == 0
    assert record.read_text().splitlines() == [f"{kind} {number}" for kind in KINDS if kind != "startContainer"
                                               for number in range(3)]
    assert (bundle / "rootfs/record").read_text().split() == ["0", "1", "2"]


# config.md#prestart, createRuntime, poststart, poststop: "path MUST resolve in the runtime namespace"; "MUST be
# executed in the runtime namespace"
@pytest.mark.spec("config.md#prestart", "the path is of the runtime namespace", "it runs in the runtime namespace")
@pytest.mark.spec("config.md#createruntime-hooks", "the path is of the runtime namespace",
                  "it runs in the runtime namespace")
@pytest.mark.spec("config.md#poststart", "the path is of the runtime namespace", "it runs in the runtime namespace")
@pytest.mark.spec("config.md#poststop", "the path is of the runtime namespace", "it runs in the runtime namespace")
def test_those_of_the_runtime_run_in_its_namespaces(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    spaces = ("ipc", "mnt", "net", "pid", "uts", "user", "cgroup")
    program = place / "program"                          # a path that no container has
    program.write_text(f"#!/bin/sh\nfor n in {' '.join(spaces)}; do readlink /proc/self/ns/$n; done >{place}/$1\n")
    program.chmod(0o755)
    bundles.write(bundle, docker_like(hooks={kind: [{"path": str(program), "args": ["program", kind]}]
                                             for kind in RUNTIME_KINDS}))
    assert runtime.run(name, bundle).status == 0
    own = [os.readlink(f"/proc/self/ns/{space}") for space in spaces]
    for kind in RUNTIME_KINDS:
        assert (place / kind).read_text().split() == own, kind


# config.md#poststart: "MUST be called after the user-specified process is executed but before the start operation
# returns."
@pytest.mark.spec("config.md#poststart", "poststart comes after the program has started, before start returns")
@pytest.mark.spec("config.md#poststop", "poststop comes when the container is deleted, before delete returns")
@pytest.mark.spec("config.md#startcontainer-hooks", "startContainer comes before the program")
def test_around_the_program(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    asked = 'read -r state; pid=${state#*\\"pid\\":}; readlink /proc/${pid%%[,\\}]*}/exe'
    bundles.write(bundle, docker_like(process={"args": ["sh", "-c", "ls /before && exec sleep 1000"]}, hooks={
        "startContainer": [hook("touch /before")],
        "poststart": [hook(f"{{ {asked}; sleep 0.2; }} >{place}/poststart")],
        "poststop": [hook(f"ls -d {runtime.root}/{name} >{place}/poststop 2>&1; cat /proc/mounts >/dev/null")]}))
    init = runtime.create(name, bundle)
    assert not (bundle / "rootfs/before").exists() and not (place / "poststart").exists()
    runtime.ok("start", name)
    assert (place / "poststart").read_text() == "/bin/busybox\n"
    assert (bundle / "rootfs/before").exists() and not (place / "poststop").exists()
    runtime.ok("delete", "--force", name)
    assert (place / "poststop").exists() and not Path(f"/proc/{init.pid}/root/before").exists()


# runtime.md#lifecycle 9: "If any poststart hook fails, the runtime MUST generate an error, stop the container, and
# continue the lifecycle at step 12."
@pytest.mark.spec("runtime.md#lifecycle", "poststart hooks run, and one that fails ends the container")
def test_a_failing_poststart_hook_ends_the_container(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    bundles.write(bundle, docker_like(process={"args": ["sleep", "1000"]}, hooks={
        "poststart": [hook("exit 3"), hook(f"touch {place}/second")], "poststop": [hook(f"touch {place}/stopped")]}))
    runtime.create(name, bundle)
    outcome = runtime("start", name)
    assert outcome.status == 1 and "exit status 3" in outcome.stderr
    assert not (place / "second").exists() and (place / "stopped").exists()
    assert before.settle(name, runtime.root) == before


@pytest.mark.parametrize(("path", "said"), [
    ("/no/such", "no such file or directory"), ("/etc/passwd/x", "not a directory"), ("/etc", "permission denied"),
    ("a loop", "too many levels of symbolic links"), ("a script", "no such file or directory")])
@pytest.mark.parametrize("command", ["start", "run"])
def test_a_poststart_hook_that_cannot_be_run(command: str, path: str, said: str, runtime: Runtime, bundle: Path,
                                             place: Path, name: str) -> None:
    """A file that is not there was an internal error, of start as of run."""
    before = Snapshot.take(name, runtime.root)
    if path == "a loop":
        (place / path).symlink_to(place / path)
    elif path == "a script":
        (place / path).write_text("#!/no/such/interpreter\n")
        (place / path).chmod(0o755)
    path = str(place / path)             # an absolute path stays as it is
    bundles.write(bundle, docker_like(process={"args": ["sleep", "1000"]}, hooks={
        "poststart": [{"path": path}], "poststop": [hook(f"touch {place}/stopped")]}))
    if command == "start":
        runtime.create(name, bundle)
        outcome = runtime("start", name)
    else:
        outcome = runtime("run", "--bundle", bundle, name)
    assert outcome.status == 1
    assert f"error running poststart hook #0: {path}: {said}: at hooks.poststart[0] in config.json" in outcome.stderr
    assert (place / "stopped").exists() and before.settle(name, runtime.root) == before
