"""Many containers, one after the other and at once: no mount, cgroup, process or file stays."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import bundles
from tests.bundles import docker_like, merge
from tests.runtimes import Runtime
from tests.seccomp_profile import small
from tests.world import Snapshot

RICH = merge(docker_like(), {
    "process": {"args": ["sleep", "1000"]},
    "linux": {"seccomp": small(), "cgroupsPath": None},
})


def life(runtime: Runtime, bundle: Path, name: str) -> None:
    """One whole life with every command engines use."""
    init = runtime.create(name, bundle)
    runtime.ok("start", name)
    assert runtime.status(name) == "running"
    runtime.ok("kill", name, "KILL")
    assert init.wait() == 137
    runtime.ok("delete", name)


@pytest.mark.timeout(600)
def test_200_lives_in_a_row(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", RICH)
    life(runtime, bundle, name)         # what is kept on purpose, such as compiled filters, is there from now on
    before = Snapshot.take(name, runtime.root)
    for index in range(200):
        life(runtime, bundle, f"{name}-{index}")
    assert before.settle(name, runtime.root) == before


@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", ["life", "run"])
def test_20_at_a_time(command: str, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", RICH)
    short = bundles.bundle(place / "short", merge(RICH, {"process": {"args": ["true"]}}))
    life(runtime, bundle, name)
    before = Snapshot.take(name, runtime.root)

    def one(index: int) -> None:
        if command == "life":
            life(runtime, bundle, f"{name}-{index}")
        else:
            assert runtime.run(f"{name}-{index}", short).status == 0
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(one, range(100)))
    assert before.settle(name, runtime.root) == before


@pytest.mark.guest
def test_lives_with_limits_leave_nothing(runtime: Runtime, place: Path, name: str) -> None:
    limits = {"memory": {"limit": 32 << 20}, "pids": {"limit": 20}, "cpu": {"shares": 100},
              "devices": [{"allow": False, "access": "rwm"}]}
    bundle = bundles.bundle(place / "bundle", merge(RICH, {"linux": {"resources": limits}}))
    life(runtime, bundle, name)
    before = Snapshot.take(name, runtime.root)
    for index in range(5):
        life(runtime, bundle, f"{name}-{index}")
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda index: life(runtime, bundle, f"{name}-p{index}"), range(5)))
    assert before.settle(name, runtime.root) == before
