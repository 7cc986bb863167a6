"""What the scenarios of all engines share: the runtime that the engine is told to call, and which of them run."""
from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import runtimes

from .cri import Cri, Pod, Pods
from .docker import Daemon, Docker
from .podman import Podman, Store

HERE = Path(__file__).parent
#: How scenarios and daemons call the shim of our own, the runtime type io.containerd.pyrunc.v2.
SHIM = "shim"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --engines, of this folder only the scenarios marked `every_time`."""
    if config.getoption("engines"):
        return
    left = [item for item in items if HERE in item.path.parents and not item.get_closest_marker("every_time")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(params=["runc", "pyrunc"])
def binary(request: pytest.FixtureRequest) -> str:
    """Path of the runtime: runc proves the scenario, the runtime under test must do as well."""
    if request.param == "runc":
        return runtimes.find("runc")
    return runtimes.find(request.config.getoption("runtime"))


@pytest.fixture(scope="session")
def docker_daemon(request: pytest.FixtureRequest, private_world: None) -> Iterator[Daemon]:
    path = runtimes.find(request.config.getoption("runtime"))
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="docker-", dir="/tmp")), {runtimes.name(path): path}, shim=SHIM)
    yield daemon
    daemon.stop()


@pytest.fixture(params=["runc", "pyrunc", SHIM])
def docker(request: pytest.FixtureRequest, docker_daemon: Daemon, name: str) -> Iterator[Docker]:
    path = runtimes.find(request.config.getoption("runtime"))
    yield Docker(docker_daemon, runtimes.name(path) if request.param == "pyrunc" else request.param, name)
    docker_daemon.clear(name)


@pytest.fixture(params=["runc", "pyrunc", SHIM])
def handler(request: pytest.FixtureRequest) -> str:
    """The name under which the configuration of the CRI plugin knows the runtime, or the shim that calls none."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def handlers(request: pytest.FixtureRequest) -> dict[str, str]:
    """Handler -> path of its runtime, "" for the shim of our own."""
    return {"runc": runtimes.find("runc"), "pyrunc": runtimes.find(request.config.getoption("runtime")), SHIM: ""}


@pytest.fixture(scope="module")
def cri(private_world: None, handlers: dict[str, str]) -> Iterator[Cri]:
    # Not for the whole session: Podman mounts /run/netns on itself, and then no pod's network namespace can be removed.
    daemon = Cri(Path(tempfile.mkdtemp(prefix="cri-", dir="/tmp")), handlers)
    yield daemon
    daemon.stop()


@pytest.fixture
def pods(cri: Cri, handler: str, name: str) -> Iterator[Pods]:
    """Makes pods of the runtime, which are removed after the scenario."""
    maker = Pods(cri, handler, name)
    yield maker
    for pod in maker.made:
        pod.remove()


@pytest.fixture
def pod(cri: Cri, handler: str) -> Iterator[Pod]:
    """The runtime's shared pod; a scenario's containers are gone after it."""
    shared = cri.pod(handler)
    yield shared
    shared.clear()


@pytest.fixture
def podman(store: Store, binary: str, name: str) -> Podman:
    """The module's store with the runtime of the test."""
    return Podman(store, binary, name)


@pytest.fixture(scope="module")
def sleepers() -> dict[str, str]:
    """Runtime -> name of Podman's container that sleeps, for the module's scenarios that only come to one."""
    return {}
