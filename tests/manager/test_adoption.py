"""Another manager goes on where one has ended, or was killed; and what the command line has made is found, too."""
from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import pyrunc
from pyrunc.cli.keeper import NAME
from pyrunc.manager import Exit, Log, Manager, Stdio, lost
from pyrunc.manager.directory import MOVING, PLAIN, POLICIES, Directory, Record, text_of
from pyrunc.manager.plain import load
from tests.bench.manager import keeper_of
from tests.manager.conftest import config_of, end_keeper, remove_all, running, until


async def test_the_next_manager_goes_on(places: tuple[str, Path], by: str, rootfs: Path, name: str) -> None:
    async with Manager(*places) as one:
        await one.create(f"{name}-a", config_of(rootfs, "sh", "-c", "exit 3"), handler=by, labels={"x": "y"})
        await running(one, f"{name}-b", rootfs, handler=by)
        quick = await running(one, f"{name}-c", rootfs, "sh", "-c", "exit 4", handler=by)
        await quick.wait(20)
    async with Manager(*places) as two:
        try:
            a, b, c = two.containers()
            assert (a.status, b.status, c.status) == ("created", "running", "stopped") and a.labels == {"x": "y"}
            assert c.exit is not None and c.exit.status == 4
            await a.start()
            assert (await a.wait(20)).status == 3
            assert (await b.exec(["echo", "hello"])).stdout == b"hello\n"
            assert (await b.stop(grace=0.2)).signal == 9
            assert not (await b.wait()).lost
        finally:
            await remove_all(two)


async def test_what_ended_meanwhile_has_its_exact_status(places: tuple[str, Path], by: str, rootfs: Path,
                                                         name: str) -> None:
    script = "while ! test -e /go; do sleep 0.05; done; exit 42"
    async with Manager(*places) as one:
        pid = (await running(one, name, rootfs, "sh", "-c", script, handler=by)).pid
    (rootfs / "go").touch()
    await until(lambda: not os.path.exists(f"/proc/{pid}"))
    async with Manager(*places) as two:
        try:
            exit = await two.get(name).wait(20)
            assert (exit.status, exit.lost) == (42, False)
            assert [event.kind for event in two.journal._kept] == ["created", "started", "exited"]
        finally:
            await remove_all(two)
    async with Manager(*places) as three:            # and it is told once
        assert three.containers() == []
        assert [event.kind for event in three.journal._kept] == ["created", "started", "exited", "deleted"]


def zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")


async def ends_while_the_keeper_is_busy(places: tuple[str, Path], rootfs: Path, pid: int) -> None:
    """For longer than anyone would look for the keeper's word."""
    keeper = keeper_of(places[1])
    os.kill(keeper, signal.SIGSTOP)
    (rootfs / "go").touch()
    await until(lambda: zombie(pid))
    asyncio.get_running_loop().call_later(2.5, os.kill, keeper, signal.SIGCONT)


