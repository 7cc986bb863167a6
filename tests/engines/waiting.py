"""Wait for what a daemon brings about in its own time; under a loaded machine that may be long."""
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

SECONDS = 150
EAT = "dd if=/dev/zero of=/dev/null bs=64M count=1"          # more memory than a container of these tests has


def out_of_memory(last: str) -> str:
    """The script of a container of 16 MiB. It runs out of memory until notice() is given, and ends with `last`.

    containerd learns of it from memory.events, which it watches from some time after the start on: what happens before
    that is lost to it, as is what it has not read when the container is deleted.
    """
    return f"until test -e /dev/shm/seen; do {EAT}; sleep 0.2; done; {last}"


def notice(pid: int) -> None:
    """Tell the container of the first process pid that its lack of memory has been seen."""
    Path(f"/proc/{pid}/root/dev/shm/seen").touch()


def until(done: Callable[[], bool], what: Callable[[], object]) -> None:
    """Until done() is true. AssertionError with what() when it is not within SECONDS."""
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)
