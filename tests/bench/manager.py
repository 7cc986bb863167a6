"""The manager beside the command lines: create, start, kill, reap, delete, in turns, so that load hits all alike.

    python -m tests.bench.manager [--rounds 30] [--many 1000]

Prints a table: lifecycles per second one after another (of the median and the minimum), and CPU per lifecycle of all
processes; then the same for the manager with several at once; then what containers that only live cost.
"""
from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from pyrunc.library import program
from pyrunc.manager import Log, Manager, Null, Stdio
from tests import bundles, world
from tests.bundles import docker_like
from tests.runtimes import Runtime

QUIET = Stdio(Null(), Null(), Null())


def cpu() -> float:
    """Seconds of CPU of this process and of all its children that have been reaped."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def cpu_of(keeper: int) -> float:
    """The same of the keeper, with its workers that have not ended."""
    used = 0
    for pid in (str(keeper), *Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:                              # ended since
            continue
        used += sum(map(int, fields[11:15]))
    return used / os.sysconf("SC_CLK_TCK")


def by_command(runtime: Runtime, bundle: Path, id: str) -> None:
    """A lifecycle by a command line; its orphan comes to us, for we are a subreaper."""
    def run(*words: str) -> None:
        subprocess.run(runtime.argv(*words), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    pid_file = runtime.root.parent / "pid"
    run("create", "--bundle", str(bundle), "--pid-file", str(pid_file), id)
    run("start", id)
    run("kill", id, "KILL")
    os.waitpid(int(pid_file.read_text()), 0)
    run("delete", id)


def able(runtime: Runtime, bundle: Path) -> Runtime:
    """The runtime, with a cgroup if it can make one here: crun 1.8.1 wants controllers. CalledProcessError, OSError."""
    otherwise, runtime.options = runtime.options, []
    try:
        by_command(runtime, bundle, f"b{os.getpid()}-try")
    except subprocess.CalledProcessError:
        if not otherwise:
            raise
        runtime.options = otherwise
        by_command(runtime, bundle, f"b{os.getpid()}-again")
    return runtime


async def by_manager(m: Manager, config: bundles.Config, id: str) -> None:
    """The same by the manager."""
    container = await m.create(id, config, stdio=QUIET)
    await container.start()
    await container.kill()
    await container.wait()
    await container.delete()


def keeper_of(directory: Path) -> int:
    """The pid of the keeper that works for this manager. Its workers have its command line, and their pids may be less:
    what has a parent with that command line is one of them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.fsencode(directory / "exits") in (entry / "cmdline").read_bytes().split(b"\0"):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
            except OSError:
                continue
    for pid, parent in parents.items():
        if parent not in parents:
            return pid
    raise AssertionError("there is no keeper")


def memory_of(pid: int) -> int:
    """KiB of PSS."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def switches(pid: int) -> int:
    """How often a process has slept."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    return 0


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--runtime", action="append", help="command lines beside: pyrunc, runc, crun or a path")
    given = parser.parse_args()
    world.enter()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with TemporaryDirectory(prefix="pyrunc-bench-") as folder:
        place = Path(folder) / "run"
        place.mkdir()
        world.mount("tmpfs", place, "tmpfs")         # as /run is, where every runtime has its state
        rootfs = bundles.busybox_root(Path(folder) / "rootfs")
        config = docker_like(process={"args": ["sleep", "1000"]}, root={"path": str(rootfs)})
        (place / "bundle").mkdir()
        bundle = bundles.write(place / "bundle", config)
        commands = {}
        for number, name in enumerate(given.runtime or ("pyrunc", "runc", "crun")):
            path = program.find() if name == "pyrunc" else name
            try:
                found = able(Runtime(path, place / f"root-{number}"), bundle)
            except (subprocess.CalledProcessError, OSError) as fault:
                print(f"{name} cannot run this bundle here: {fault}")
                continue
            commands[" ".join((name, *found.options))] = found
        async with Manager(str(place / "state"), place / "manager") as m:
            await by_manager(m, config, f"b{os.getpid()}-warm")
            await compare(m, config, commands, place, bundle, given.rounds)
            await many(m, config, place, given.many)
        world.unmount(place)


