"""Many lives and execs: nothing grows, and of each life every event comes once and in order (make soak: 20,000)."""
from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyrunc.manager import Gap, Manager, Null, Stdio
from pyrunc.manager.events import KEPT
from tests import world
from tests.bench.manager import keeper_of
from tests.bundles import Config
from tests.manager.conftest import config_of, running

#: Lives, and as many execs, of which so many are at work at a time.
COUNT, AT_ONCE = int(os.environ.get("PYRUNC_SOAK", "120")), 50
QUIET = Stdio(Null(), Null(), Null())
LIFE = ["created", "started", "exited", "deleted"]
#: KiB by which a process may be larger than half-way: what fifty at once need at most has its size by then. Of 20,000
#: the rest is 10,000, so that would be fifty bytes each. And KiB of an event, while more are kept than there were.
LARGER, EVENT = 512, 1
#: Rounds of 25 lives alone and as many beside creates that hang.
ROUNDS = max(4, min(40, COUNT // 100))
#: Seconds in which workers that have nothing to do are gone, and to spare (keeper/nursery.py: IDLE).
SETTLED = 10.0


def held(pid: int) -> tuple[int, int, int]:
    """(descriptors, mappings, KiB of anonymous memory, which a fork may share or not) of a process."""
    folder = Path(f"/proc/{pid}")
    own = sum(int(line.split()[1]) for line in (folder / "smaps_rollup").read_text().splitlines()
              if line.startswith("Anonymous:"))
    return len(os.listdir(folder / "fd")), len((folder / "maps").read_text().splitlines()), own


async def each(count: int, work: Callable[[int], Awaitable[None]]) -> None:
    """Do it for every number, AT_ONCE at a time."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            await work(number)
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


async def read(m: Manager, lives: int) -> None:
    """Every event of the lives; no number is missing, doubled or out of order. Keeps only those of lives that go on."""
    last, found = 0, dict[str, list[str]]()
    async for event in m.events(0):
        assert not isinstance(event, Gap), event
        assert event.number == last + 1
        last = event.number
        if event.id.endswith("-life"):
            found.setdefault(event.id, []).append(event.kind)
            if event.kind == "deleted":
                assert found.pop(event.id) == LIFE
                lives -= 1
                if not lives:
                    assert found == {}
                    return


@pytest.mark.timeout(120 + COUNT)
async def test_nothing_grows_and_no_event_is_lost(m: Manager, rootfs: Path, name: str) -> None:
    config = config_of(rootfs, "sh", "-c", "exit 7")
    reading = asyncio.ensure_future(read(m, COUNT))
    ready = [await running(m, f"{name}-{number}-exec", rootfs, "sleep", "1000000", stdio=QUIET) for number in range(4)]

    async def life(number: int) -> None:
        container = await m.create(f"{name}-{number}-life", config, stdio=QUIET)
        await container.start()
        exit = await container.wait(60)
        assert (exit.status, exit.lost) == (7, False)
        await container.delete()

    async def probe(number: int) -> None:
        result = await ready[number % 4].exec(["sh", "-c", f"echo {number}; exit {number % 200}"])
        assert (result.exit.status, result.stdout) == (number % 200, b"%d\n" % number)
    first = max(AT_ONCE, COUNT // 10)
    await each(min(first, COUNT), probe)
    keeper = keeper_of(m.directory.path)
    begun, before, events = time.monotonic(), None, 0
    for part in range(10):                           # lives and execs in turns
        await asyncio.gather(each(COUNT // 10, lambda number, part=part: life(part * (COUNT // 10) + number)),  # type: ignore[misc]
                             each(COUNT // 10, probe))
        await asyncio.sleep(0.1)
        now = {pid: held(pid) for pid in (os.getpid(), keeper)}
        if part == 4:
            before, events = now, max(0, KEPT - m.journal.last)
        print(f"{(part + 1) * (COUNT // 10)} lives and execs, {AT_ONCE} at once, in {time.monotonic() - begun:.0f} s; "
              f"manager and keeper have (descriptors, mappings, KiB) {list(now.values())}", flush=True)
    assert before is not None
    end = time.monotonic() + SETTLED                 # a worker more than there was then has a channel to the keeper
    while any(has[0] > before[pid][0] + 2 for pid, has in now.items()) and time.monotonic() < end:
        await asyncio.sleep(0.1)
        now = {pid: held(pid) for pid in now}
    for pid, (fds, maps, own) in now.items():
        assert fds <= before[pid][0] + 2 and maps <= before[pid][1] + 4, (before, now)
        assert own <= before[pid][2] + LARGER + events * EVENT, (before, now)
    async with asyncio.timeout(30):
        await reading
    assert os.listdir(m.directory.path / "exits") == []
    assert sorted(os.listdir(m.root)) == sorted(one.id for one in ready)


def p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


@contextmanager
def dead_file_system(place: Path) -> Iterator[Path]:
    """A file system whose server takes no request: whoever looks into it waits."""
    place.mkdir()
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        world.mount("dead", place, "fuse", data=f"fd={fd},rootmode=40000,user_id=0,group_id=0")
        yield place
    finally:
        os.close(fd)                                 # whoever waits gets ENOTCONN
        world.unmount(place)


@pytest.mark.timeout(180 + 30 * ROUNDS)
@pytest.mark.parametrize("where", ["hooks", "a dead file system"])
async def test_creates_that_hang_hold_up_no_others(m: Manager, rootfs: Path, place: Path, name: str,
                                                   where: str) -> None:
    """Ten of them. Rounds with and without them alternate, so that load hits both."""
    if where == "hooks":
        hook = {"path": "/bin/sleep", "args": ["sleep", "600"]}
        await beside_hanging(m, rootfs, name, config_of(rootfs, hooks={"createRuntime": [hook]}))
        return
    with dead_file_system(place / "dead") as dead:
        hanging = config_of(rootfs)
        hanging["mounts"].append({"destination": "/mnt", "source": f"{dead}/x", "type": "bind", "options": ["bind"]})
        await beside_hanging(m, rootfs, name, hanging)


async def beside_hanging(m: Manager, rootfs: Path, name: str, hanging: Config) -> None:
    """Lives alone, and lives beside ten creates of that config."""
    async def lives(word: str) -> list[float]:
        times = []
        for number in range(25):
            begun = time.monotonic()
            container = await m.create(f"{name}-{word}-{number}", config_of(rootfs), stdio=QUIET)
            await container.start()
            times.append(time.monotonic() - begun)
            await container.delete(force=True)
        return times
    await lives("warm")
    alone: list[float] = []
    beside: list[float] = []
    for part in range(ROUNDS):
        alone += await lives(f"alone{part}")
        hung = [asyncio.ensure_future(m.create(f"{name}-hung{part}-{one}", hanging, stdio=QUIET)) for one in range(10)]
        await asyncio.sleep(1.2)                     # they are at their hooks
        beside += await lives(f"beside{part}")
        assert not any(one.done() for one in hung)
        for one in hung:
            one.cancel()
        await asyncio.gather(*hung, return_exceptions=True)
    print(f"p99 of {len(alone)}: {p99(alone) * 1e3:.0f} ms alone, {p99(beside) * 1e3:.0f} ms beside ten that hang; "
          f"medians {sorted(alone)[len(alone) // 2] * 1e3:.1f} and {sorted(beside)[len(beside) // 2] * 1e3:.1f} ms")
    assert sorted(beside)[len(beside) // 2] <= 2 * sorted(alone)[len(alone) // 2]
    if COUNT >= 1000:                                # a hundredth of a hundred is one, and that is the load's
        assert p99(beside) <= 2 * p99(alone)
    assert m.containers() == [] and os.listdir(m.root) == []
