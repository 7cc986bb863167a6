"""What a container uses, as containerd's Stats has it: straight from the files of its cgroup."""
from __future__ import annotations

import errno

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

    from ..files import Files

ABSENT = (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP)
NO_LIMIT = (1 << 64) - 1


def metrics(kernel: Files, fd: int, pid: int) -> Metrics:
    """The metrics of the cgroup fd, and of the network namespace of process pid, 0 for none."""
    return Metrics(pids=_pids(kernel, fd), cpu=_cpu(kernel, fd), memory=_memory(kernel, fd), io=_io(kernel, fd),
                   rdma=_rdma(kernel, fd), hugetlb=list(_hugetlb(kernel, fd)), network=list(_network(kernel, pid)),
                   memory_events=_filled(MemoryEvents(), _flat(_text(kernel, fd, "memory.events"))))


def _text(kernel: Files, fd: int, name: str) -> str:
    try:
        return kernel.read_file(name, fd)
    except OSError as fault:
        if fault.errno in ABSENT:
            return ""
        raise


def _number(kernel: Files, fd: int, name: str) -> int:
    text = _text(kernel, fd, name).strip()
    return NO_LIMIT if text == "max" else int(text) if text.isdigit() else 0


def _flat(text: str) -> dict[str, int]:
    words = text.split()
    return {key: int(value) for key, value in zip(words[::2], words[1::2]) if value.isdigit()}


def _filled(message: Any, values: Mapping[str, int]) -> Any:
    for name, _ in message.FIELDS.values():
        if name in values:
            setattr(message, name, values[name])
    return message


def _pressure(text: str) -> PSIStats | None:
    """A file of Documentation/accounting/psi.rst; None where the kernel has none."""
    stats = PSIStats()
    for line in text.splitlines():
        kind, *pairs = line.split()
        values = dict(pair.split("=") for pair in pairs)
        setattr(stats, kind, PSIData(avg10=float(values["avg10"]), avg60=float(values["avg60"]),
                                     avg300=float(values["avg300"]), total=int(values["total"])))
    return stats if text else None


def _pids(kernel: Files, fd: int) -> PidsStat:
    limit = _number(kernel, fd, "pids.max")
    return PidsStat(current=_number(kernel, fd, "pids.current"), limit=0 if limit == NO_LIMIT else limit)


def _cpu(kernel: Files, fd: int) -> Any:
    stat = _filled(CPUStat(), _flat(_text(kernel, fd, "cpu.stat")))
    stat.psi = _pressure(_text(kernel, fd, "cpu.pressure"))
    return stat


def _memory(kernel: Files, fd: int) -> Any:
    stat = _filled(MemoryStat(), _flat(_text(kernel, fd, "memory.stat")))
    stat.usage, stat.usage_limit = _number(kernel, fd, "memory.current"), _number(kernel, fd, "memory.max")
    stat.max_usage, stat.swap_max_usage = _number(kernel, fd, "memory.peak"), _number(kernel, fd, "memory.swap.peak")
    stat.swap_usage = _number(kernel, fd, "memory.swap.current")
    stat.swap_limit = _number(kernel, fd, "memory.swap.max")
    stat.psi = _pressure(_text(kernel, fd, "memory.pressure"))
    return stat


def _io(kernel: Files, fd: int) -> IOStat:
    entries = []
    for line in _text(kernel, fd, "io.stat").splitlines():
        device, *pairs = line.split()
        major, _, minor = device.partition(":")
        values = {key: int(value) for key, _, value in (pair.partition("=") for pair in pairs) if value.isdigit()}
        entries.append(_filled(IOEntry(major=int(major), minor=int(minor)), values))
    return IOStat(usage=entries, psi=_pressure(_text(kernel, fd, "io.pressure")))


def _rdma(kernel: Files, fd: int) -> RdmaStat | None:
    current, limit = _devices(_text(kernel, fd, "rdma.current")), _devices(_text(kernel, fd, "rdma.max"))
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


def _hugetlb(kernel: Files, fd: int) -> Iterator[HugeTlbStat]:
    """One for each size of page that the cgroup counts: hugetlb.2MB.current and its kin."""
    for name in sorted(kernel.list_dir(fd)):
        if name.startswith("hugetlb.") and name.endswith(".current") and ".rsvd." not in name:
            size = name.split(".")[1]
            limit = _number(kernel, fd, f"hugetlb.{size}.max")
            events = _flat(_text(kernel, fd, f"hugetlb.{size}.events"))
            yield HugeTlbStat(current=_number(kernel, fd, name), max=limit, pagesize=size, failcnt=events.get("max", 0))


def _network(kernel: Files, pid: int) -> Iterator[NetworkStat]:
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
