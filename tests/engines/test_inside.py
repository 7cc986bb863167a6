"""docs/troubleshooting.md and docs/tracing.md under each engine: five commands after a failure, a trace, a stop that is
let go on from elsewhere, and warnings in the log that the engine names. No engine is restarted."""
from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, runtimes
from tests.bundles import docker_like

from .conftest import SHIM
from .conmon import Container, CreateFailed, Crio
from .containerd import Containerd
from .cri import Cri, Pods
from .docker import IMAGE, Daemon, Docker, version
from .image import NAME
from .podman import Podman, Store, stores
from .waiting import until

pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]
#: State roots that engines have of themselves.
CTR, CRI, PODMAN = Path("/run/containerd/runc/default"), Path("/run/containerd/runc/k8s.io"), Path("/run/pyrunc")
#: Of pyrunc's shim: below it, the namespace in which the engine has its containers.
OF_SHIM = Path("/run/containerd/pyrunc")


class Pyrunc:
    """The command as an operator of the node calls it. root: named where the engine has another than usual."""

    def __init__(self, path: str, root: Path | None = None) -> None:
        self.argv = [path, *(["--root", str(root)] if root else [])]

    def ok(self, *args: str | Path, stdin: str = "") -> str:
        done = self(*args, stdin=stdin)
        assert done.returncode == 0, done
        return done.stdout

    def __call__(self, *args: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.argv, *map(str, args)], input=stdin, capture_output=True, text=True, check=False,
                              timeout=200, env={"PATH": "/usr/bin:/bin"})

    def five_commands(self, event: str, asked: str, place: Path) -> None:
        """Of a container whose program is not there: from the event that the engine shows to what the node lacks."""
        assert "at process.args[0] in config.json" in event, event
        why = self.ok("why", *([asked] if asked else []))
        assert 'where   process.args[0] in config.json = "nosuch"' in why and len(why.splitlines()) <= 10, why
        assert "executable file not found in $PATH" in why
        file = place / f"{self.ok('why', '--all').split()[2]}.json"
        assert self.ok("report", "--output", file, *([asked] if asked else [])) == f"{file}\n"
        plan = self.ok("explain", "--report", file)
        failed = [line for line in plan.splitlines() if line.startswith("!")]
        assert len(failed) == 1 and "process.find_executable" in failed[0], plan
        assert self.ok("doctor")


@pytest.fixture(scope="module")
def path(request: pytest.FixtureRequest) -> str:
    return runtimes.find(request.config.getoption("runtime"))


@pytest.fixture(scope="module")
def kept() -> Iterator[None]:
    """Reports are kept by whatever is called from here on: they are switched off for the other tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("PYRUNC_REPORTS", raising=False)
        yield


def looked_into(pyrunc: Pyrunc, root: Path, id: str, begin: Callable[[], Any]) -> Any:
    """With both switch files in the state root: the container stops, is looked into, and goes on; its trace is there.

    begin: what makes the engine call create, and returns when it has. What it returned is handed on.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "@break").write_text("root.switch, state.save\n")
    (root / "@trace").touch()
    here = Pyrunc(pyrunc.argv[0], root)
    try:
        with ThreadPoolExecutor(1) as pool:
            began = pool.submit(begin)
            until(lambda: began.done() or "root.switch" in here("step", id).stdout, lambda: here("step", id))
            assert not began.done(), began.result()
            assert json.loads(here.ok("state", id))["stopped"][0]["step"] == "root.switch"
            seen = here.ok("step", id, "shell", stdin="readlink /proc/self/ns/mnt; hostname\n").split()
            assert seen[0] != os.readlink("/proc/self/ns/mnt") and len(seen) == 2
            assert "state.save" in here.ok("step", id, "continue")
            assert not began.done()
            here.ok("step", id, "continue")
            done = began.result(200)
    finally:
        for name in ("@break", "@trace"):
            (root / name).unlink()
    assert f"create {id} (pyrunc " in here.ok("trace", "show", "--command", "create", id)
    (root / "@trace.jsonl").unlink()
    return done


# ---- containerd: ctr -----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def containerd(private_world: None, kept: None) -> Iterator[Containerd]:
    daemon = Containerd(Path(tempfile.mkdtemp(prefix="containerd-", dir="/tmp")))
    yield daemon
    daemon.stop()


