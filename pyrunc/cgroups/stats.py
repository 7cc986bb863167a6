"""What a cgroup has used, in the shape of runc's events: its field names are those of cgroup v1 (contract of
`runc events`, which cAdvisor, containerd's older shims and monitoring agents decode).

Counters that the cgroup lacks (controller not enabled, kernel too old) are 0 or absent; nothing here fails because
of them. Times in nanoseconds, sizes in bytes, 2^64-1 for "no limit".
"""
from __future__ import annotations

import errno

from ..config.numbers import parse_numbers
from .v2 import members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.posix import PosixKernel

NO_LIMIT = (1 << 64) - 1
ABSENT = (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP)
#: io.stat's names -> list in blkio and "op" there; cost.* and the rest have no v1 name.
IO = {"rbytes": ("ioServiceBytesRecursive", "Read"), "wbytes": ("ioServiceBytesRecursive", "Write"),
      "rios": ("ioServicedRecursive", "Read"), "wios": ("ioServicedRecursive", "Write")}
#: Fields of cpuset that cgroup v2 has no file for; runc always prints them.
CPUSET_V1 = ("cpu_exclusive", "mem_hardwall", "mem_exclusive", "memory_migrate", "memory_spread_page",
             "memory_spread_slab", "memory_pressure", "sched_load_balance", "sched_relax_domain_level")


def stats(kernel: PosixKernel, fd: int) -> dict[str, Any]:
    """The parts cpu, cpuset, memory, pids, blkio and hugetlb of an event's data, read from the cgroup fd."""
    return {"cpu": _cpu(kernel, fd), "cpuset": _cpuset(kernel, fd), "memory": _memory(kernel, fd),
            "pids": _pids(kernel, fd), "blkio": _blkio(kernel, fd), "hugetlb": _hugetlb(kernel, fd)}


# ---- files --------------------------------------------------------------------------------------------------------
def read_text(kernel: PosixKernel, fd: int, file: str) -> str:
    """A file of the cgroup fd; "" without it."""
    try:
        return kernel.read_file(file, fd)
    except OSError as fault:
        if fault.errno in ABSENT:
            return ""
        raise


def read_number(kernel: PosixKernel, fd: int, file: str) -> int:
    """A file with one number, NO_LIMIT for "max"; 0 without the file."""
    text = read_text(kernel, fd, file).strip()
    return NO_LIMIT if text == "max" else int(text or 0)


def flat(text: str) -> dict[str, int]:
    """A "flat keyed" file: lines of key and number."""
    words = text.split()
    return {key: int(value) for key, value in zip(words[::2], words[1::2])}


def pressure(text: str) -> dict[str, dict[str, float | int]]:
    """A PSI file (Documentation/accounting/psi.rst): {"some": {"avg10": percent, ..., "total": us}, "full": ...}."""
    found: dict[str, dict[str, float | int]] = {}
    for line in text.splitlines():
        kind, *fields = line.split()
        found[kind] = {}
        for field in fields:
            name, _, value = field.partition("=")
            found[kind][name] = int(value) if name == "total" else float(value)
    return found


def _with_pressure(kernel: PosixKernel, fd: int, file: str, data: dict[str, Any]) -> dict[str, Any]:
    psi = pressure(read_text(kernel, fd, file))
    if psi:
        data["psi"] = psi
    return data


# ---- one function per part ----------------------------------------------------------------------------------------
def _cpu(kernel: PosixKernel, fd: int) -> dict[str, Any]:
    stat = flat(read_text(kernel, fd, "cpu.stat"))
    return _with_pressure(kernel, fd, "cpu.pressure", {
        "usage": {"total": stat.get("usage_usec", 0) * 1000, "kernel": stat.get("system_usec", 0) * 1000,
                  "user": stat.get("user_usec", 0) * 1000},
        "throttling": {"periods": stat.get("nr_periods", 0), "throttledPeriods": stat.get("nr_throttled", 0),
                       "throttledTime": stat.get("throttled_usec", 0) * 1000}})


def _cpuset(kernel: PosixKernel, fd: int) -> dict[str, Any]:
    data: dict[str, Any] = dict.fromkeys(CPUSET_V1, 0)
    for key in ("cpus", "mems"):
        found = parse_numbers(read_text(kernel, fd, f"cpuset.{key}.effective"))
        if found:
            data[key] = found
    return data


def _memory(kernel: PosixKernel, fd: int) -> dict[str, Any]:
    raw = flat(read_text(kernel, fd, "memory.stat"))
    use, limit = read_number(kernel, fd, "memory.current"), read_number(kernel, fd, "memory.max")
    hit = flat(read_text(kernel, fd, "memory.events")).get("max", 0)
    swap, swap_limit = read_number(kernel, fd, "memory.swap.current"), read_number(kernel, fd, "memory.swap.max")
    return _with_pressure(kernel, fd, "memory.pressure", {
        "cache": raw.get("file", 0),
        "usage": {"limit": limit, "usage": use, "max": read_number(kernel, fd, "memory.peak"), "failcnt": hit},
        # v1's swap is memory and swap together. Its highest value is not the sum of both highest ones: left out.
        "swap": {"limit": min(limit + swap_limit, NO_LIMIT), "usage": use + swap, "failcnt": 0},
        "kernel": {"limit": 0, "failcnt": 0}, "kernelTCP": {"limit": 0, "failcnt": 0},
        "raw": raw})


def _pids(kernel: PosixKernel, fd: int) -> dict[str, Any]:
    text = read_text(kernel, fd, "pids.current")
    if not text:
        return {"current": len(members(kernel, ".", fd)), "limit": 0}
    limit = read_number(kernel, fd, "pids.max")
    return {"current": int(text), "limit": 0 if limit == NO_LIMIT else limit}


def _blkio(kernel: PosixKernel, fd: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for line in read_text(kernel, fd, "io.stat").splitlines():
        device, *fields = line.split()
        major, _, minor = device.partition(":")
        if not (major.isdigit() and minor.isdigit()):
            continue                 # "(unknown)": a device without a name, Linux 6.2
        for field in fields:
            name, _, value = field.partition("=")
            if name in IO:
                key, op = IO[name]
                data.setdefault(key, []).append(
                    {"major": int(major), "minor": int(minor), "op": op, "value": int(value)})
    return _with_pressure(kernel, fd, "io.pressure", data)


def _hugetlb(kernel: PosixKernel, fd: int) -> dict[str, Any]:
    """{"2MB": {...}}: reservations where the kernel counts them, which is what is limited then."""
    data: dict[str, Any] = {}
    for file in kernel.list_dir(fd):
        if file.startswith("hugetlb.") and file.endswith(".events") and file.count(".") == 2:
            size = file.split(".")[1]
            use = (read_text(kernel, fd, f"hugetlb.{size}.rsvd.current")
                   or read_text(kernel, fd, f"hugetlb.{size}.current"))
            data[size] = {"usage": int(use or 0), "failcnt": flat(read_text(kernel, fd, file)).get("max", 0)}
    return data