async def compare(m: Manager, config: bundles.Config, commands: dict[str, Runtime], place: Path, bundle: Path,
                  rounds: int) -> None:
    """All in turns."""
    keeper, pid = keeper_of(place / "manager"), os.getpid()
    took: dict[str, list[float]] = {}
    used: dict[str, float] = {}
    names = ["manager", "manager, 4 at once", *commands]
    for number in range(rounds):
        for name in names[number % len(names):] + names[:number % len(names)]:
            began, before = time.perf_counter(), cpu() + cpu_of(keeper)
            count = 1
            if name == "manager":
                await by_manager(m, config, f"b{pid}-{number}")
            elif name in commands:
                by_command(commands[name], bundle, f"b{pid}-{number}")
            else:
                count = 8
                await asyncio.gather(*(chain(m, config, f"b{pid}-{number}-{one}", count // 4) for one in range(4)))
            took.setdefault(name, []).append((time.perf_counter() - began) / count)
            used[name] = used.get(name, 0.0) + (cpu() + cpu_of(keeper) - before) / count
    print(f"load {os.getloadavg()[0]:.1f}, {rounds} rounds, {len(os.sched_getaffinity(0))} CPUs")
    wide = max(map(len, names))
    print(f"{'':{wide}} {'median':>8} {'minimum':>8} {'per second':>10} {'CPU':>8}")
    for name in names:
        median, least = statistics.median(took[name]), min(took[name])
        print(f"{name:{wide}} {median * 1e3:6.1f}ms {least * 1e3:6.1f}ms {1 / median:10.1f} "
              f"{used[name] / rounds * 1e3:6.1f}ms")


async def chain(m: Manager, config: bundles.Config, id: str, count: int) -> None:
    """Lifecycles one after another."""
    for number in range(count):
        await by_manager(m, config, f"{id}-{number}")


async def many(m: Manager, config: bundles.Config, place: Path, count: int) -> None:
    """What containers cost that only live, and how long another manager takes to find them."""
    from prometheus_client.parser import text_string_to_metric_families

    from pyrunc.serve.metrics import Metrics
    pid, keeper = os.getpid(), keeper_of(place / "manager")
    before, keepers, fds = memory_of(pid), memory_of(keeper), len(os.listdir("/proc/self/fd"))
    began = time.perf_counter()
    gate = asyncio.Semaphore(4)

    async def one(number: int) -> None:
        async with gate:
            container = await m.create(f"b{pid}-m{number}", config, stdio=Stdio(Null(), Log(), Log()))
            await container.start()
    await asyncio.gather(*map(one, range(count)))
    print(f"\n{count} containers made and started in {time.perf_counter() - began:.1f} s, 4 at once")
    more = (len(os.listdir("/proc/self/fd")) - fds) / count
    print(f"manager: {(memory_of(pid) - before) / count:.2f} KiB and {more:.1f} descriptors each, "
          f"{before} KiB before; keeper: {keepers} KiB before, {memory_of(keeper)} KiB after")
    await asyncio.sleep(3.0)                         # workers that have nothing to do end
    spent, woken = time.process_time(), [switches(one) for one in (pid, keeper)]
    await asyncio.sleep(10.0)
    manager, kept = (switches(one) - before for one, before in zip((pid, keeper), woken))
    print(f"idle: {(time.process_time() - spent) * 1e3:.1f} ms of CPU in 10 s; the manager was woken {manager} times, "
          f"the keeper {kept} times")
    began, spent = time.perf_counter(), time.process_time()
    for container in m.containers():
        container.stats()
    print(f"stats: {(time.process_time() - spent) / count * 1e3:.3f} ms of CPU each")
    began = time.perf_counter()
    infos = [container.info() for container in m.containers()]
    print(f"list: {(time.perf_counter() - began) * 1e3:.1f} ms for {len(infos)}")
    began = time.perf_counter()
    await m.refresh()
    print(f"refresh: {(time.perf_counter() - began) * 1e3:.0f} ms for {len(infos)}")
    metrics, began, spent = Metrics(m), time.perf_counter(), time.process_time()
    data = metrics.text(False)
    print(f"metrics: {time.perf_counter() - began:.2f} s, {time.process_time() - spent:.2f} s of CPU, "
          f"{len(data) >> 10} KiB", end="")
    samples = sum(len(family.samples) for family in text_string_to_metric_families(data.decode()))
    print(f"; Prometheus' parser has read {samples} samples")
    metrics._disks.close()
    await m.close()
    began, spent = time.perf_counter(), time.process_time()
    await m.open()
    print(f"adoption: {time.perf_counter() - began:.2f} s, {time.process_time() - spent:.2f} s of CPU, for "
          f"{len(m.containers())}")
    began = time.perf_counter()

    async def remove(id: str) -> None:
        async with gate:
            await m.get(id).delete(force=True)
    await asyncio.gather(*(remove(container.id) for container in m.containers()))
    print(f"deleted in {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    asyncio.run(main())