@pytest.mark.parametrize("moment", ["before it is found", "after"])
async def test_a_busy_keeper_is_waited_for(places: tuple[str, Path], by: str, rootfs: Path, name: str, moment: str,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """The init has ended, and the keeper has not reaped it yet: nobody can know its status, but somebody will."""
    assert lost.KEEPER == NAME
    script = "while ! test -e /go; do sleep 0.05; done; exit 42"
    async with Manager(*places) as one:
        pid = (await running(one, name, rootfs, "sh", "-c", script, handler=by)).pid
    two = Manager(*places)
    if moment == "before it is found":
        from pyrunc.manager.connection import Connection
        asked = Connection.working

        async def working(connection: Connection) -> set[str]:
            found = await asked(connection)
            if not (rootfs / "go").exists():
                await ends_while_the_keeper_is_busy(places, rootfs, pid)
            return found
        monkeypatch.setattr(Connection, "working", working)
    async with two:
        try:
            if moment == "after":
                await ends_while_the_keeper_is_busy(places, rootfs, pid)
            exit = await two.get(name).wait(20)
            assert (exit.status, exit.lost) == (42, False)
            assert [event.kind for event in two.journal._kept] == ["created", "started", "exited"]
        finally:
            await remove_all(two)


async def test_the_log_is_read_on(places: tuple[str, Path], rootfs: Path, name: str) -> None:
    wait = "while ! test -e /%s; do sleep 0.05; done"
    script = f"echo 1; {wait % 'go'}; echo 2; {wait % 'end'}; echo 3"
    async with Manager(*places) as one:
        container = await running(one, name, rootfs, "sh", "-c", script, stdio=Stdio(stdout=Log()))
        await until(lambda: len(container.logs()) == 1)
    (rootfs / "go").touch()
    await asyncio.sleep(0.3)                         # a line while no manager is there
    async with Manager(*places) as two:
        try:
            await until(lambda: len(two.get(name).logs()) == 2)
            (rootfs / "end").touch()
            assert (await two.get(name).wait(20)).status == 0
            assert [line.text for line in two.get(name).logs()] == [b"1", b"2", b"3"]
        finally:
            await remove_all(two)


async def test_restarts_go_on(places: tuple[str, Path], by: str, rootfs: Path, name: str) -> None:
    async with Manager(*places) as one:
        container = await running(one, name, rootfs, "sh", "-c", "sleep 0.3; exit 1", handler=by, restart="always")
        pid = container.pid
    await until(lambda: not os.path.exists(f"/proc/{pid}"))
    async with Manager(*places) as two:
        try:
            await until(lambda: two.get(name).record.life >= 2 and two.get(name).status == "running", 60)
        finally:
            await remove_all(two)


async def test_a_keeper_that_is_about_to_end(places: tuple[str, Path], rootfs: Path, name: str) -> None:
    """It has nothing left to do, and ends when another manager has connected and before it has seen that."""
    places[1].mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ending:
        ending.bind(str(places[1] / "keeper"))
        ending.listen(1)
        m = Manager(*places)
        opening = asyncio.ensure_future(m.open())
        await asyncio.sleep(0.1)
        assert not opening.done()
    await asyncio.wait_for(opening, 20)
    try:
        container = await running(m, name, rootfs, "sh", "-c", "exit 6")
        assert (await container.wait(20)).status == 6
    finally:
        await remove_all(m)
        await m.close()


async def test_one_manager_at_a_time(places: tuple[str, Path]) -> None:
    async with Manager(*places):
        with pytest.raises(pyrunc.StateError, match="another manager"):
            await Manager(*places).open()


async def test_a_directory_that_others_may_read_is_refused(places: tuple[str, Path]) -> None:
    places[1].mkdir(mode=0o755)
    with pytest.raises(pyrunc.StateError, match="owner's alone"):
        await Manager(*places).open()


async def test_the_keeper_is_killed(places: tuple[str, Path], by: str, rootfs: Path, name: str) -> None:
    async with Manager(*places) as m:
        try:
            script = "while ! test -e /go; do sleep 0.05; done; exit 7"
            container = await running(m, name, rootfs, "sh", "-c", script, handler=by)
            assert m.connection._keeper is not None
            m.connection._keeper.kill()
            await until(lambda: not m.connection.connected)
            assert (await container.exec(["echo", "x"])).stdout == b"x\n"       # by another keeper
            (rootfs / "go").touch()
            exit = await container.wait(20)
            # The tests' process is the subreaper, and does what pid 1 would do.
            assert exit.status == 7 or exit.lost
        finally:
            await remove_all(m)


VICTIM = """
import asyncio, sys
from pyrunc.manager import Manager
from tests.bundles import docker_like
root, directory, rootfs, name = sys.argv[1:]
async def life(m, number):
    while True:
        config = docker_like(process={"args": ["sh", "-c", f"sleep 0.2; exit {number % 200}"]}, root={"path": rootfs})
        c = await m.create(f"{name}-{number}", config, labels={"number": str(number)})
        await c.start()
        await c.wait()
        if number % 2:
            await c.delete()
        else:
            return
        number += 20
async def main():
    async with Manager(root, directory) as m:
        await asyncio.gather(*(life(m, number) for number in range(6)), asyncio.sleep(1000))
asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(int(os.environ.get("PYRUNC_KILLS", "8"))))
async def test_the_manager_is_killed_anywhere(places: tuple[str, Path], rootfs: Path, name: str, seed: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", VICTIM, *map(str, places), str(rootfs), name],
                               cwd=Path(__file__).parents[2])
    await until(lambda: (places[1] / "events").exists() and (places[1] / "events").stat().st_size > 0)
    await asyncio.sleep(random.Random(seed).uniform(0.0, 1.2))
    process.kill()
    process.wait()
    await asyncio.sleep(random.Random(seed).uniform(0.0, 0.6))
    async with Manager(*places) as m:
        try:
            for one in m.containers():
                assert one.status in ("created", "running", "stopped"), one
                if one.status == "created":
                    await one.start()
                exit = await one.wait(30)
                assert (exit.status, exit.lost) == (int(one.id.rpartition("-")[2]) % 200, False), one
            numbers = [event.number for event in m.journal._kept]
            assert numbers == list(range(1, len(numbers) + 1))
            for one in m.containers():
                mine = [event.kind for event in m.journal._kept if event.id == one.id]
                assert mine == ["created", "started", "exited"], (one, mine)
        finally:
            await remove_all(m)
        assert os.listdir(places[0]) == [] and os.listdir(places[1] / "containers") == []
        assert os.listdir(places[1] / "exits") == []
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)


async def test_many_are_found_quickly(places: tuple[str, Path], rootfs: Path, name: str) -> None:
    async with Manager(*places) as one:
        await asyncio.gather(*(one.create(f"{name}-{n}", config_of(rootfs)) for n in range(30)))
    began = time.monotonic()
    async with Manager(*places) as two:
        took = time.monotonic() - began
        try:
            assert [c.status for c in two.containers()] == ["created"] * 30
            assert took < 5.0
        finally:
            await asyncio.gather(*(c.delete(force=True) for c in two.containers()))


def test_every_field_of_a_record_is_kept() -> None:
    """What changes, and what does not, are written apart."""
    record = Record("a", "runc", "/b", labels={"x": "y"}, phase="stopped", life=3, exit=Exit(7, time=1.5), restarts=2)
    assert sorted((*PLAIN, *POLICIES, *MOVING)) == sorted(field.name for field in dataclasses.fields(Record))
    for phase in ("stopped", "restarting"):
        record.phase = phase
        assert load(Record, json.loads(text_of(record))) == record


async def test_managers_of_one_program(places: tuple[str, Path], of: str, rootfs: Path, name: str) -> None:
    """One after another, in one loop: what one has let go of does not hide what the next one waits for."""
    async with Manager(*places) as m:
        script = "until test -e /go; do sleep 0.01; done; exit 7"
        await running(m, name, rootfs, "sh", "-c", script, handler=of)
    for _ in range(3):
        async with Manager(*places):
            await asyncio.sleep(0.05)                # it waits for the container's end
    async with Manager(*places) as m:
        await asyncio.sleep(0.05)
        (rootfs / "go").touch()
        assert (await m.get(name).wait(20)).status == 7
        await remove_all(m)


async def test_what_cannot_be_removed_stays(places: tuple[str, Path], rootfs: Path, name: str,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a create that was cut short. It is no reason for the others to go without a manager."""
    async def busy(*_: object) -> None:
        raise pyrunc.StateError("the cgroup is busy")
    directory = Directory(places[1])
    directory.make(name, config_of(rootfs))
    directory.save(Record(name, "pyrunc", str(rootfs), life=1))
    directory.close()
    monkeypatch.setattr("pyrunc.manager.handlers.Pyrunc.delete", busy)
    async with Manager(*places) as m:
        assert m.get(name).status == "stopped" and m.get(name).exit == await m.get(name).wait(20)
        assert [(event.kind, event.details["error"]) for event in m.journal._kept] == [("failed", "the cgroup is busy")]
        monkeypatch.undo()
        await m.get(name).delete()
        assert m.containers() == [] and os.listdir(places[1] / "containers") == []


async def test_a_record_that_cannot_be_read(places: tuple[str, Path], rootfs: Path, name: str) -> None:
    """Nothing is left open of what had been begun."""
    async with Manager(*places) as m:
        await running(m, name, rootfs)
        record = m.directory.of(name) / "record"
    whole = record.read_text()
    record.write_text("{")
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(pyrunc.StateError, match="record cannot be read"):
            await Manager(*places).open()
    assert os.listdir("/proc/self/fd") == before
    record.write_text(whole)
    async with Manager(*places) as m:
        assert m.get(name).status == "running"
        await remove_all(m)


async def test_who_is_closed_in_the_middle_of_a_restart_asks_for_no_more(places: tuple[str, Path], rootfs: Path,
                                                                         name: str) -> None:
    """It took the place of the next manager at the keeper, and deleted what was being made."""
    script = f"while test -e {rootfs}/slow; do sleep 0.05; done"
    hook = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    async with Manager(*places) as one:
        again = await running(one, name, rootfs, config=config_of(rootfs, "sleep", "1000", hooks=hook),
                              restart="always")
        (rootfs / "slow").touch()
        await again.kill()
        await until(lambda: again.making and again.record.life == 2)
    asyncio.get_running_loop().call_later(0.2, (rootfs / "slow").unlink)      # the next manager waits for what is made
    async with Manager(*places) as two:
        try:
            await until(lambda: two.get(name).status in ("created", "running"))
            lost = [event for event in two.journal._kept if event.kind in ("failed", "deleted")]
            assert two.connection.connected and not lost
        finally:
            await remove_all(two)


async def test_who_is_closed_in_the_middle_of_a_create_leaves_it_to_the_next(places: tuple[str, Path], rootfs: Path,
                                                                             name: str) -> None:
    """Its record stays, so that it is no stranger to the next manager, and its end is written down."""
    script = f"touch {rootfs}/begun; while ! test -e {rootfs}/go; do sleep 0.05; done"
    hook = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    async with Manager(*places) as one:
        making = asyncio.ensure_future(one.create(name, config_of(rootfs, "sh", "-c", "exit 5", hooks=hook)))
        await until((rootfs / "begun").exists)
    (rootfs / "go").touch()
    async with Manager(*places) as two:
        try:
            with pytest.raises(pyrunc.PyruncError, match="the manager is closed"):
                await making
            found, = two.containers()
            assert (found.id, found.status, found.managed) == (name, "created", True)
            await found.start()
            assert (await found.wait(20)).status == 5
        finally:
            await remove_all(two)


async def test_the_longest_name(places: tuple[str, Path], rootfs: Path, name: str) -> None:
    """255 letters, as a file may have. The keeper's word on its end has a name of its own, with a number in it."""
    long = name + "n" * (255 - len(name))
    script = "while ! test -e /go; do sleep 0.05; done; exit 42"
    async with Manager(*places) as one:
        container = await running(one, f"{long[:-1]}m", rootfs, "sh", "-c", "exit 41")
        assert (await asyncio.wait_for(container.wait(), 60)).status == 41
        pid = (await running(one, long, rootfs, "sh", "-c", script)).pid
    (rootfs / "go").touch()
    await until(lambda: not os.path.exists(f"/proc/{pid}"))
    async with Manager(*places) as two:
        assert [one.exit.status for one in two.containers() if one.exit is not None] == [41, 42]
        await remove_all(two)
        assert not list((places[1] / "exits").iterdir())


async def test_a_directory_that_counts_from_the_callers_own(places: tuple[str, Path], rootfs: Path, name: str,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper writes into it, whose own is another one."""
    monkeypatch.chdir(places[1].parent)
    script = "while ! test -e /go; do sleep 0.05; done; exit 42"
    async with Manager(places[0], places[1].name) as one:
        pid = (await running(one, name, rootfs, "sh", "-c", script)).pid
    (rootfs / "go").touch()
    await until(lambda: not os.path.exists(f"/proc/{pid}"))
    async with Manager(*places) as two:
        exit = await two.get(name).wait(20)
        assert (exit.status, exit.lost) == (42, False)
        await remove_all(two)


async def test_a_directory_whose_path_no_socket_has(places: tuple[str, Path], rootfs: Path, name: str) -> None:
    """The keeper's socket is in it, and 108 bytes are the most for an address."""
    root, directory = places[0], places[1].with_name("manager" * 20)
    try:
        async with Manager(root, directory) as one:
            await running(one, name, rootfs, "sh", "-c", "while ! test -e /go; do sleep 0.05; done; exit 42")
        async with Manager(root, directory) as two:
            (rootfs / "go").touch()
            assert (await two.get(name).wait(20)).status == 42
            await remove_all(two)
    finally:
        end_keeper(directory)


async def test_one_that_was_found_holds_as_much_as_one_that_was_made(places: tuple[str, Path], of: str, rootfs: Path,
                                                                     name: str) -> None:
    """And gives it back at its end, whoever tells of that."""
    def held() -> int:
        return len(os.listdir("/proc/self/fd"))
    async with Manager(*places) as one:
        await running(one, f"{name}-before", rootfs, handler=of)
        before = held()
        await running(one, name, rootfs, handler=of)
        made = held() - before
    async with Manager(*places) as two:
        try:
            await two.connection.working()
            both = held()
            await two.get(name).stop(grace=0)
            assert both - held() == made
        finally:
            await remove_all(two)
