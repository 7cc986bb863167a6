"""The life of a container, whatever runs it: from create to delete, and what each operation refuses."""
from __future__ import annotations

import asyncio
import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

import pyrunc
from pyrunc.manager import Container, Exit, File, Manager, Stdio, Stop
from tests import bundles
from tests.bundles import docker_like
from tests.manager.conftest import config_of, kinds, running, until


async def test_a_whole_life(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await m.create(name, config_of(rootfs), handler=by, labels={"app": "web"})
    assert container.status == "created" and container.pid > 0 and m.containers() == [container]
    await container.start()
    assert container.status == "running" and os.path.exists(f"/proc/{container.pid}")
    await container.kill("KILL")
    exit = await container.wait(20)
    assert (exit.status, exit.signal, exit.code, exit.lost) == (None, 9, 137, False)
    assert container.status == "stopped" and container.pid == 0
    await container.delete()
    assert m.containers() == [] and not os.path.exists(m.directory.of(name))
    with pytest.raises(pyrunc.StateError, match="does not exist"):
        m.get(name)
    assert await kinds(m) == ["created", "started", "exited", "deleted"]


@pytest.mark.parametrize(("script", "status", "signal"), [("exit 0", 0, None), ("exit 7", 7, None),
                                                          ("kill -KILL $$; sleep 9", None, 9)])
async def test_exit_statuses_are_exact(m: Manager, by: str, rootfs: Path, name: str, script: str, status: int | None,
                                       signal: int | None) -> None:
    spaces = [{"type": kind} for kind in ("mount", "ipc", "uts", "network")]     # init is no pid 1: any signal ends it
    config = config_of(rootfs, "sh", "-c", script)
    config["linux"]["namespaces"] = spaces
    container = await running(m, name, rootfs, config=config, handler=by)
    exit = await container.wait(20)
    assert (exit.status, exit.signal) == (status, signal)


async def test_stop_asks_first(m: Manager, by: str, rootfs: Path, name: str) -> None:
    script = "trap 'exit 5' TERM; touch /ready; while :; do sleep 0.05; done"
    container = await running(m, name, rootfs, "sh", "-c", script, handler=by)
    while not (rootfs / "ready").exists():
        await asyncio.sleep(0.01)
    assert await container.stop(grace=30) == Exit(5, time=container.exit.time if container.exit else 0)


async def test_stop_kills_after_the_grace_and_not_before(m: Manager, by: str, rootfs: Path, name: str) -> None:
    """It is asked when its program is there: runc's own init, before it becomes that, ends by the signal."""
    script = "trap '' TERM; touch /ready; while :; do sleep 0.05; done"
    container = await running(m, name, rootfs, "sh", "-c", script, handler=by)
    await until((rootfs / "ready").exists)
    begun = asyncio.get_running_loop().time()
    exit = await container.stop(grace=0.7)
    assert exit.signal == 9 and 0.7 <= asyncio.get_running_loop().time() - begun < 20


@pytest.mark.parametrize("wrong", [{"signal": "NOTHING"}, {"signal": 999}, {"grace": -1}], ids=str)
async def test_a_stop_that_cannot_be_changes_nothing(m: Manager, rootfs: Path, name: str, wrong: Any) -> None:
    """Its policy still restarts it."""
    container = await running(m, name, rootfs, restart="always")
    with pytest.raises(ValueError, match=r"no signal|not less than 0"):
        await container.stop(**wrong)
    await container.kill()
    await until(lambda: container.status == "running" and container.record.life == 2)
    assert "stopping" not in await kinds(m)


async def test_stop_of_a_created_container(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await m.create(name, config_of(rootfs), handler=by)
    assert (await asyncio.wait_for(container.stop(grace=60), 30)).signal == 9


async def test_pre_stop_runs_before_the_signal(m: Manager, by: str, rootfs: Path, name: str) -> None:
    script = "trap 'test -e /tmp/asked && exit 4; exit 5' TERM; touch /ready; while :; do sleep 0.05; done"
    (rootfs / "tmp").mkdir(exist_ok=True)
    container = await running(m, name, rootfs, "sh", "-c", script, handler=by,
                              stop=Stop(grace=30, pre_stop=("touch", "/tmp/asked")))
    while not (rootfs / "ready").exists():
        await asyncio.sleep(0.01)
    assert (await container.stop()).status == 4


async def test_pause_and_resume(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    await container.pause()
    assert container.status == "paused"
    with pytest.raises(pyrunc.StateError, match="paused"):
        await container.exec(["true"])
    await container.resume()
    assert container.status == "running" and (await container.exec(["true"])).exit.status == 0
    await container.pause()
    assert (await asyncio.wait_for(container.stop(grace=0.2), 30)).signal == 9


async def test_delete_refuses_what_runs(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    with pytest.raises(pyrunc.StateError, match="not stopped"):
        await container.delete()
    await container.delete(force=True)
    assert m.containers() == []


async def test_delete_of_a_created_container(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await m.create(name, config_of(rootfs), handler=by)
    pid = container.pid
    await container.delete()
    assert not os.path.exists(f"/proc/{pid}")


async def test_a_name_is_taken_once(m: Manager, by: str, rootfs: Path, name: str) -> None:
    await m.create(name, config_of(rootfs), handler=by)
    with pytest.raises(pyrunc.StateError, match="already exists"):
        await m.create(name, config_of(rootfs), handler=by)


async def test_a_failed_create_leaves_nothing(m: Manager, by: str, rootfs: Path, name: str) -> None:
    config = config_of(rootfs)
    config["mounts"].append({"destination": "/data", "type": "bind", "source": "/there/is/none", "options": ["bind"]})
    with pytest.raises(pyrunc.PyruncError):
        await m.create(name, config, handler=by)
    assert m.containers() == [] and not m.directory.of(name).exists()
    config["mounts"].pop()
    await m.create(name, config, handler=by)


async def test_started_again_after_its_end(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "sh", "-c", "exit 3", handler=by)
    assert (await container.wait(20)).status == 3
    await container.start()
    assert (await container.wait(20)).status == 3 and container.record.life == 2


async def test_a_bundle(m: Manager, by: str, place: Path, name: str) -> None:
    (place / "shared").mkdir()
    (place / "shared/file").write_text("from outside")
    mount = {"destination": "/data", "type": "bind", "source": "../shared", "options": ["bind"]}
    config = docker_like(process={"args": ["cat", "/data/file"]})
    config["mounts"].append(mount)
    bundle = bundles.bundle(place / "bundle", config)
    container = await m.create(name, bundle=bundle, handler=by)
    await container.start()
    assert (await container.wait(20)).status == 0
    assert [line.text for line in container.logs()] == [b"from outside"]
    assert json.loads((bundle / "config.json").read_text()) == config


async def test_labels_choose(m: Manager, of: str, rootfs: Path, name: str) -> None:
    for number, labels in enumerate(({"app": "a", "x": "1"}, {"app": "b", "x": "1"})):
        await m.create(f"{name}-{number}", config_of(rootfs), labels=labels, handler=of)
    assert [one.id for one in m.containers({"app": "b"})] == [f"{name}-1"]
    assert len(m.containers({"x": "1"})) == 2 and m.containers({"x": "2"}) == []


async def test_what_is_not_there_is_an_error(m: Manager, rootfs: Path, name: str) -> None:
    with pytest.raises(pyrunc.StateError, match="does not exist"):
        m.get("nothing")
    with pytest.raises(pyrunc.UsageError, match="no handler"):
        await m.create(name, config_of(rootfs), handler="nothing")
    with pytest.raises(pyrunc.UsageError, match="bundle or a config"):
        await m.create(name)
    with pytest.raises(pyrunc.ConfigError, match=r"at process\.cwd in config\.json"):
        await m.create(name, config_of(rootfs, process={"cwd": "relative"}))
    assert m.containers() == [] and list((m.directory.path / "containers").iterdir()) == []


async def test_the_plan_and_the_trace(m: Manager, rootfs: Path, name: str) -> None:
    config = config_of(rootfs)
    names = [step.name for step in m.plan(config)]
    assert "mounts.proc" in names
    container = await m.create(name, config, trace=True)
    assert {"mounts.proc", "namespaces.clone"} <= {record["step"] for record in container.trace()}
    await container.start()
    await container.exec(["true"])
    assert "start.release" in {record["step"] for record in container.trace("start")}
    assert "namespaces.enter" in {record["step"] for record in container.trace("exec")}
    assert container.trace("kill") == [] and (await running(m, f"{name}-b", rootfs)).traces == {}


async def test_a_create_that_hangs_ends_at_its_time(m: Manager, of: str, rootfs: Path, name: str) -> None:
    config = config_of(rootfs)
    config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]}
    with pytest.raises(TimeoutError):
        await m.create(name, config, timeout=1.0, handler=of)
    assert m.containers() == [] and not (Path(m.root) / name).exists()


async def test_a_config_of_other_kinds_of_dict(m: Manager, rootfs: Path, name: str) -> None:
    config = config_of(rootfs)
    container = await m.create(name, OrderedDict(config, process=OrderedDict(config["process"])))
    await container.start()
    assert (await container.exec(OrderedDict(args=["echo", "x"], cwd="/"))).stdout == b"x\n"


async def test_what_is_no_json_harms_nobody_else(m: Manager, rootfs: Path, name: str) -> None:
    config = config_of(rootfs)
    with pytest.raises(pyrunc.UsageError, match="the config is no JSON"):
        await m.create(name, {**config, "hostname": b"web"})
    container = await m.create(name, config)             # nothing has this name
    await container.start()
    with pytest.raises(pyrunc.UsageError, match="what was given is no JSON"):
        await container.exec({"args": ["true"], "cwd": Path("/")})
    assert (await container.exec(["echo", "x"])).stdout == b"x\n"


async def test_it_is_deleted_once(m: Manager, of: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=of)
    first, second = (asyncio.ensure_future(container.delete(force=True)) for _ in range(2))
    await first
    with pytest.raises(pyrunc.StateError, match="does not exist"):
        await second
    assert (await kinds(m)).count("deleted") == 1


async def test_what_is_deleted_is_not_started(m: Manager, of: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "true", handler=of)
    await container.wait(20)
    deleted, started = asyncio.ensure_future(container.delete()), asyncio.ensure_future(container.start())
    await deleted
    with pytest.raises(pyrunc.StateError, match="does not exist"):
        await started


async def test_it_cannot_be_made_again(m: Manager, of: str, rootfs: Path, place: Path, name: str) -> None:
    container = await running(m, name, rootfs, "sh", "-c", "exit 3", handler=of)
    await container.wait(20)
    os.rename(rootfs, place / "elsewhere")
    with pytest.raises(pyrunc.PyruncError):
        await container.start()
    assert container.status == "stopped" and (await container.wait(20)).status == 3
    os.rename(place / "elsewhere", rootfs)
    await container.start()
    assert (await container.wait(20)).status == 3


class Held:
    """A handler that answers when it may, what it has long done."""

    def __init__(self, container: Container) -> None:
        self._real, self.done, self.go = container.handler, asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        async def held(*args: Any) -> None:
            await getattr(self._real, name)(*args)
            self.done.set()
            await self.go.wait()
        return held if name in ("start", "pause", "delete") else getattr(self._real, name)


@pytest.mark.parametrize(("operation", "status", "told"), [
    ("start", "running", "started"), ("pause", "paused", "paused"), ("delete", "", "deleted")])
async def test_who_waits_no_longer_changes_nothing(m: Manager, rootfs: Path, name: str, operation: str, status: str,
                                                   told: str) -> None:
    container = await m.create(name, config_of(rootfs))
    if operation == "pause":
        await container.start()
    container.handler = held = Held(container)
    changing = asyncio.ensure_future(getattr(container, operation)())
    await held.done.wait()
    changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing
    held.go.set()
    await until(lambda: container.status == status if status else m.containers() == [])
    assert (await kinds(m))[-1] == told
    container.handler = held._real


async def test_a_fifo_that_nobody_reads_holds_nobody_up(m: Manager, rootfs: Path, place: Path, name: str) -> None:
    os.mkfifo(place / "fifo")
    for path, said in ((place / "fifo", "no such device or address"), (place / "none/log", "no such file"),
                       (place, "is a directory")):
        with pytest.raises(pyrunc.UsageError, match=f"open .*{said}"):
            await m.create(name, config_of(rootfs), stdio=Stdio(stdout=File(str(path))))
    assert m.containers() == []


async def test_a_full_disk(m: Manager, rootfs: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """How it ends is told all the same, and the next manager is told it, too."""
    def full(record: object) -> None:
        raise OSError(28, "No space left on device")
    container = await running(m, name, rootfs, "sh", "-c", "until test -e /go; do sleep 0.01; done; exit 3")
    monkeypatch.setattr(m.directory, "save", full)
    (rootfs / "go").touch()
    assert (await container.wait(20)).status == 3 and (await kinds(m))[-1] == "exited"
    kept = m.directory.exit(container.record)
    assert kept is not None and kept[0] == 3 << 8
    with pytest.raises(pyrunc.StateError, match="cannot be written"):
        await m.create(f"{name}-other", config_of(rootfs))
    monkeypatch.undo()
    assert os.listdir(m.directory.path / "containers") == [name]
