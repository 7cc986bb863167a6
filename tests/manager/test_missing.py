"""A handler's program is removed: its containers are still there, and their names can be freed."""
from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import pyrunc
from pyrunc.manager import Manager
from pyrunc.manager.directory import Record
from pyrunc.manager.missing import is_its_own, kept, remove, runs, start_time
from tests.manager.conftest import able, config_of, remove_all, running, until


@pytest.fixture(params=[one for one in able() if one != "pyrunc"])
def program(request: pytest.FixtureRequest, place: Path) -> Path:
    """The program of a handler `mine`, which a test may remove."""
    found = shutil.which(request.param)
    assert found is not None
    made: Path = place / os.path.basename(os.path.realpath(found))
    made.symlink_to(os.path.realpath(found))
    return made


@pytest.mark.parametrize("state", ["created", "running", "stopped"])
@pytest.mark.parametrize("when", ["meanwhile", "between managers"])
async def test_its_name_is_freed(places: tuple[str, Path], program: Path, rootfs: Path, name: str, state: str,
                                 when: str) -> None:
    handlers = {"mine": str(program)}
    one = Manager(*places, handlers=handlers)
    async with one:
        container = await one.create(name, config_of(rootfs), handler="mine")
        if state != "created":
            await container.start()
        if state == "stopped":
            await container.stop(grace=0)
        pid, cgroup = container.pid, container.cgroup
        if when == "meanwhile":
            program.unlink()
            await freed(one, program, name, state, pid)
    if when != "meanwhile":
        program.unlink()
        async with Manager(*places, handlers=handlers) as two:
            await freed(two, program, name, state, pid)
    assert [one for one in os.listdir(places[1] / "handlers/mine") if one[0] != "."] == []      # crun keeps one
    if state == "running" and name in os.path.basename(cgroup):
        assert not os.path.exists(cgroup)


async def freed(m: Manager, program: Path, name: str, state: str, pid: int) -> None:
    """By force, and then it is free."""
    container = m.get(name)
    assert container.status == state and container.pid == (0 if state == "stopped" else pid)
    if state == "stopped":
        with pytest.raises(pyrunc.StateError, match=f"no program {program}; with force .* its name is free"):
            await container.delete()
        assert m.get(name) is container
    await container.delete(force=True)
    assert m.containers() == [] and os.listdir(m.directory.path / "containers") == []
    await until(lambda: not pid or not start_time(pid))


async def test_it_can_be_stopped_and_found_again(places: tuple[str, Path], program: Path, rootfs: Path,
                                                 name: str) -> None:
    handlers = {"mine": str(program)}
    async with Manager(*places, handlers=handlers) as one:
        await running(one, name, rootfs, handler="mine")
    program.rename(program.with_name("elsewhere"))
    async with Manager(*places, handlers=handlers) as two:
        container = two.get(name)
        for refused in (container.pause(), container.exec(["true"])):
            with pytest.raises(pyrunc.StateError, match=f"handler mine: there is no program {program}"):
                await refused
        assert (await container.stop(grace=0)).signal == 9
        with pytest.raises(pyrunc.StateError, match="there is no program"):
            await container.start()
        program.with_name("elsewhere").rename(program)
        await container.start()
        assert (await container.exec(["echo", "x"])).stdout == b"x\n"
        await remove_all(two)


async def test_a_handler_that_is_not_named_any_more(places: tuple[str, Path], program: Path, rootfs: Path,
                                                    name: str) -> None:
    async with Manager(*places, handlers={"mine": str(program)}) as one:
        await running(one, name, rootfs, handler="mine")
    async with Manager(*places) as two:
        with pytest.raises(pyrunc.StateError, match="there is no handler mine"):
            await two.get(name).pause()
        await two.get(name).delete(force=True)
        assert two.containers() == []


@pytest.mark.parametrize(("id", "systemd", "cgroup", "own"), [
    ("box", False, "/sys/fs/cgroup/box", True), ("box", True, "/sys/fs/cgroup/system.slice/crun-box.scope", True),
    ("a", False, "/sys/fs/cgroup/machine", False), ("user", False, "/sys/fs/cgroup/user.slice", False),
    ("1", False, "/sys/fs/cgroup/user.slice/session-1.scope", False), ("box", True, "/sys/fs/cgroup/box", False),
    ("ox", True, "/sys/fs/cgroup/crun-box.scope", False), ("box", False, "", False)])
def test_whose_cgroup_it_is(id: str, systemd: bool, cgroup: str, own: bool) -> None:
    """A part of a name was enough: for a container `user`, all in user.slice would have been killed."""
    assert is_its_own(Record(id, "mine", "/", systemd=systemd), cgroup) == own


def test_the_managers_own_cgroup_is_no_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrunc.manager.missing.cgroup_of", lambda pid: "/sys/fs/cgroup/box")
    assert not is_its_own(Record("box", "mine", "/"), "/sys/fs/cgroup/box")


async def test_another_process_with_its_pid_is_left_alone(tmp_path: Path) -> None:
    mine = start_time(os.getpid())
    assert mine and runs(Record("a", "mine", "/", pid=os.getpid(), pid_start=mine))
    for start in (0, mine - 1, mine + 1):
        record = Record("a", "mine", "/", pid=os.getpid(), pid_start=start)
        assert not runs(record)
        await remove(record, str(tmp_path), "", True)    # and this process goes on


async def test_what_runsc_keeps_is_found_and_removed(tmp_path: Path) -> None:
    """It has files where runc and crun have a directory: a container that lived was taken for one that was deleted."""
    for other in ("a_b", "a_sandbox:ab.state"):
        (tmp_path / other).touch()
    assert kept(str(tmp_path), "a") == [] == kept(str(tmp_path / "none"), "a")
    own = [tmp_path / f"a_sandbox:a.{kind}" for kind in ("lock", "state")]
    for file in own:
        file.touch()
    assert sorted(kept(str(tmp_path), "a")) == sorted(map(str, own))
    await remove(Record("a", "runsc", "/"), str(tmp_path), "there is no program", True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a_b", "a_sandbox:ab.state"]
