"""What a container uses, as containerd's Stats has it: straight from the files of its cgroup."""
from __future__ import annotations

from ..cgroups.stats import NO_LIMIT, flat, pressure, read_number, read_text
from ..ttrpc.messages.metrics import (
    CPUStat,
    HugeTlbStat,
    IOEntry,
    IOStat,
    MemoryEvents,
    MemoryStat,
    Metrics,
    NetworkStat,
    PidsStat,
    PSIData,
    PSIStats,
    RdmaEntry,
    RdmaStat,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..kernel.posix import PosixKernel


def metrics(kernel: PosixKernel, fd: int, pid: int) -> Metrics:
    """The metrics of the cgroup fd, and of the network namespace of process pid, 0 for none."""
    return Metrics(pids=_pids(kernel, fd), cpu=_cpu(kernel, fd), memory=_memory(kernel, fd), io=_io(kernel, fd),
                   rdma=_rdma(kernel, fd), hugetlb=list(_hugetlb(kernel, fd)), network=list(_network(kernel, pid)),
                   memory_events=_filled(MemoryEvents(), flat(read_text(kernel, fd, "memory.events"))))


def _filled(message: Any, values: Mapping[str, int]) -> Any:
    for name, _ in message.FIELDS.values():
        if name in values:
            setattr(message, name, values[name])
    return message


def _pressure(text: str) -> PSIStats | None:
    """A PSI file; None where the kernel has none."""
    found: dict[str, Any] = {kind: PSIData(**values) for kind, values in pressure(text).items()}  # type: ignore[arg-type]
    return PSIStats(**found) if found else None


def _pids(kernel: PosixKernel, fd: int) -> PidsStat:
    limit = read_number(kernel, fd, "pids.max")
    return PidsStat(current=read_number(kernel, fd, "pids.current"), limit=0 if limit == NO_LIMIT else limit)


def _cpu(kernel: PosixKernel, fd: int) -> Any:
    stat = _filled(CPUStat(), flat(read_text(kernel, fd, "cpu.stat")))
    stat.psi = _pressure(read_text(kernel, fd, "cpu.pressure"))
    return stat


def _memory(kernel: PosixKernel, fd: int) -> Any:
    stat = _filled(MemoryStat(), flat(read_text(kernel, fd, "memory.stat")))
    stat.usage, stat.usage_limit = read_number(kernel, fd, "memory.current"), read_number(kernel, fd, "memory.max")
    stat.max_usage = read_number(kernel, fd, "memory.peak")
    stat.swap_max_usage = read_number(kernel, fd, "memory.swap.peak")
    stat.swap_usage = read_number(kernel, fd, "memory.swap.current")
    stat.swap_limit = read_number(kernel, fd, "memory.swap.max")
    stat.psi = _pressure(read_text(kernel, fd, "memory.pressure"))
    return stat


def _io(kernel: PosixKernel, fd: int) -> IOStat:
    entries = []
    for line in read_text(kernel, fd, "io.stat").splitlines():
        device, *pairs = line.split()
        major, _, minor = device.partition(":")
        if not (major.isdigit() and minor.isdigit()):
            continue                                   # "(unknown)": a device that is gone, Linux 6.2
        values = {key: int(value) for key, _, value in (pair.partition("=") for pair in pairs) if value.isdigit()}
        entries.append(_filled(IOEntry(major=int(major), minor=int(minor)), values))
    return IOStat(usage=entries, psi=_pressure(read_text(kernel, fd, "io.pressure")))


def _rdma(kernel: PosixKernel, fd: int) -> RdmaStat | None:
    current, limit = _devices(read_text(kernel, fd, "rdma.current")), _devices(read_text(kernel, fd, "rdma.max"))
    return RdmaStat(current=current, limit=limit) if current or limit else None


def _devices(text: str) -> list[RdmaEntry]:
    entries = []
    for line in text.splitlines():
        device, *pairs = line.split()
        values = {key: (1 << 32) - 1 if value == "max" else int(value)
                  for key, _, value in (pair.partition("=") for pair in pairs)}
        entries.append(RdmaEntry(device=device, hca_handles=values.get("hca_handle", 0),
                                 hca_objects=values.get("hca_object", 0)))
    return entries


def _hugetlb(kernel: PosixKernel, fd: int) -> Iterator[HugeTlbStat]:
    """One for each size of page that the cgroup counts: hugetlb.2MB.current and its kin."""
    for name in sorted(kernel.list_dir(fd)):
        if name.startswith("hugetlb.") and name.endswith(".current") and ".rsvd." not in name:
            size = name.split(".")[1]
            limit = read_number(kernel, fd, f"hugetlb.{size}.max")
            events = flat(read_text(kernel, fd, f"hugetlb.{size}.events"))
            yield HugeTlbStat(current=read_number(kernel, fd, name), max=limit, pagesize=size,
                              failcnt=events.get("max", 0))


def _network(kernel: PosixKernel, pid: int) -> Iterator[NetworkStat]:
    """The devices of a process's network namespace, but for lo (proc_pid_net(5))."""
    try:
        text = kernel.read_file(f"/proc/{pid}/net/dev") if pid else ""
    except OSError:
        return
    for line in text.splitlines()[2:]:
        name, _, counters = line.partition(":")
        numbers = [int(word) for word in counters.split()]
        if name.strip() != "lo" and len(numbers) >= 12:
            yield NetworkStat(name=name.strip(), rx_bytes=numbers[0], rx_packets=numbers[1], rx_errors=numbers[2],
                              rx_dropped=numbers[3], tx_bytes=numbers[8], tx_packets=numbers[9], tx_errors=numbers[10],
                              tx_dropped=numbers[11])
