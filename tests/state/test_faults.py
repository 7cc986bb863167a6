"""What cannot be found out about a process is an error: it is neither gone nor running by default."""
from __future__ import annotations

import errno
import os
import posix
from collections.abc import Callable
from typing import Any

import pytest

from pyrunc.kernel import own_files, small_file
from pyrunc.kernel.posix import PosixKernel
from pyrunc.state import process_id, store
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
    container, real = Container.load(str(made.root), "c"), small_file.read

    def read(path: str, limit: int = 4096) -> str:
        if path.endswith("cgroup.events"):
            raise OSError(number, os.strerror(number), path)
        return real(path, limit)

    monkeypatch.setattr(small_file, "read", read)
    with pytest.raises(OSError, match=r"cgroup\.events"):
        container.status()


@pytest.mark.parametrize("number", [*FAULTS, errno.ENOLCK, errno.EPERM])
def test_a_lock_is_given_back_though_the_unlock_fails(made: World, monkeypatch: pytest.MonkeyPatch, number: int
                                                      ) -> None:
    """It stayed with the process, which then waited for itself: `run` could not delete its container."""
    made.running("c")
    before = set(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(store, "unlock", failing(number))
        store.Lock(str(made.root), "c").close()
        with store.Lock(str(made.root), "c", 0):
            pass
    store.Lock(str(made.root), "c", 0).close()
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("nth", range(1, 9))
def test_what_is_opened_and_cannot_be_looked_at_is_closed(made: World, monkeypatch: pytest.MonkeyPatch, nth: int
                                                          ) -> None:
    """Also by a process that lives on; and the lock of a container is free again."""
    made.running("c")
    real, calls = posix.fstat, iter(range(1, 100))

    def fstat(fd: int) -> os.stat_result:
        if next(calls) == nth:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "injected")
        return real(fd)

    def use() -> None:
        root = str(made.root)
        os.close(own_files.open_directory(root, "c"))           # two looks
        os.close(own_files.open_file(root, "c", store.STATE))   # three
        with store.Lock(root, "c", seconds=0):                  # one
            place = os.open(made.root, os.O_PATH)
            try:
                os.close(PosixKernel().reopen(place, os.O_RDONLY))    # two
            finally:
                os.close(place)

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(posix, "fstat", fstat)
    for _ in range(2):
        try:
            use()
        except OSError as fault:
            assert fault.filename == "injected"
    assert next(calls) > nth
    assert os.listdir("/proc/self/fd") == before
    monkeypatch.undo()
    use()
