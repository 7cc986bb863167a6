"""What happens after an exit: the policies, the pauses between restarts, and when they begin anew."""
from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import pyrunc
from pyrunc.manager import Exit, File, Manager, Restart, Stdio
from pyrunc.manager.directory import Record
from pyrunc.manager.restart import after
from tests.manager.conftest import config_of, kinds, remove_all, running, until

UNTIL_GO = "sh", "-c", "until test -e /go; do sleep 0.01; done"


async def test_on_failure(m: Manager, by: str, rootfs: Path, name: str) -> None:
    script = "echo x >>/count; test $(wc -l </count) -ge 3"        # fails twice
    container = await running(m, name, rootfs, "sh", "-c", script, handler=by, restart="on-failure")
    await until(lambda: container.status == "stopped", 60)
    assert container.exit is not None and container.exit.status == 0
    assert container.info().restarts == 2 and (rootfs / "count").read_text() == "x\n" * 3


async def test_on_failure_with_a_limit(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "sh", "-c", "exit 4", handler=by, restart="on-failure:2")
    await until(lambda: container.status == "stopped", 60)
    assert container.exit is not None and container.exit.status == 4 and container.record.life == 3


async def test_always_until_it_is_stopped(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "sh", "-c", "sleep 0.1", handler=by, restart="always")
    await until(lambda: container.record.restarts >= 2, 60)
    await container.stop(grace=1)
    life = container.record.life
    await asyncio.sleep(1.0)
    assert container.status == "stopped" and container.record.life == life
    await container.delete()


async def test_stop_while_it_waits_for_its_restart(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "false", handler=by, restart="always")
    await until(lambda: container.record.restarts >= 3 and container.status == "restarting", 60)
    exit = await container.stop()
    assert exit.status == 1 and container.status == "stopped"


async def test_an_exit_is_told_before_the_restart(m: Manager, of: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "false", restart="on-failure:1", handler=of)
    await until(lambda: container.status == "stopped", 60)
    assert await kinds(m) == ["created", "started", "exited", "restarting", "created", "started", "exited"]


async def test_one_that_cannot_be_made_is_tried_again(m: Manager, of: str, rootfs: Path, place: Path,
                                                      name: str) -> None:
    """After pauses that double, however long the life was that it once had."""
    (place / "out").mkdir()
    container = await running(m, name, rootfs, *UNTIL_GO, restart="always", handler=of,
                              stdio=Stdio(stdout=File(str(place / "out/log"))))
    container.record.started = 1.0
    os.rename(place / "out", place / "elsewhere")
    (rootfs / "go").touch()
    await until(lambda: container.record.restarts == 3)
    (rootfs / "go").unlink()
    os.rename(place / "elsewhere", place / "out")
    await until(lambda: container.status == "running")
    told = list(m.journal._kept)
    assert [event.details["operation"] for event in told if event.kind == "failed"][:2] == ["restart"] * 2
    assert [event.details["seconds"] for event in told if event.kind == "restarting"][:3] == [0.1, 0.1, 0.2]


class Busy:
    """A handler whose first delete fails."""

    def __init__(self, real: Any) -> None:
        self._real, self._tried = real, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def delete(self, *args: Any) -> None:
        if not self._tried:
            self._tried = True
            raise pyrunc.PyruncError("the cgroup is busy")
        await self._real.delete(*args)


async def test_what_is_left_of_it_cannot_be_removed_at_once(m: Manager, of: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, *UNTIL_GO, restart="always", handler=of)
    container.handler = Busy(container.handler)
    (rootfs / "go").touch()
    await until(lambda: container.record.life == 2)
    assert "failed" in await kinds(m)


async def test_its_limit_begins_anew_when_it_is_started(m: Manager, of: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "false", restart="on-failure:1", handler=of)
    await until(lambda: container.status == "stopped")
    await container.start()
    await until(lambda: container.status == "stopped" and container.record.life == 4)
    assert container.info().restarts == 1


@pytest.mark.parametrize(("mode", "runs"), [
    ("always", True), ("unless-stopped", False), ("on-failure", False), ("no", False)])
