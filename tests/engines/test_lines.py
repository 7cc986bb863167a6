"""The lines of docs/engines.md for pyrunc's own shim, typed as they stand there. No registry is asked: the images that
they name are loaded before."""
from __future__ import annotations

import os
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import runtimes
from tests.test_engines_md import snippet

from . import image
from .containerd import Containerd
from .cri import Cri, Pods
from .docker import Daemon, client, version

pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]
CTR, NERDCTL, DOCKER = snippet("ctr run --rm --runtime").splitlines()
BUSYBOX = "docker.io/library/busybox:latest"


def typed(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """By an operator, whose client finds its daemon by its environment."""
    path = f"{Path(client()).parent}:{os.environ['PATH']}"
    return subprocess.run(["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=200, env={"PATH": path, "HOME": "/root", **environment})


def processes(name: str) -> list[list[str]]:
    """The words of the command lines of our shims, or of the zygotes that they leave behind, by their name."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text() == f"{name}\n":
                found.append((folder / "cmdline").read_text().split("\0"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def served(socket: Path) -> bool:
    """Whether the containerd that listens there has called our shim."""
    return any(str(socket) in words for words in processes("pyrunc-zygote"))


@pytest.fixture(scope="module")
def containerd(private_world: None) -> Iterator[Containerd]:
    daemon = Containerd(Path(tempfile.mkdtemp(prefix="containerd-", dir="/tmp")))
    daemon.import_image(image.write(daemon.place / "busybox.tar", BUSYBOX))
    yield daemon
    daemon.stop()


def test_ctr(containerd: Containerd) -> None:
    done = typed(CTR, CONTAINERD_ADDRESS=str(containerd.place / "sock"))
    assert (done.returncode, done.stdout) == (0, "hi\n"), done
    assert served(containerd.place / "sock") and not containerd.left("c1")


def test_cri(private_world: None, name: str) -> None:
    """The page's section and the handler of its RuntimeClass."""
    section = snippet("/etc/containerd/config.toml, for pyrunc's shim")
    assert tomllib.loads(section)["version"] == 2
    daemon = Cri(Path(tempfile.mkdtemp(prefix="cri-", dir="/tmp")), {"runc": runtimes.find("runc")},
                 more=section.partition("version = 2\n")[2] + "\n")
    try:
        handler = snippet("pyrunc.yaml").split("handler: ")[1].split()[0]
        pod = Pods(daemon, handler, name)()
        try:
            assert pod.output("echo hi") == ["hi"]
            assert any(pod.id in words for words in processes("pyrunc-shim"))
        finally:
            pod.remove()
        assert not any(pod.id in words for words in processes("pyrunc-shim"))
    finally:
        daemon.stop()


def test_docker(private_world: None) -> None:
    """Docker 20.10 does not know the flag's value, as the page says."""
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="docker-", dir="/tmp")), {})
    try:
        daemon.ok("tag", "pyrunc/busybox", "busybox")
        done = typed(DOCKER, DOCKER_HOST=f"unix://{daemon.socket}")
        if version() < 23:
            assert done.returncode == 125 and "Unknown runtime specified io.containerd.pyrunc.v2" in done.stderr, done
        else:
            assert (done.returncode, done.stdout) == (0, "hi\n"), done
            assert served(daemon.place / "containerd/sock")
    finally:
        daemon.stop()
