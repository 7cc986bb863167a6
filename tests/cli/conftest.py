"""A state root with made-up containers, and a process that is after each test what it was before."""
from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.stopping import STOPPING

from ..state.made import World


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "state")
    yield world
    world.reap()


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """main changes the process as it may its own: handlers of signals, and the working directory."""
    handlers, directory = [(number, signal.getsignal(number)) for number in STOPPING], os.getcwd()
    yield
    os.chdir(directory)
    for number, handler in handlers:
        signal.signal(number, handler)
