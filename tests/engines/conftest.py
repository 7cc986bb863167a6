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
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="docker-", dir="/tmp")), {runtimes.name(path): path})
    yield daemon
    daemon.stop()


@pytest.fixture
def docker(docker_daemon: Daemon, binary: str, name: str) -> Iterator[Docker]:
    yield Docker(docker_daemon, runtimes.name(binary), name)
    docker_daemon.clear(name)


@pytest.fixture
def handler(binary: str) -> str:
    """The name under which the configuration of the CRI plugin knows the runtime."""
    return "runc" if Path(binary).name == "runc" else "pyrunc"


@pytest.fixture(scope="module")
def cri(request: pytest.FixtureRequest, private_world: None) -> Iterator[Cri]:
    handlers = {"runc": runtimes.find("runc"), "pyrunc": runtimes.find(request.config.getoption("runtime"))}
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
