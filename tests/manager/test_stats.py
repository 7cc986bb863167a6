"""What a container uses: the files of a cgroup as values, notices of the kernel, and what follows from an OOM kill."""
from __future__ import annotations

import asyncio
import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from pyrunc.manager import Exit, Manager, Stats
from pyrunc.manager import stats as reading
from pyrunc.manager.cgroup import own_cgroup
from pyrunc.manager.oom import Notices
from pyrunc.manager.stats import Cpu, Device, Memory, Pressure
from tests.forked import forked
from tests.manager.conftest import running, until
from tests.world import CGROUP

FILES = {
    "cpu.stat": "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\nnr_periods 10\nnr_throttled 4\n"
                "throttled_usec 500000\n",
    "cpu.pressure": "some avg10=1.50 avg60=2.00 avg300=3.00 total=1000000\n"
                    "full avg10=0.50 avg60=0.00 avg300=0.00 total=7\n",
    "cpu.max": "50000 100000\n",
    "memory.current": "1000\n", "memory.peak": "2000\n", "memory.max": "4000\n", "memory.swap.current": "5\n",
    "memory.stat": "anon 600\nfile 300\ninactive_file 100\npgfault 50\npgmajfault 3\n",
    "memory.events": "low 0\nhigh 0\nmax 8\noom 2\noom_kill 1\n",
    "pids.current": "6\n", "pids.max": "max\n",
    "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n(unknown) \n",
    "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
}


def test_a_process_without_a_cgroup_of_its_own(private_world: None, name: str) -> None:
    """A container of an ordinary user has none, where none is delegated: what others in its parent's use, and how they
    end, is not its own."""
    def act() -> tuple[str, str]:
        for folder in (CGROUP / name, CGROUP / name / "inner"):
            folder.mkdir()
        (CGROUP / name / "cgroup.procs").write_text("0")
        process = subprocess.Popen(["sleep", "1000"])
        shared = own_cgroup(process.pid)
        (CGROUP / name / "inner/cgroup.procs").write_text(str(process.pid))
        own = own_cgroup(process.pid)
        process.kill()
        process.wait()
        (CGROUP / "cgroup.procs").write_text("0")
        for folder in (CGROUP / name / "inner", CGROUP / name):
            folder.rmdir()
        return shared, own
    assert forked(act) == ("", f"{CGROUP}/{name}/inner")


def test_files_as_values(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    found = reading.read(str(tmp_path))
    assert found.cpu == Cpu(3.0, 2.0, 1.0, 10, 4, 0.5, Pressure(1.0, 7e-6, 1.5, 2.0, 3.0, 0.5, 0.0, 0.0), 50000,
                            100000)
    assert found.memory == Memory(1000, 900, 2000, 4000, 600, 300, 5, 8, 50, 3, 1, None)
    assert (found.processes, found.processes_limit, found.io) == (6, None, (Device("8:0", 1, 2, 3, 4),))
    assert found.io_pressure == Pressure(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("missing", FILES)
def test_what_the_kernel_does_not_count_is_nothing(tmp_path: Path, missing: str) -> None:
    for name, text in FILES.items():
        if name != missing:
            (tmp_path / name).write_text(text)
    assert isinstance(reading.read(str(tmp_path)), Stats)


def test_no_cgroup() -> None:
    found = reading.read("/there/is/none")
    assert found == Stats(found.time) and reading.processes("/there/is/none") == []


async def test_of_a_container(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "sh", "-c", "while :; do :; done", handler=by)
    await until(lambda: container.stats().cpu.usage > 0.05)
    assert container.stats().processes == 1
    await container.stop(grace=0)
    assert container.stats().processes == 0


async def test_they_come_until_the_end(m: Manager, of: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "sleep", "1", handler=of)
    found = [stats async for stats in container.watch(0.2)]
    assert len(found) >= 2 and all(one.time < two.time for one, two in pairwise(found))


async def test_the_kernel_notifies(m: Manager, of: str, rootfs: Path, name: str) -> None:
    """By cgroup.events, whose notices are like those of memory.events and are there on every host."""
    container = await running(m, name, rootfs, handler=of)
    notices, told = Notices(), asyncio.Event()
    number = notices.watch(f"{container.cgroup}/cgroup.events", told.set)
    assert number >= 0
    await asyncio.sleep(0.1)
    assert not told.is_set()
    await container.pause()
    await asyncio.wait_for(told.wait(), 1.0)
    await container.resume()
    notices.forget(number)
    notices.close()


def test_an_exit_has_the_code_of_a_shell() -> None:
    assert (Exit.of(7 << 8, 0).code, Exit.of(9, 0).code, Exit(None, lost=True).code) == (7, 137, 255)


async def test_an_oom_kill_is_told_before_the_exit(m: Manager, rootfs: Path, place: Path, name: str) -> None:
    """With a memory.events of our own: not every host has the memory controller to give."""
    container = await running(m, name, rootfs)
    (place / "cgroup").mkdir()
    (place / "cgroup/memory.events").write_text("oom_kill 0\n")
    container.cgroup = str(place / "cgroup")
    (place / "cgroup/memory.events").write_text("oom_kill 2\n")
    os.kill(container.pid, 9)                        # the kernel, not the manager
    exit = await container.wait(20)
    assert exit.oom_killed and exit.signal == 9
    told = [(event.kind, event.details.get("kills")) for event in m.journal._kept][2:]
    assert told == [("oom", 2), ("exited", None)]


async def test_a_sigkill_of_ours_is_no_oom_kill(m: Manager, rootfs: Path, place: Path, name: str) -> None:
    container = await running(m, name, rootfs)
    (place / "cgroup").mkdir()
    (place / "cgroup/memory.events").write_text("oom_kill 1\n")
    container.cgroup = str(place / "cgroup")
    assert not (await container.stop(grace=0)).oom_killed
