"""`pyrunc why` under engines: what has failed is told afterwards, and nothing of the engine is restarted for that."""
from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import runtimes

from .cri import Cri, Pods
from .podman import Podman, Store, stores

pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]


def why(path: str, *asked: str) -> str:
    """What the command says to whoever calls it, without a flag."""
    done = subprocess.run([path, "why", *asked], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin"})
    assert done.returncode == 0 and len(done.stdout.splitlines()) <= 10, done
    return done.stdout


@pytest.fixture(scope="module")
def path(request: pytest.FixtureRequest) -> str:
    return runtimes.find(request.config.getoption("runtime"))


@pytest.fixture(scope="module")
def daemon(private_world: None, path: str) -> Iterator[Cri]:
    """A containerd whose runtimes keep reports: its environment is theirs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("PYRUNC_REPORTS")
        daemon = Cri(Path(tempfile.mkdtemp(prefix="cri-", dir="/tmp")), {"pyrunc": path})
    yield daemon
    daemon.stop()


def test_a_pod_that_fails_under_cri(daemon: Cri, path: str, name: str) -> None:
    pods = Pods(daemon, "pyrunc", name)
    pod = pods()
    before = daemon.process.pid
    try:
        container = pod.create("/bin/nosuch")
        with pytest.raises(daemon.error, match="no such file or directory"):
            container.start()
        for asked in (container.id, container.id[:12], pod.config["metadata"]["name"]):
            said = why(path, asked)
            assert container.id in said and "process.args[0] in config.json" in said and "/bin/nosuch" in said
            assert f"pod     {pod.config['metadata']['namespace']}/{pod.config['metadata']['name']}" in said
        assert daemon.process.pid == before and daemon.process.poll() is None
    finally:
        pod.remove()


@pytest.fixture(scope="module")
def store(private_world: None, request: pytest.FixtureRequest) -> Iterator[Store]:
    yield from stores(request.config.getoption("runtime"))


def test_a_container_that_fails_under_podman(store: Store, path: str, name: str) -> None:
    podman = Podman(store, path, name)
    podman.detached()
    done = podman.run("--sysctl", "net.ipv4.nosuch=1", args=["true"])
    assert done.status != 0, done
    said = why(path)
    assert 'linux.sysctl["net.ipv4.nosuch"] in config.json' in said and "called by conmon" in said, said
    done = podman.run("--name", f"{name}-b", args=["nosuch"])
    assert done.status == 127
    said = why(path)
    assert 'process.args[0] in config.json = "nosuch"' in said and "executable file not found in $PATH" in said, said
    assert podman.state()["Status"] == "running"
    podman.ok("rm", "--force", "--time", "0", name)
