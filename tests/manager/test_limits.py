"""What a container may use, and want of it, noticed when it comes: of memory and CPU, in the guest."""
from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from pyrunc.manager import Container, Event, Manager, Watch
from tests.manager.conftest import config_of, running, until

guest = pytest.mark.guest                            # a host with hybrid cgroups has no controllers to give
MIB = 1 << 20
#: Seconds within which what the kernel notices is an event.
SOON = 1.0
LITTLE = {"resources": {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}}}


def told(m: Manager, kind: str) -> list[Event]:
    """The events of this kind."""
    return [event for event in m.journal._kept if event.kind == kind]


async def killed_at(container: Container) -> float:
    """When the kernel has counted an OOM kill, by a look at the file every few milliseconds."""
    path = Path(container.cgroup, "memory.events")

    def look() -> float:
        while "oom_kill 0" in path.read_text():
            time.sleep(0.005)
        return time.monotonic()
    return await asyncio.to_thread(look)


@guest
async def test_memory_and_processes(m: Manager, by: str, rootfs: Path, name: str) -> None:
    config = config_of(rootfs, linux={"resources": {"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}}})
    container = await running(m, name, rootfs, config=config, handler=by)
    stats = container.stats()
    assert stats.memory.limit == 64 * MIB and 0 < stats.memory.working_set <= stats.memory.usage <= 64 * MIB
    assert (stats.processes, stats.processes_limit) == (1, 20)
    await container.update({"pids": {"limit": 30}})
    assert container.stats().processes_limit == 30


@guest
async def test_cpu_and_throttling(m: Manager, by: str, rootfs: Path, name: str) -> None:
    config = config_of(rootfs, "sh", "-c", "while :; do :; done",
                       linux={"resources": {"cpu": {"quota": 5000, "period": 100000}}})
    container = await running(m, name, rootfs, config=config, handler=by)
    await until(lambda: container.stats().cpu.throttled_periods >= 3, 60)
    cpu = container.stats().cpu
    assert cpu.usage > 0 and cpu.throttled > 0 and cpu.throttled_periods <= cpu.periods


@guest
async def test_want_of_memory_ends_it(m: Manager, by: str, rootfs: Path, name: str) -> None:
    script = "while ! test -e /go; do sleep 0.05; done; exec tail /dev/zero"
    config = config_of(rootfs, "sh", "-c", script, linux=LITTLE)
    container = await running(m, name, rootfs, config=config, handler=by)
    (rootfs / "go").touch()
    exit = await container.wait(120)
    assert exit.signal == 9 and exit.oom_killed
    assert [event.kind for event in m.journal._kept] == ["created", "started", "oom", "exited"]
    assert told(m, "exited")[0].details["oom_killed"] is True


@guest
async def test_want_of_memory_of_another_process(m: Manager, of: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, config=config_of(rootfs, linux=LITTLE), handler=of)
    seen = asyncio.ensure_future(killed_at(container))
    result = await container.exec(["tail", "/dev/zero"])
    assert result.exit.signal == 9 and container.status == "running"
    when = await seen
    await until(lambda: told(m, "oom"), 10)
    late = told(m, "oom")[0].monotonic - when
    print(f"an OOM kill is an event {late * 1e3:.0f} ms after the kernel has counted it")
    assert late < SOON
    exit = await container.stop(grace=0)
    assert not exit.oom_killed                       # it was us


async def test_want_of_cpu(m: Manager, of: str, rootfs: Path, name: str) -> None:
    """More that is ready than there are CPUs: an event after the first second of it. And then no more than one each."""
    count = 2 * len(os.sched_getaffinity(0))
    script = f"while ! test -e /go; do sleep 0.02; done; for i in $(seq {count}); do while :; do :; done & done; wait"
    container = await running(m, name, rootfs, "sh", "-c", script, watch=Watch(cpu=0.2), handler=of)
    if not os.path.exists(f"{container.cgroup}/cpu.pressure"):
        pytest.fail("this kernel has no PSI")
    begun = time.monotonic()
    (rootfs / "go").touch()
    await until(lambda: len(told(m, "pressure")) >= 2, 30)
    first, second = told(m, "pressure")[:2]
    assert first.details == {"resource": "cpu", "share": 0.2}
    print(f"want of CPU is an event {first.monotonic - begun:.2f} s after it has begun")
    assert first.monotonic - begun < 2.0 + SOON      # a window of two seconds, where one of one is not to be had
    assert second.monotonic - first.monotonic > 0.9
    assert not told(m, "oom")


@pytest.mark.parametrize("wrong", [{"cpu": -0.1}, {"memory": 2}, {"io": 1.1}])
def test_what_is_no_watch(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Watch(**wrong)