@pytest.mark.parametrize("how", ["stopped", "stopped while none was there", "killed"])
async def test_what_was_stopped_when_the_next_manager_begins(places: tuple[str, Path], of: str, rootfs: Path, name: str,
                                                             mode: str, runs: bool, how: str) -> None:
    async with Manager(*places) as one:
        container = await running(one, name, rootfs, handler=of, restart=mode)
        pid = container.pid
        if how == "stopped":
            await container.stop(grace=0)
        elif how == "killed":                        # which is no stop: a policy that is there restarts it
            runs = mode != "no"
            await container.kill()
            await container.wait()
        else:
            container.on_purpose()
    if how == "stopped while none was there":
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not os.path.exists(f"/proc/{pid}"))
    async with Manager(*places) as two:
        container = two.get(name)
        try:
            if runs:
                await until(lambda: container.status == "running")
                assert container.pid != pid
            else:
                assert container.status == "stopped" and container._restarting is None
                await container.start()              # which it is told to
                assert container.status == "running"
        finally:
            await remove_all(two)


@pytest.mark.parametrize(("why", "mode"), [("checkpointed", "always"), ("not made", "no"), ("not made", "always")])
async def test_one_that_the_runtime_does_not_have(places: tuple[str, Path], of: str, rootfs: Path, name: str, why: str,
                                                  mode: str) -> None:
    """A start has failed, or it was checkpointed: it stays, and what was checkpointed may run elsewhere by now."""
    aside = rootfs.with_name("aside")
    async with Manager(*places) as one:
        container = await running(one, name, rootfs, handler=of, restart=mode)
        await container.stop(grace=0)
        if why == "checkpointed":
            await container.handler.delete(container.record, True)
            container.record.absent = why
            container.save()
        else:
            os.rename(rootfs, aside)
            with pytest.raises(pyrunc.PyruncError):
                await container.start()
            os.rename(aside, rootfs)
    async with Manager(*places) as two:
        container = two.get(name)
        try:
            assert (container.status == "restarting") is (why == "not made" and mode == "always")
            if container.status == "restarting":
                await until(lambda: container.status == "running")
            else:
                await container.start()
            assert container.status == "running" and not container.record.absent
        finally:
            await remove_all(two)


async def test_what_never_ran_is_not_run(places: tuple[str, Path], of: str, rootfs: Path, name: str) -> None:
    async with Manager(*places) as one:
        container = await one.create(name, config_of(rootfs), handler=of, restart="always")
        await container.stop()
    async with Manager(*places) as two:
        container = two.get(name)
        assert container.status == "stopped" and container._restarting is None
        await remove_all(two)


def record(mode: str, **changes: Any) -> Record:
    """A container that was started at second 100."""
    return Record("c", "pyrunc", "/b", restart=Restart.parse(mode), started=100.0, **changes)


@pytest.mark.parametrize(("mode", "exit", "again"), [
    ("no", Exit(1), False), ("always", Exit(0), True), ("unless-stopped", Exit(0), True),
    ("on-failure", Exit(0), False), ("on-failure", Exit(1), True),
    ("on-failure", Exit(None, 9), True), ("on-failure", Exit(None, lost=True), True)])
def test_policies(mode: str, exit: Exit, again: bool) -> None:
    assert (after(record(mode), exit) is not None) is again
    assert after(record(mode, stopped_on_purpose=True), exit) is None


def test_pauses_are_dockers() -> None:
    one, pauses = record("always"), []
    for _ in range(12):
        pauses.append(after(one, Exit(1, time=101.0)))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0]
    assert after(one, Exit(1, time=110.0)) == 0.1                   # it lived for ten seconds


def test_a_container_that_never_ran_is_not_restarted() -> None:
    one = record("always")
    one.started = 0.0
    assert after(one, Exit(None, 9)) is None


@pytest.mark.parametrize("text", ["sometimes", "always:3", "on-failure:x", "on-failure:-1", ""])
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(ValueError):
        Restart.parse(text)
