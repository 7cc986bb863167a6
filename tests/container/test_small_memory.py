"""How little memory a container may have: what the init needs until its execve is charged to it (docs/memory.md)."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests import bundles, world
from tests.bundles import docker_like
from tests.runtimes import Runtime


@pytest.mark.guest
def test_two_mebibytes_are_enough(runtime: Runtime, place: Path, name: str) -> None:
    limits = {"memory": {"limit": 2 << 20}}
    bundle = bundles.bundle(place / "b", docker_like(linux={"resources": limits}))
    runtime.ok("run", "--bundle", bundle, name)


@pytest.mark.guest
def test_too_little_is_told_as_such(runtime: Runtime, place: Path, name: str) -> None:
    """The error names the limit as the cause, as runc's does, and nothing is left."""
    limits = {"memory": {"limit": 256 << 10}}
    bundle = bundles.bundle(place / "b", docker_like(linux={"resources": limits}))
    before = world.Snapshot.take(name, runtime.root)
    outcome = runtime("run", "--bundle", bundle, name)
    assert outcome.status == 1
    assert "container init was OOM-killed (memory limit too low?)" in outcome.stderr, outcome.stderr
    assert before.settle(name, runtime.root) == before