def test_ctr(containerd: Containerd, path: str, name: str, place: Path) -> None:
    pyrunc, bundle = Pyrunc(path), bundles.bundle(place / "bundle")
    run = ("run", "--runc-binary", path, "--config", str(bundle / "config.json"))
    root = {"path": str(bundle / "rootfs")}
    bundles.write(bundle, docker_like(process={"args": ["nosuch"]}, root=root))
    done = containerd.ctr(*run, f"{name}-a")
    assert done.status != 0
    pyrunc.five_commands(done.stderr, f"{name}-a", place)
    # A capability that no kernel has, of which the log has to tell.
    bundles.write(bundle, docker_like(process={"args": ["sleep", "1000"], "capabilities": {
        "bounding": ["CAP_CHOWN", "CAP_NOSUCH"]}}, root=root))
    looked_into(pyrunc, CTR, name, lambda: containerd.ok(*run, "--detach", name))
    try:
        logs = list((containerd.place / "state").glob(f"*/default/{name}/log.json"))
        records = [json.loads(line) for line in logs[0].read_text().splitlines()]
        assert [record["level"] for record in records if "CAP_NOSUCH" in record["msg"]] == ["warning"], records
    finally:
        containerd.ctr("task", "kill", "--signal", "KILL", name)
        containerd.ctr("task", "delete", "--force", name)
        containerd.ctr("container", "delete", name)


# ---- containerd: CRI -----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def cri_daemon(private_world: None, kept: None, path: str) -> Iterator[Cri]:
    daemon = Cri(Path(tempfile.mkdtemp(prefix="cri-", dir="/tmp")), {"pyrunc": path, SHIM: ""})
    yield daemon
    daemon.stop()


@pytest.mark.parametrize(("handler", "root"), [("pyrunc", CRI), (SHIM, OF_SHIM / "k8s.io")], ids=["pyrunc", SHIM])
def test_cri(cri_daemon: Cri, handler: str, root: Path, path: str, name: str, place: Path) -> None:
    pod, pyrunc = Pods(cri_daemon, handler, name)(), Pyrunc(path)
    try:
        container = pod.create("nosuch")
        with pytest.raises(cri_daemon.error) as failed:
            container.start()
        pyrunc.five_commands(str(failed.value), pod.config["metadata"]["name"], place)
        container = pod.create("sleep", "1000")
        looked_into(pyrunc, root, container.id, container.start)
        assert container.state() == "running"
    finally:
        pod.remove()


# ---- CRI-O: conmon -------------------------------------------------------------------------------------------------
def test_crio(private_world: None, kept: None, path: str, name: str, place: Path) -> None:
    crio = Crio(path, place / "crio")
    pyrunc = Pyrunc(path, crio.place / "root")
    with pytest.raises(CreateFailed) as failed:
        Container(crio, f"{name}-a", docker_like(process={"args": ["nosuch"]}, linux={"cgroupsPath": f"/crio/{name}"}))
    pyrunc.five_commands(str(failed.value), f"{name}-a", place)
    container = looked_into(pyrunc, crio.place / "root", name, lambda: Container(
        crio, name, docker_like(process={"args": ["sleep", "1000"]}, linux={"cgroupsPath": f"/crio/{name}"})))
    container.start()
    assert container.state()["status"] == "running"
    crio.ok("delete", "--force", name)


# ---- Docker --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def docker_here(private_world: None, kept: None, path: str) -> Iterator[Daemon]:
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="docker-", dir="/tmp")), {runtimes.name(path): path}, shim=SHIM)
    yield daemon
    daemon.stop()


@pytest.mark.parametrize("by", ["pyrunc", SHIM])
def test_docker(docker_here: Daemon, by: str, path: str, name: str, place: Path) -> None:
    """A runtime's state root is below exec-root, which is /run/docker unless one of one's own is configured, as here.
    It has the name of runc, whichever runtime it is. A shim's is where it is under any engine, but where it has the
    name of containerd's own, for which Docker has options."""
    docker = Docker(docker_here, runtimes.name(path) if by == "pyrunc" else by, name)
    root = OF_SHIM / "moby" if by == SHIM and version() >= 23 else docker_here.place / "exec/runtime-runc/moby"
    pyrunc = Pyrunc(path, root)
    try:
        done = docker.run(IMAGE, "nosuch", name=f"{name}-a")
        assert done.status == 127
        pyrunc.five_commands(done.stderr, docker.inspect(f"{name}-a")["Id"][:12], place)
        assert "at process.args[0] in config.json" in docker.state(f"{name}-a")["Error"]
        id = docker.ok(*docker.words("create", IMAGE, "sleep", "1000")).strip()
        looked_into(pyrunc, root, id, lambda: docker.ok("start", name))
        assert docker.state()["Running"]
    finally:
        docker_here.clear(name)


# ---- Podman --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def store(private_world: None, kept: None, path: str) -> Iterator[Store]:
    yield from stores(path)


def test_podman(store: Store, path: str, name: str, place: Path) -> None:
    podman, pyrunc = Podman(store, path, name), Pyrunc(path)
    done = podman.run(args=["nosuch"])
    assert done.status == 127
    pyrunc.five_commands(done.stderr, "", place)
    id = podman.ok("create", "--name", name, "--network", "none", NAME, "sleep", "1000")
    looked_into(pyrunc, PODMAN, id, lambda: podman.ok("start", name))
    assert podman.state()["Status"] == "running"
    podman.ok("rm", "--force", "--time", "0", name)
