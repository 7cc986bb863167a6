"""What a container uses, from the files of its cgroup (cgroup-v2.rst). What the kernel does not count is 0 or None."""
from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

from ..cgroups.stats import flat, pressure


@dataclass(frozen=True)
class Pressure:
    """PSI (psi.rst) of one resource: seconds in which some, or all, tasks waited; percent of the last 10 to 300 s."""
    some_total: float
    full_total: float
    some_avg10: float
    some_avg60: float
    some_avg300: float
    full_avg10: float
    full_avg60: float
    full_avg300: float


@dataclass(frozen=True)
class Cpu:
    """Seconds. periods: of a quota; throttled: those in which it was used up, and for how long. quota and period are
    microseconds: so many of CPU in each period; None: no limit."""
    usage: float = 0.0
    user: float = 0.0
    system: float = 0.0
    periods: int = 0
    throttled_periods: int = 0
    throttled: float = 0.0
    pressure: Pressure | None = None
    quota: int | None = None
    period: int = 0


@dataclass(frozen=True)
class Memory:
    """Bytes. working_set is usage without inactive files, what cannot be freed at once; limit None: no limit."""
    usage: int = 0
    working_set: int = 0
    max_usage: int = 0
    limit: int | None = None
    rss: int = 0
    cache: int = 0
    swap: int = 0
    limit_hits: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    oom_kills: int = 0
    pressure: Pressure | None = None


@dataclass(frozen=True)
class Device:
    """What was read from and written to one block device, in bytes and requests."""
    device: str
    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0


@dataclass(frozen=True)
class Stats:
    """At one moment: time is UTC, in seconds."""
    time: float
    cpu: Cpu = field(default_factory=Cpu)
    memory: Memory = field(default_factory=Memory)
    processes: int = 0
    processes_limit: int | None = None
    io: tuple[Device, ...] = ()
    io_pressure: Pressure | None = None


def read(cgroup: str) -> Stats:
    """The stats of a cgroup. Without it, all zeros: the container has ended."""
    try:
        directory = os.open(cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return Stats(time.time())
    try:
        return _stats(directory)
    finally:
        os.close(directory)


def _stats(at: int) -> Stats:
    cpu, memory = flat(_text(at, "cpu.stat")), flat(_text(at, "memory.stat"))
    events = flat(_text(at, "memory.events"))
    usage = _number(at, "memory.current") or 0
    processes = _text(at, "pids.current")
    count = int(processes) if processes else len(_text(at, "cgroup.procs").split())
    quota, _, period = _text(at, "cpu.max").strip().partition(" ")
    return Stats(
        time.time(),
        Cpu(cpu.get("usage_usec", 0) / 1e6, cpu.get("user_usec", 0) / 1e6, cpu.get("system_usec", 0) / 1e6,
            cpu.get("nr_periods", 0), cpu.get("nr_throttled", 0), cpu.get("throttled_usec", 0) / 1e6,
            _pressure(_text(at, "cpu.pressure")), int(quota) if quota.isdecimal() else None, int(period or 0)),
        Memory(usage, max(0, usage - memory.get("inactive_file", 0)), _number(at, "memory.peak") or 0,
               _number(at, "memory.max"), memory.get("anon", 0), memory.get("file", 0),
               _number(at, "memory.swap.current") or 0, events.get("max", 0), memory.get("pgfault", 0),
               memory.get("pgmajfault", 0), events.get("oom_kill", 0), _pressure(_text(at, "memory.pressure"))),
        count, _number(at, "pids.max"), tuple(_devices(_text(at, "io.stat"))), _pressure(_text(at, "io.pressure")))


def oom_kills(cgroup: str) -> int:
    """How many of its processes the kernel has killed for want of memory."""
    try:
        with open(f"{cgroup}/memory.events", "rb", buffering=0) as file:
            return flat(file.read().decode()).get("oom_kill", 0)
    except OSError:
        return 0


def processes(cgroup: str) -> list[int]:
    """The pids in it and below it."""
    found: list[int] = []
    for folder, _, _ in os.walk(cgroup):
        try:
            with open(f"{folder}/cgroup.procs", "rb", buffering=0) as file:
                found += map(int, file.read().split())
        except OSError:
            continue
    return sorted(found)


def _text(at: int, name: str) -> str:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=at)
    except OSError:
        return ""
    try:
        return os.read(fd, 1 << 16).decode()
    except OSError:                      # ENODEV: removed; EOPNOTSUPP: PSI is off
        return ""
    finally:
        os.close(fd)


def _number(at: int, name: str) -> int | None:
    text = _text(at, name).strip()
    return int(text) if text.isdecimal() else None


def _pressure(text: str) -> Pressure | None:
    found = pressure(text)
    if "some" not in found:
        return None
    some, full = found["some"], found.get("full", {})
    return Pressure(some["total"] / 1e6, full.get("total", 0.0) / 1e6, some["avg10"], some["avg60"], some["avg300"],
                    full.get("avg10", 0.0), full.get("avg60", 0.0), full.get("avg300", 0.0))


def _devices(text: str) -> list[Device]:
    found = []
    for line in text.splitlines():
        name, *fields = line.split()
        values = {key: int(value) for key, _, value in (one.partition("=") for one in fields) if value.isdecimal()}
        if "rbytes" in values:
            found.append(Device(name, values["rbytes"], values.get("wbytes", 0), values.get("rios", 0),
                                values.get("wios", 0)))
    return found


TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def process(pid: int) -> dict[str, Any] | None:
    """One of Container.top(); None when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").split(b"\0")
    except OSError:                                  # it has ended
        return None
    return {"pid": pid, "command": b" ".join(words).decode(errors="replace"), "state": fields[0].decode(),
            "cpu": (int(fields[11]) + int(fields[12])) / TICKS, "rss": int(fields[21]) * PAGE}
