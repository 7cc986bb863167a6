"""How a container has ended, when its manager, its keeper or both have ended before: on this kernel and in the guest.

From Linux 6.15 on the kernel tells who has a pidfd. Before it, as on Debian 12, only the parent knows: the keeper.
Then an end without a keeper is lost, and is said to be. It is never invented.
"""
from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from pyrunc.manager import Manager
from pyrunc.manager.lost import status_of
from tests.bench.manager import keeper_of
from tests.manager.conftest import end_keeper, remove_all, running, until

#: Whether the kernel tells how a process has ended that is no child of ours.
TELLS = tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2]) >= (6, 15)
HERE_AND_IN_THE_GUEST = pytest.mark.parametrize("where", ["here", pytest.param("guest", marks=pytest.mark.guest)])


@pytest.fixture
def places(private_world: None, place: Path) -> Iterator[tuple[str, Path]]:
    """A state root and a manager's directory."""
    yield str(place / "state"), place / "manager"
    end_keeper(place / "manager")


@asynccontextmanager
async def reaped() -> AsyncIterator[None]:
    """Orphans come to the tests' process, which does what pid 1 would do."""
    async def reap() -> None:
        while True:
            await asyncio.sleep(0.002)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
    reaping = asyncio.ensure_future(reap())
    try:
        yield
    finally:
        reaping.cancel()


def waiting(word: str, status: int) -> tuple[str, ...]:
    """A program that ends with this status when there is a file of this name in its root."""
    return "sh", "-c", f"while ! test -e /{word}; do sleep 0.05; done; exit {status}"


@HERE_AND_IN_THE_GUEST
async def test_who_knows_how_it_ended(places: tuple[str, Path], rootfs: Path, name: str, where: str) -> None:
    async with reaped():
        async with Manager(*places) as one:
            pids = {word: (await running(one, f"{name}-{word}", rootfs, *waiting(word, status))).pid
                    for word, status in (("a", 41), ("b", 42), ("c", 43))}
        (rootfs / "a").touch()
        await until(lambda: not os.path.exists(f"/proc/{pids['a']}"))
        async with Manager(*places) as two:              # it ended without a manager: the keeper has written it down
            exit = await two.get(f"{name}-a").wait(20)
            assert (exit.status, exit.lost) == (41, False)
            os.kill(keeper_of(places[1]), signal.SIGKILL)
            await until(lambda: not two.connection.connected)
            (rootfs / "b").touch()                       # without a keeper: the manager holds a pidfd
            exit = await two.get(f"{name}-b").wait(30)
            assert (exit.status, exit.lost, exit.code) == ((42, False, 42) if TELLS else (None, True, 255))
            told = [event.details for event in two.journal._kept if event.kind == "exited"]
            assert [(one["status"], one["signal"], one["lost"]) for one in told] == [
                (41, None, False), (exit.status, None, not TELLS)]
        (rootfs / "c").touch()
        await until(lambda: not os.path.exists(f"/proc/{pids['c']}"))
        async with Manager(*places) as three:            # without either: nobody can know
            try:
                exit = await three.get(f"{name}-c").wait(20)
                assert (exit.status, exit.signal, exit.lost, exit.code) == (None, None, True, 255)
                assert [event.details["lost"] for event in three.journal._kept if event.kind == "exited"] == [
                    False, not TELLS, True]
            finally:
                await remove_all(three)


@HERE_AND_IN_THE_GUEST
async def test_what_the_kernel_tells(private_world: None, where: str) -> None:
    """By a pidfd of a process that another one has reaped."""
    child = os.fork()
    if not child:
        os._exit(7)
    pidfd = os.pidfd_open(child)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert status_of(pidfd) is None                      # it is a zombie
    os.waitpid(child, 0)
    assert status_of(pidfd) == (7 << 8 if TELLS else None)
    os.close(pidfd)
