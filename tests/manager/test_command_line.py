"""Containers that the command line has made under a manager's root, and what it does with those that are known."""
from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pyrunc
from pyrunc.library import program
from pyrunc.manager import Manager
from tests import bundles
from tests.bundles import docker_like
from tests.manager.conftest import config_of, kinds, remove_all, until

Line = Callable[..., None]


def command_line(root: str) -> Line:
    """Runs the command line under this root."""
    def run(*words: str) -> None:
        subprocess.run([program.find(), "--root", root, *words], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)
    return run


@pytest.fixture
def line(m: Manager) -> Line:
    """Under the manager's."""
    return command_line(m.root)


@pytest.fixture
def bundle(place: Path) -> str:
    return str(bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]})))


async def test_they_are_found_at_the_start_and_later(places: tuple[str, Path], bundle: str, name: str) -> None:
    line = command_line(places[0])
    line("create", "--bundle", bundle, name)
    async with Manager(*places) as m:
        try:
            one = m.get(name)
            assert one.status == "created" and not one.managed
            await one.start()
            assert (await one.exec(["echo", "x"])).stdout == b"x\n"
            assert one.config()["process"]["args"] == ["sleep", "1000"]
            line("run", "--detach", "--bundle", bundle, f"{name}-later")
            await m.refresh()
            assert m.get(f"{name}-later").status == "running"
            line("kill", f"{name}-later", "KILL")
            exit = await m.get(f"{name}-later").wait(20)
            assert exit.signal == 9 or exit.lost         # exact from Linux 6.15 on, and never invented before it
            line("delete", f"{name}-later")
            await m.refresh()
            with pytest.raises(pyrunc.StateError):
                m.get(f"{name}-later")
            await one.stop(grace=0)
        finally:
            await remove_all(m)


@pytest.mark.parametrize("whose", ["the command line's", "the manager's"])
async def test_what_it_does_with_those_that_are_known(m: Manager, line: Line, bundle: str, rootfs: Path, name: str,
                                                      whose: str) -> None:
    if whose == "the manager's":
        await m.create(name, config_of(rootfs))
    else:
        line("create", "--bundle", bundle, name)
        await m.refresh()
    one, paused = m.get(name), False
    assert one.status == "created"
    line("start", name)
    await m.refresh()
    assert one.status == "running" and one.info().started
    if one.cgroup:
        line("pause", name)
        await m.refresh()
        paused = one.status == "paused"
        assert paused
        line("resume", name)
        await m.refresh()
    assert one.status == "running" and (await one.exec(["echo", "x"])).stdout == b"x\n"
    await m.refresh()                                # which finds nothing new
    told = [kind for kind in await kinds(m) if kind not in ("created", "adopted")]
    assert told == ["started", *(["paused", "resumed"] if paused else [])]


async def test_a_name_that_another_one_has_now(m: Manager, line: Line, bundle: str, name: str) -> None:
    line("run", "--detach", "--bundle", bundle, name)
    await m.refresh()
    old = m.get(name)
    line("delete", "--force", name)
    line("run", "--detach", "--bundle", bundle, name)
    await until(lambda: not old.alive)
    await m.refresh()
    assert m.get(name) is not old and m.get(name).status == "running" and m.get(name).pid != old.record.pid
    assert [kind for kind in await kinds(m) if kind != "exited"] == ["adopted", "deleted", "adopted"]


async def test_a_refresh_leaves_alone_what_is_at_work(m: Manager, line: Line, rootfs: Path, name: str) -> None:
    """Whoever is starting it tells of that, once."""
    one = await m.create(name, config_of(rootfs))
    async with one.lock:
        line("start", name)
        await m.refresh()
        assert one.status == "created" and await kinds(m) == ["created"]


@pytest.mark.parametrize("again", [False, True], ids=["gone", "another has its name"])
async def test_a_refresh_tells_of_no_delete_of_ours(m: Manager, line: Line, bundle: str, name: str, again: bool,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes when the runtime has done it, and the manager does not know that yet: who deletes tells of it, once."""
    line("create", "--bundle", bundle, name)
    await m.refresh()
    one = m.get(name)
    delete = type(one.handler).delete

    async def then_looked(*args: Any) -> None:
        await delete(*args)
        if again:
            line("create", "--bundle", bundle, name)
        await m.refresh()
    monkeypatch.setattr(type(one.handler), "delete", then_looked)
    await one.delete()
    monkeypatch.undo()
    assert [kind for kind in await kinds(m) if kind != "exited"] == ["adopted", "deleted"]
    await m.refresh()
    assert [one.id for one in m.containers()] == [name] * again


async def test_who_waits_for_one_that_was_deleted(m: Manager, line: Line, bundle: str, name: str,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command line, and before the manager knows of its end: there is an answer, and nothing is invented."""
    monkeypatch.setattr("pyrunc.manager.lost.watched", lambda _: asyncio.get_running_loop().create_future())
    line("run", "--detach", "--bundle", bundle, name)
    await m.refresh()
    waiting = asyncio.ensure_future(m.get(name).wait())
    await asyncio.sleep(0)
    line("delete", "--force", name)
    await m.refresh()
    assert (await asyncio.wait_for(waiting, 20)).lost
