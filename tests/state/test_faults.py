"""What cannot be found out about a process is an error: it is neither gone nor running by default."""
from __future__ import annotations

import errno
import os
import posix
from collections.abc import Callable
from typing import Any

import pytest

from pyrunc.state import process_id
from pyrunc.state.container import Container

from .made import World

FAULTS = [errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO]


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number), "injected")
    return fail


@pytest.mark.parametrize("number", FAULTS)
def test_a_process_that_cannot_be_looked_at_is_not_gone(made: World, monkeypatch: pytest.MonkeyPatch, number: int
                                                        ) -> None:
    sleeper = made.sleeper()
    monkeypatch.setattr(process_id, "boot_id", failing(number))
    for ask in (process_id.alive, process_id.open_pidfd):
        with pytest.raises(OSError, match="injected"):
            ask(sleeper)
    monkeypatch.undo()
    monkeypatch.setattr(posix, "pidfd_open", failing(number))
    with pytest.raises(OSError, match="injected"):
        process_id.open_pidfd(sleeper)


@pytest.mark.parametrize("number", FAULTS)
def test_a_container_that_cannot_be_looked_at_is_not_running(made: World, monkeypatch: pytest.MonkeyPatch, number: int
                                                             ) -> None:
    made.running("c", cgroup="/sys/fs/cgroup/there")
    container, real = Container.load(str(made.root), "c"), process_id.read

    def read(path: str, limit: int = 4096) -> str:
        if path.endswith("cgroup.events"):
            raise OSError(number, os.strerror(number), path)
        return real(path, limit)

    monkeypatch.setattr(process_id, "read", read)
    with pytest.raises(OSError, match=r"cgroup\.events"):
        container.status()
