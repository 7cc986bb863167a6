"""Values and names of cgroup files that the kernel would refuse, and places for cgroups where none can be limited."""
from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..cgroups import path as place
from ..cgroups.resources import controllers, settings, size
from ..cgroups.why_refused import SIZES, of_cpu_max
from ..config.near import meant
from ..config.where import quoted
from ..errors import ConfigError
from ..options import Options
from .findings import Finding, error, warning

if TYPE_CHECKING:
    from ..config.types import Config
    from ..host import Host

#: Files that the root of the hierarchy has not got, which are in every other cgroup whose controller is passed on.
#: Documentation/admin-guide/cgroup-v2.rst; a cgroup that is there is looked at, too.
KNOWN = {
    "cgroup": ("cgroup.max.descendants", "cgroup.max.depth", "cgroup.pressure", "cgroup.subtree_control"),
    "cpu": ("cpu.weight", "cpu.weight.nice", "cpu.max", "cpu.max.burst", "cpu.idle", "cpu.uclamp.min", "cpu.uclamp.max",
            "cpu.pressure"),
    "cpuset": ("cpuset.cpus", "cpuset.mems", "cpuset.cpus.partition", "cpuset.cpus.exclusive"),
    "memory": ("memory.min", "memory.low", "memory.high", "memory.max", "memory.swap.max", "memory.swap.high",
               "memory.zswap.max", "memory.zswap.writeback", "memory.oom.group", "memory.reclaim", "memory.peak",
               "memory.pressure", "memory.swap.peak"),
    "io": ("io.max", "io.weight", "io.bfq.weight", "io.latency", "io.prio.class", "io.pressure"),
    "pids": ("pids.max",),
    "misc": ("misc.max",), "rdma": ("rdma.max",), "dmem": ("dmem.max", "dmem.min", "dmem.low"),
}


def findings(config: Config, options: Options, host: Host) -> Iterator[Finding]:
    """config is sound in itself."""
    resources, wanted = config.get("linux", {}).get("resources", {}), config.get("linux", {}).get("cgroupsPath", "")
    if place.like_systemd(wanted) and not place.systemd_driver(options):
        yield warning(place.WHERE, place.LIKE_SYSTEMD, "check takes --systemd-cgroup in front, as the engine gives it")
    try:
        settled = settings(resources)
    except ConfigError:                                    # the plan will say so
        return
    for setting in settled:
        file, value, where = setting.file, setting.value, setting.where
        if ".unified[" in where and setting.controller in KNOWN and file not in KNOWN[setting.controller] \
                and not _there(host, file):
            known = [name for names in KNOWN.values() for name in names]
            yield warning(where, f"no cgroup is known to have a file {quoted(file)}: no such file or directory",
                          meant(file, known).strip(" ()"))
        elif file == "cpu.max" and _numbers(value):
            hint, there = of_cpu_max(value, where)
            if hint:
                yield error(there, f"cpu.max does not take {quoted(value)}: invalid argument", hint)
        elif file in (*SIZES, "pids.max") and value != "max" and size(value) < 0:
            yield error(where, f"{file} does not take {quoted(value)}: invalid argument",
                        'a number is wanted, or "max"')
    yield from _parent(config, options, host, controllers([setting for setting in settled if not setting.optional]))


def _numbers(value: str) -> bool:
    quota, _, period = value.partition(" ")
    return (quota.isdigit() and period.isdigit()) or (quota == "max" and period.isdigit())


def _there(host: Host, file: str) -> bool:
    """Whether some cgroup has such a file: of this kernel, which may know more than this list."""
    top = host.cgroup_mount
    if not top:
        return False
    try:
        folders = [top, *(entry.path for entry in os.scandir(top) if entry.is_dir())]
    except OSError:
        return False
    return any(os.path.exists(os.path.join(folder, file)) for folder in folders)


def _parent(config: Config, options: Options, host: Host, wanted: list[str]) -> Iterator[Finding]:
    """A cgroup with processes in it passes no controller on (cgroups(7), no internal processes)."""
    if not wanted or place.systemd_driver(options):
        return
    try:
        path = place.directory(config, options, host)
    except ConfigError:
        return
    above = os.path.dirname(path)
    where = place.WHERE if config["linux"].get("cgroupsPath") else "linux.resources"
    while above.startswith(f"{host.cgroup_mount}/"):
        try:
            with open(f"{above}/cgroup.subtree_control") as file:
                passed = {*file.read().split()}
            with open(f"{above}/cgroup.procs") as file:
                busy = bool(file.read(1))
        except OSError:
            above = os.path.dirname(above)
            continue
        missing = [name for name in wanted if name not in passed]
        if missing and busy:
            yield error(where, f"{above} does not pass the controller {missing[0]} on: processes are in it")
        return
