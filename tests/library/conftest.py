from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pyrunc
from tests import bundles
from tests.bundles import Config, docker_like


@pytest.fixture
def library(private_world: None, place: Path) -> Iterator[pyrunc.Runtime]:
    """A runtime with a state root of its own; containers that a failed test left are deleted."""
    with pyrunc.Runtime(root=str(place / "state")) as runtime:
        yield runtime
        for left in runtime.containers():
            left.delete(force=True)


@pytest.fixture
def rootfs(place: Path) -> Path:
    """A root file system with busybox."""
    return bundles.busybox_root(place / "rootfs")


def config_of(rootfs: Path, *args: str, **changes: object) -> Config:
    """A config like Docker's that runs args in this root; no bundle is needed."""
    return docker_like(process={"args": list(args) or ["sleep", "1000"]}, root={"path": str(rootfs)}, **changes)
