"""A state root with made-up containers."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..state.made import World


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "state")
    yield world
    world.reap()
