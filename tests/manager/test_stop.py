"""A stop that has begun comes to its end, whoever waits for it or no longer does."""
from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

import pyrunc
from pyrunc import StateError, StepError
from pyrunc.manager import Container, Manager, Stop
from tests.manager.conftest import config_of, remove_all, running, until

#: Writes a line for each SIGTERM, and goes on.
DEAF = "trap 'echo asked >>/asked' TERM; touch /ready; while :; do sleep 0.05; done"


async def deaf(m: Manager, name: str, rootfs: Path, handler: str = "pyrunc", **options: Stop) -> Container:
    container = await running(m, name, rootfs, "sh", "-c", DEAF, handler=handler, **options)
    await until(lambda: (rootfs / "ready").exists())
    return container


def asked(rootfs: Path) -> int:
    """How often it was, as far as it has come to saying so."""
    return len((rootfs / "asked").read_text().splitlines()) if (rootfs / "asked").exists() else 0


@pytest.mark.parametrize("moment", ["at once", "after the signal", "in pre_stop"])
async def test_who_asked_for_it_is_gone(m: Manager, of: str, rootfs: Path, name: str, moment: str) -> None:
    slow = Stop(pre_stop=("sh", "-c", "touch /stopping; sleep 0.5")) if moment == "in pre_stop" else Stop()
    container = await deaf(m, name, rootfs, of, stop=slow)
    begun = time.monotonic()
    stopping = asyncio.ensure_future(container.stop(grace=1.5))
    if moment == "at once":
        await asyncio.sleep(0)
    else:
        await until(lambda: asked(rootfs) == 1 if moment == "after the signal" else (rootfs / "stopping").exists())
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    exit = await container.wait(30)
    assert exit.signal == 9 and time.monotonic() - begun >= 1.5
    assert asked(rootfs) <= 1 and container.record.asked and container.status == "stopped"


async def test_another_stop_is_not_waited_for(m: Manager, rootfs: Path, name: str) -> None:
    container = await deaf(m, name, rootfs)
    slow = asyncio.ensure_future(container.stop(grace=600))
    await until(lambda: asked(rootfs) == 1)
    assert (await container.stop(grace=0)).signal == 9
    assert (await slow).signal == 9


@pytest.mark.parametrize("moment", ["asked", "not asked"])
async def test_the_next_manager_goes_on_with_it(places: tuple[str, Path], of: str, rootfs: Path, name: str,
                                                moment: str) -> None:
    """By the same deadline, and without another signal; who had waited for it under the first one is told so."""
    begun = time.monotonic()
    async with Manager(*places) as one:
        container = await deaf(one, name, rootfs, of)
        if moment == "not asked":                    # as of one that was killed before it came to that
            container.record.ends, container.record.stopped_on_purpose = begun + 3.0, True
            container.save()
        else:
            stopping = asyncio.ensure_future(container.stop(grace=3))
            await until(lambda: container.record.asked)
            begun = container.record.ends - 3.0
    if moment == "asked":
        with pytest.raises(pyrunc.StateError, match="the manager is closed"):
            await stopping
    async with Manager(*places) as two:
        try:
            exit = await two.get(name).wait(30)
            assert exit.signal == 9 and time.monotonic() - begun >= 3.0
            assert asked(rootfs) <= 1 and two.get(name).record.asked
            await until(lambda: not two.get(name).stops)
        finally:
            await remove_all(two)


async def test_another_life_knows_nothing_of_it(m: Manager, rootfs: Path, name: str) -> None:
    container = await deaf(m, name, rootfs)
    await container.stop(grace=0)
    assert container.record.ends
    await container.start()
    assert not container.record.ends and not container.record.asked


@pytest.mark.parametrize("status", [0, 1])
async def test_a_stop_of_one_that_is_being_made(m: Manager, rootfs: Path, name: str, status: int) -> None:
    """What comes of its create is what is to end; if nothing does, there is nothing to stop."""
    script = f"touch {rootfs}/begun; while ! test -e {rootfs}/go; do sleep 0.05; done; exit {status}"
    hook = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    making = asyncio.ensure_future(m.create(name, config_of(rootfs, hooks=hook)))
    await until((rootfs / "begun").exists)
    stopping, waiting = (asyncio.ensure_future(one) for one in (m.get(name).stop(grace=600), m.get(name).wait()))
    await asyncio.sleep(0)
    (rootfs / "go").touch()
    if status:
        with pytest.raises(StepError):
            await making
        with pytest.raises(StateError, match="does not exist"):
            await asyncio.wait_for(stopping, 60)
        with pytest.raises(StateError, match="does not exist"):
            await asyncio.wait_for(waiting, 60)
    else:
        assert (await asyncio.wait_for(stopping, 60)).signal == 9
        assert (await waiting).signal == 9 and (await making).status == "stopped"
