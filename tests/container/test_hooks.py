"""Hooks: when each kind runs, where, with what on its standard input, and what its failure means."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like
from tests.runtimes import Runtime
from tests.world import Snapshot

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


@pytest.fixture
def bundle(place: Path) -> Path:
    return bundles.bundle(place / "bundle")


def hook(script: str, *args: str, **fields: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script, *args], "env": ["PATH=/usr/bin:/bin"], **fields}


def configure(bundle: Path, hooks: dict[str, list[dict[str, Any]]], args: tuple[str, ...] = ("true",)) -> Path:
    return bundles.write(bundle, docker_like(process={"args": list(args)}, hooks=hooks, annotations={"key": "value"}))


# runtime.md#lifecycle gives the order; config.md#posix-platform-hooks: "The state of the container MUST be passed to
# hooks over stdin so that they may do work appropriate to the current state of the container."
@pytest.mark.spec("config.md#posix-platform-hooks", "hooks", "the state is on a hook's standard input")
@pytest.mark.spec("runtime.md#state", "pid")
@pytest.mark.spec("config.md#prestart", "prestart", "prestart is part of create, before the root is switched",
                  "prestart comes before createRuntime")
@pytest.mark.spec("config.md#createruntime-hooks", "createRuntime",
                  "createRuntime is part of create, before the root is switched")
@pytest.mark.spec("config.md#createcontainer-hooks", "createContainer",
                  "createContainer is part of create, before the root is switched",
                  "createContainer comes after createRuntime")
@pytest.mark.spec("config.md#startcontainer-hooks", "startContainer")
@pytest.mark.spec("config.md#poststart", "poststart")
@pytest.mark.spec("config.md#poststop", "poststop")
@pytest.mark.spec("features.md#hooks", "each kind is supported")
def test_order_and_state(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    record = place / "record"
    record.mkdir()
    hooks = {kind: [hook(f"cat >{record}/$(ls {record} | wc -l)-{kind}")] for kind in KINDS}
    # In the container there is no record folder: this one leaves its state in the root.
    hooks["startContainer"] = [hook("cat >/state")]
    configure(bundle, hooks)
    assert runtime.run(name, bundle).status == 0
    ran = sorted(record.iterdir())
    assert [path.name.partition("-")[2] for path in ran] == [kind for kind in KINDS if kind != "startContainer"]
    told = {path.name.partition("-")[2]: json.loads(path.read_text()) for path in ran}
    told["startContainer"] = json.loads((bundle / "rootfs/state").read_text())
    for kind, state in told.items():
        assert (state["id"], state["bundle"], state["annotations"]) == (name, str(bundle), {"key": "value"}), kind
        assert state["status"] in {"prestart": ("creating", "created"), "createRuntime": ("creating", "created"),
                                   "createContainer": ("creating", "created"), "startContainer": ("created",),
                                   "poststart": ("running", "created"), "poststop": ("stopped",)}[kind], kind
    assert told["createContainer"]["pid"] >= 1 and told["createRuntime"]["pid"] > 1


# config.md#createruntime-hooks: "The createRuntime hooks' path MUST resolve in the runtime namespace. The createRuntime
# hooks MUST be executed in the runtime namespace."; createContainer: "… path MUST resolve in the runtime namespace …
# MUST be executed in the container namespace"; startContainer: "… path MUST resolve in the container namespace …
# MUST be executed in the container namespace."
@pytest.mark.spec("config.md#createruntime-hooks", "the path is of the runtime namespace",
                  "it runs in the runtime namespace")
@pytest.mark.spec("config.md#createcontainer-hooks", "the path is of the runtime namespace",
                  "it runs in the container namespace")
@pytest.mark.spec("config.md#startcontainer-hooks", "the path is of the container namespace",
                  "it runs in the container namespace")
@pytest.mark.spec("config.md#poststart", "the path is of the runtime namespace", "it runs in the runtime namespace")
def test_namespaces_and_folders(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    script = ("readlink /proc/self/ns/uts; readlink /proc/self/ns/mnt; pwd; "
              "ls /usr/bin/env >/dev/null 2>&1 && echo host; true")
    hooks = {kind: [hook(f"({script}) >{place}/{kind}")] for kind in ("createRuntime", "createContainer", "poststart")}
    hooks["startContainer"] = [hook(f"({script}) >/out")]
    configure(bundle, hooks)
    assert runtime.run(name, bundle, cwd=bundle).status == 0

    def seen(path: Path) -> list[str]:
        return path.read_text().splitlines()
    runtime_side, container_side = seen(place / "createRuntime"), seen(place / "createContainer")
    started = seen(bundle / "rootfs/out")
    assert runtime_side[:2] == seen(place / "poststart")[:2]
    assert runtime_side[2:] == [str(bundle), "host"]
    assert container_side[0] == started[0] != runtime_side[0]
    assert container_side[1] == started[1] != runtime_side[1]
    assert container_side[2:] == [str(bundle / "rootfs"), "host"] and started[2:] == ["/"]


@pytest.mark.spec("config.md#posix-platform-hooks", "path", "args", "env")
def test_environment_and_arguments(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    hooks = {"createRuntime": [hook(f'(env; echo "$0 $1 $2") >{place}/out', "zero", "a b", "", env=["A=b c"])]}
    configure(bundle, hooks)
    assert runtime.run(name, bundle).status == 0
    lines = (place / "out").read_text().splitlines()
    assert "A=b c" in lines and lines[-1] == "zero a b " and not [line for line in lines if line.startswith("PATH=")]


@pytest.mark.spec("runtime.md#lifecycle", "prestart hooks run, and one that fails ends the container",
                  "createRuntime hooks run, and one that fails ends the container",
                  "createContainer hooks run, and one that fails ends the container")
@pytest.mark.spec("runtime.md#errors", "an error leaves everything as it was")
@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_a_failure_fails_create(kind: str, runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    configure(bundle, {kind: [hook("echo telling >&2; exit 3"), hook(f"touch {place}/second")],
                       "poststop": [hook(f"touch {place}/stopped")]})
    outcome = runtime("create", "--bundle", bundle, name)
    assert outcome.status == 1
    assert "hook" in outcome.stderr and "exit status 3" in outcome.stderr and "telling" in outcome.stderr
    assert not (place / "second").exists()
    assert before.settle(name, runtime.root) == before
    # runtime.md#lifecycle: "If any … hook fails, the runtime MUST generate an error, stop the container, and continue
    # the lifecycle at step 12", and step 13 is: "The poststop hooks MUST be invoked by the runtime."
    assert (place / "stopped").exists()


@pytest.mark.spec("runtime.md#lifecycle", "startContainer hooks run, and one that fails ends the container")
@pytest.mark.spec("config.md#startcontainer-hooks", "startContainer comes before the program")
def test_a_failing_start_container_hook_fails_start(runtime: Runtime, bundle: Path, name: str) -> None:
    configure(bundle, {"startContainer": [hook("exit 3")]}, ("touch", "/ran"))
    init = runtime.create(name, bundle)
    outcome = runtime("start", name)
    init.wait()
    assert not (bundle / "rootfs/ran").exists()
    assert outcome.status == 1 and "hook" in outcome.stderr


@pytest.mark.spec("runtime.md#lifecycle", "poststop hooks run, and one that fails is a warning")
@pytest.mark.spec("runtime.md#warnings", "a warning changes nothing")
@pytest.mark.spec("config.md#poststop", "poststop comes when the container is deleted, before delete returns")
def test_a_failing_poststop_hook_is_a_warning(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    configure(bundle, {"poststop": [hook("exit 3"), hook(f"touch {place}/second")]})
    init = runtime.create(name, bundle)
    runtime.ok("start", name)
    init.wait()
    before = Snapshot.take(name, place / "nowhere")
    outcome = runtime.ok("delete", name)
    assert "exit status 3" in outcome.stderr and (place / "second").exists()
    assert before.cgroups and not Snapshot.take(name, runtime.root).cgroups


# crun.1: run.oci.hooks.stdout and .stderr append what hooks print to files.
def test_output_of_every_kind_is_appended_to_files(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    config = docker_like(
        process={"args": ["sh", "-c", "ls /proc/self/fd >/fds"]},
        hooks={kind: [hook(f"echo {kind}; echo {kind} failed >&2"), hook("echo second")] for kind in KINDS},
        annotations={"run.oci.hooks.stdout": str(place / "out"), "run.oci.hooks.stderr": "errors"})
    (place / "out").write_text("before\n")
    assert runtime.run(name, bundles.write(bundle, config), cwd=bundle).status == 0
    assert (place / "out").read_text() == "before\n" + "".join(f"{kind}\nsecond\n" for kind in KINDS)
    assert (bundle / "errors").read_text() == "".join(f"{kind} failed\n" for kind in KINDS)
    assert (bundle / "errors").stat().st_mode & 0o777 == 0o600
    assert (bundle / "rootfs/fds").read_text().split() == ["0", "1", "2", "3"]       # 3 is the directory that ls reads


def test_output_of_a_hook_that_fails_is_in_the_files_alone(
        runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    config = docker_like(hooks={"createContainer": [hook("echo telling; exit 3")], "poststop": [hook("echo stopped")]},
                         annotations={"run.oci.hooks.stdout": str(place / "out")})
    outcome = runtime("create", "--bundle", bundles.write(bundle, config), name)
    assert outcome.status == 1 and "exit status 3" in outcome.stderr and "telling" not in outcome.stderr
    assert (place / "out").read_text() == "telling\nstopped\n"


def test_files_for_output_that_cannot_be_opened(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    config = docker_like(hooks={"createRuntime": [hook("true")]}, process={"args": ["true"]},
                         annotations={"run.oci.hooks.stderr": str(place / "none/err")})
    outcome = runtime("create", "--bundle", bundles.write(bundle, config), name)
    assert outcome.status == 1 and f"{place}/none/err: no such file or directory" in outcome.stderr
    assert "at annotations in config.json: step hooks.output" in outcome.stderr
    config["hooks"] = {"poststop": [hook(f"touch {place}/stopped")]}
    (place / "none").mkdir()
    init = runtime.create(name, bundles.write(bundle, config))
    runtime.ok("start", name)
    init.wait()
    (place / "none/err").unlink()
    (place / "none").rmdir()
    assert f"{place}/none/err: no such file" in runtime.ok("delete", name).stderr      # a warning: it is deleted
    assert before.settle(name, runtime.root) == before


# config.md#posix-platform-hooks: "timeout (int, OPTIONAL) is the number of seconds before aborting the hook."
@pytest.mark.spec("config.md#posix-platform-hooks", "timeout")
def test_timeout(runtime: Runtime, bundle: Path, name: str) -> None:
    configure(bundle, {"createRuntime": [hook("sleep 1000", timeout=1)]})
    outcome = runtime("create", "--bundle", bundle, name)
    assert outcome.status == 1 and "timeout" in outcome.stderr
