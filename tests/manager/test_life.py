"""The life of a container, whatever runs it: from create to delete, and what each operation refuses."""
from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

import pyrunc
from pyrunc.manager import Exit, Manager, Stop
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
    container = await running(m, name, rootfs, "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done", handler=by)
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
