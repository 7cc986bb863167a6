"""What works for the manager is killed: spawners and the keeper. No container is lost, and none is left behind."""
from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import PyruncError
from pyrunc.manager import Container, Manager
from pyrunc.manager.connection import Lost
from pyrunc.manager.handlers import ATTEMPTS
from tests.bench.manager import keeper_of
from tests.manager.conftest import config_of, running, until

#: Of each kind; a hundred and more with PYRUNC_KILLS.
KILLS = int(os.environ.get("PYRUNC_KILLS", "8"))


def spawners(m: Manager) -> list[int]:
    """The keeper's children that are no container's: in its pid namespace."""
    keeper = keeper_of(m.directory.path)
    children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    found = []
    for child in children:
        with suppress(OSError):
            if os.readlink(f"/proc/{child}/ns/pid") == os.readlink("/proc/self/ns/pid"):
                found.append(int(child))
    return found


async def life(m: Manager, rootfs: Path, name: str, status: int) -> Container | None:
    """A container that ends with this status; None when the operation that was to make or start it was killed."""
    try:
        container = await m.create(name, config_of(rootfs, "sh", "-c", f"exit {status}"))
    except PyruncError as fault:
        assert "killed" in str(fault) or "keeper has ended" in str(fault), fault
        assert name not in [one.id for one in m.containers()]
        return None
    with suppress(PyruncError):
        await container.start()
    return container


async def settled(container: Container, status: int) -> None:
    """Its end is known exactly, or it is still to be started."""
    if container.status == "created":
        with suppress(PyruncError):                      # a start that was cut off may have been enough
            await container.start()
    exit = await container.wait(30)
    assert (exit.status, exit.lost) == (status, False), (container, exit)


def left(m: Manager) -> list[str]:
    """What is there of containers that are no more."""
    return [*os.listdir(m.root), *os.listdir(m.directory.path / "containers")]


async def test_spawners_are_killed_anywhere(m: Manager, rootfs: Path, name: str) -> None:
    await running(m, f"{name}-old", rootfs)
    old = m.get(f"{name}-old")
    chance = random.Random(f"spawners {KILLS}")

    async def strike(seconds: float) -> None:
        await asyncio.sleep(seconds)
        for pid in spawners(m):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for number in range(KILLS):
        lives = [life(m, rootfs, f"{name}-{number}-{one}", one) for one in range(3)]
        *made, _ = await asyncio.gather(*lives, strike(chance.uniform(0.0, 0.05)))
        for status, container in enumerate(made):
            if container is not None:
                await settled(container, status)
                await container.delete()
    assert old.status == "running" and (await old.exec(["echo", "x"])).stdout == b"x\n"
    await old.delete(force=True)
    assert left(m) == []


async def test_the_keeper_is_killed_anywhere(m: Manager, rootfs: Path, name: str) -> None:
    """The tests' process is the subreaper that pid 1 would be; the statuses are told by the kernel (Linux 6.15)."""
    await running(m, f"{name}-old", rootfs)
    old, chance = m.get(f"{name}-old"), random.Random(f"keeper {KILLS}")

    async def strike(seconds: float) -> None:
        await asyncio.sleep(seconds)
        with suppress(AssertionError, ProcessLookupError):
            os.kill(keeper_of(m.directory.path), signal.SIGKILL)

    async def reap() -> None:
        while True:
            await asyncio.sleep(0.002)
            with suppress(ChildProcessError):
                while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None \
                        and (m.connection._keeper is None or found.si_pid != m.connection._keeper.pid):
                    os.waitpid(found.si_pid, os.WNOHANG)
    reaping = asyncio.ensure_future(reap())
    try:
        for number in range(KILLS):
            lives = [life(m, rootfs, f"{name}-{number}-{one}", one) for one in range(3)]
            *made, _ = await asyncio.gather(*lives, strike(chance.uniform(0.0, 0.06)))
            for status, container in enumerate(made):
                if container is None:
                    continue
                if container.status == "created":
                    with suppress(PyruncError):
                        await container.start()
                exit = await container.wait(30)
                assert exit.status == status or exit.lost, (container, exit)
                await container.delete(force=True)
        assert old.status == "running" and (await old.exec(["echo", "x"])).stdout == b"x\n"
        await old.delete(force=True)
        await until(lambda: left(m) == [])
    finally:
        reaping.cancel()


@pytest.mark.parametrize("done", [0, 2], ids=["undone", "done"])
async def test_a_delete_outlives_all_workers(m: Manager, by: str, rootfs: Path, name: str, done: int,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the last are gone before they have done it; or the second has, and there is nothing left for the last."""
    container = await running(m, name, rootfs, handler=by)
    await container.stop(grace=0)
    call, count = m.connection.call, 0

    async def cut(operation: str, *args: Any, **request: Any) -> Any:
        nonlocal count
        if operation == "delete" or "delete" in request.get("argv", ()):
            count += 1
            if count == done:
                await call(operation, *args, **request)
            if count < ATTEMPTS:
                raise Lost("the worker was killed by signal 9")
        return await call(operation, *args, **request)
    monkeypatch.setattr(m.connection, "call", cut)
    await container.delete()
    assert count == ATTEMPTS and left(m) == []


@pytest.mark.parametrize("reason", ["SIGSYS", "exit"])
async def test_how_a_child_died_is_told(m: Manager, rootfs: Path, name: str, reason: str) -> None:
    """The init is the keeper's child, and not of the worker that waits for it: why it ended is not guessed."""
    config = config_of(rootfs)
    rule = {"names": ["execve"], "action": "SCMP_ACT_KILL_PROCESS"}
    if reason == "exit":
        config["process"]["args"] = ["/nonesuch"]
    else:
        rule["names"] = ["openat", "open", "write", "read", "close", "prctl", "poll", "ppoll"]
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    with pytest.raises(PyruncError) as raised:
        await m.create(name, config)
        await m.get(name).start()
    said = str(raised.value)
    assert ("nonesuch" in said) if reason == "exit" else ("signal 31" in said), said
