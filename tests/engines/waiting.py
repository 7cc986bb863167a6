"""Wait for what a daemon brings about in its own time; under a loaded machine that may be long."""
from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 150


def until(done: Callable[[], bool], what: Callable[[], object]) -> None:
    """Until done() is true. AssertionError with what() when it is not within SECONDS."""
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)
