"""What a container uses and may use: statistics, limits, and want of memory, noticed when it comes."""
from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import pytest

from pyrunc.manager import Manager, Stats
from tests.manager.conftest import config_of, running, until

pytestmark = pytest.mark.guest                       # a host with hybrid cgroups has no controllers to give
MIB = 1 << 20


async def test_memory_and_processes(m: Manager, by: str, rootfs: Path, name: str) -> None:
    config = config_of(rootfs, linux={"resources": {"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}}})
    container = await running(m, name, rootfs, config=config, handler=by)
    stats = container.stats()
    assert stats.memory.limit == 64 * MIB and 0 < stats.memory.working_set <= stats.memory.usage <= 64 * MIB
    assert (stats.processes, stats.processes_limit) == (1, 20)
    await container.update({"pids": {"limit": 30}})
    assert container.stats().processes_limit == 30


async def test_cpu_and_throttling(m: Manager, by: str, rootfs: Path, name: str) -> None:
    config = config_of(rootfs, "sh", "-c", "while :; do :; done",
                       linux={"resources": {"cpu": {"quota": 5000, "period": 100000}}})
    container = await running(m, name, rootfs, config=config, handler=by)
    await until(lambda: container.stats().cpu.throttled_periods >= 3, 60)
    cpu = container.stats().cpu
    assert cpu.usage > 0 and cpu.throttled > 0 and cpu.throttled_periods <= cpu.periods
    assert cpu.pressure is not None and cpu.pressure.some_total > 0


async def test_want_of_memory_is_told(m: Manager, by: str, rootfs: Path, name: str) -> None:
    config = config_of(rootfs, "sh", "-c", "while ! test -e /go; do sleep 0.05; done; tail /dev/zero",
                       linux={"resources": {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}}})
    config["process"]["args"] = ["sh", "-c", "while ! test -e /go; do sleep 0.05; done; exec tail /dev/zero"]
    container = await running(m, name, rootfs, config=config, handler=by)
    (rootfs / "go").touch()
    exit = await container.wait(120)
    assert exit.signal == 9 and exit.oom_killed
    kinds = [event.kind for event in m.journal._kept]
    assert kinds == ["created", "started", "oom", "exited"]


async def test_want_of_memory_of_another_process(m: Manager, rootfs: Path, name: str) -> None:
    config = config_of(rootfs, linux={"resources": {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}}})
    container = await running(m, name, rootfs, config=config)
    before = time.monotonic()
    result = await container.exec(["tail", "/dev/zero"])
    assert result.exit.signal == 9 and container.status == "running"
    await until(lambda: "oom" in [event.kind for event in m.journal._kept], 10)
    told = next(event for event in m.journal._kept if event.kind == "oom")
    assert told.monotonic - before < 60
    exit = await container.stop(grace=0)
    assert not exit.oom_killed                       # it was us
    assert (await asyncio.to_thread(lambda: container.stats())).memory.oom_kills in (0, 1)


async def test_stats_come_until_the_end(m: Manager, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "sleep", "3")
    found: list[Stats] = [stats async for stats in container.watch(0.5)]
    assert len(found) >= 2 and all(one.time < two.time for one, two in pairwise(found))
