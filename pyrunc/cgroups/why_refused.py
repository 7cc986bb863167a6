"""Why the kernel does not take a value for a file of a cgroup. Loaded only when it has refused one.

The bounds are the kernel's: kernel/sched/core.c (max_cfs_runtime, min_cfs_quota_period), Documentation/admin-guide/
cgroup-v2.rst.
"""
from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.posix import PosixKernel

#: Microseconds (tg_set_cfs_bandwidth)
LEAST_PERIOD, MOST_PERIOD, LEAST_QUOTA = 1000, 1_000_000, 1000
SIZES = ("memory.max", "memory.high", "memory.low", "memory.min", "memory.swap.max", "memory.swap.high")


def advice(kernel: PosixKernel, file: str, value: str, where: str, number: int) -> tuple[str, str]:
    """(clause for a hint, JSON path) for a value that was refused with an errno; "" for no clause."""
    if file == "cpu.max" and number == errno.EINVAL:
        return of_cpu_max(value, where)
    if file in SIZES and number == errno.EINVAL:
        return 'a number of bytes is wanted, also with K, M or G, or "max"', where
    if file == "pids.max" and number == errno.EINVAL:
        return 'a number of processes is wanted, or "max"', where
    if file in ("cpuset.cpus", "cpuset.mems"):
        kind = "cpu" if file == "cpuset.cpus" else "node"
        try:
            return f"online here: {kernel.read_file(f'/sys/devices/system/{kind}/online').strip()}", where
        except OSError:
            return "", where
    if file.startswith("io.") and number == errno.ENODEV:
        return f"{value.partition(' ')[0]} is no block device of this host (lsblk)", where
    return "", where


def of_cpu_max(value: str, where: str) -> tuple[str, str]:
    """The same for "QUOTA PERIOD" of cpu.max: which of the two it is, and its bounds."""
    quota, _, period = value.partition(" ")
    if not LEAST_PERIOD <= int(period or "100000") <= MOST_PERIOD:
        return f"a period has {LEAST_PERIOD} to {MOST_PERIOD} microseconds", where.replace(".cpu.quota", ".cpu.period")
    if quota.isdigit() and int(quota) < LEAST_QUOTA:
        return f"a quota has at least {LEAST_QUOTA} microseconds", where
    return "", where
