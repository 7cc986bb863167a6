"""The config's limits and ids against this machine: controllers, CPUs, page sizes, what the caller may hand on."""
from __future__ import annotations

import os
import pwd
import re
import resource
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..cgroups.resources import ignored, settings
from ..config.numbers import LIMIT, parse_numbers
from ..config.rules.linux import namespace
from ..errors import ConfigError
from .findings import Finding, error, warning

if TYPE_CHECKING:
    from ..cgroups.resources import Setting
    from ..config.types import Config
    from ..host import Host

CAP_SYS_RESOURCE = 24


def findings(config: Config, host: Host) -> Iterator[Finding]:
    """config is sound in itself."""
    yield from controllers(config, host, _available(host))
    yield from without_effect(config)
    yield from _cpus(config)
    yield from _pages(config)
    yield from _rlimits(config, host)
    yield from _subordinate_ids(config, host)


def without_effect(config: Config) -> Iterator[Finding]:
    """Limits that cgroup v2 has not."""
    for where, why in ignored(config.get("linux", {}).get("resources", {})):
        yield warning(where, f"no effect: {why}")


def _available(host: Host) -> set[str]:
    try:
        with open(f"{host.cgroup_mount}/cgroup.controllers") as file:
            return set(file.read().split())
    except OSError:
        return set()


def controllers(config: Config, host: Host, available: set[str]) -> Iterator[Finding]:
    """A limit whose controller is not in the cgroup v2 hierarchy cannot be set: the first of each is named."""
    missing: set[str] = set()
    try:
        wanted = settings(config.get("linux", {}).get("resources", {}))
    except ConfigError:                                    # the plan will say so
        return
    for setting in wanted:
        controller = setting.controller
        if controller not in available | missing | {"cgroup"}:
            missing.add(controller)
            yield error(setting.where, f"controller {controller} is not available in the cgroup v2 hierarchy"
                        + (f" at {host.cgroup_mount}" if host.cgroup_mount else ": it is not mounted"))
        elif controller in available and (device := _absent_device(setting)):
            yield error(setting.where, f"no such device: {device}")


def _absent_device(setting: Setting) -> str:
    """The device that a limit is for, when there is none here and so the kernel will refuse it (cgroup-v2.rst, io and
    rdma): "MAJ:MIN" or a name; else "". Without sysfs nobody can tell."""
    device = setting.value.partition(" ")[0]
    if setting.controller == "io" and ":" in device:
        known = "/sys/dev/block"
    elif setting.controller == "rdma" and device:
        known = "/sys/class/infiniband"
    else:
        return ""
    return "" if os.path.exists(f"{known}/{device}") or not os.path.isdir("/sys/class") else device


def _online(kind: str) -> set[int]:
    """The numbers of the CPUs ("cpu") or memory nodes ("node")."""
    try:
        with open(f"/sys/devices/system/{kind}/online") as file:
            return set(parse_numbers(file.read().strip()))
    except OSError:
        return {0}                                         # a kernel without NUMA has one node


def _cpus(config: Config) -> Iterator[Finding]:
    linux = config.get("linux", {})
    cpu, policy = linux.get("resources", {}).get("cpu", {}), linux.get("memoryPolicy")
    for key, text, kind in (("cpus", cpu.get("cpus", ""), "cpu"), ("mems", cpu.get("mems", ""), "node")):
        if text and (absent := set(parse_numbers(text)) - _online(kind)):
            yield error(f"linux.resources.cpu.{key}", f"{min(absent)} is not online here")
    if policy and "MPOL_F_RELATIVE_NODES" not in policy.get("flags", ()):
        nodes = set(parse_numbers(policy.get("nodes", "")))
        if nodes and not nodes & _online("node"):          # the kernel leaves out those that are not
            yield error("linux.memoryPolicy.nodes", "none of these nodes is online here")
    if policy:
        most, room = max(parse_numbers(policy.get("nodes", "")), default=0), _room_for_nodes()
        if most >= room:
            yield error("linux.memoryPolicy.nodes", f"{most} is more than {room - 1}, the last node of this kernel's "
                                                    "masks")
    affinity: dict[str, Any] = config.get("process", {}).get("execCPUAffinity", {})  # type: ignore[assignment]
    for name in ("initial", "final"):
        numbers = affinity.get(name)
        if numbers and not set(parse_numbers(numbers)) & _online("cpu"):
            yield error(f"process.execCPUAffinity.{name}", "none of these CPUs is online here")


def _room_for_nodes() -> int:
    """How many memory nodes this kernel is built for: as wide are the masks that it shows (proc(5), Mems_allowed)."""
    with open("/proc/self/status", errors="surrogateescape") as file:
        words = next((line.split(":")[1] for line in file if line.startswith("Mems_allowed:")), "")
    return 32 * len(words.split(",")) if words else LIMIT  # a kernel without NUMA shows none


def _pages(config: Config) -> Iterator[Finding]:
    units = {"KB": 1, "MB": 1 << 10, "GB": 1 << 20}
    try:
        sizes = {int(name[10:-2]) for name in os.listdir("/sys/kernel/mm/hugepages")}
    except OSError:
        sizes = set()
    for index, limit in enumerate(config.get("linux", {}).get("resources", {}).get("hugepageLimits", ())):
        size = limit["pageSize"]
        if int(size[:-2]) * units[size[-2:]] not in sizes:
            yield error(f"linux.resources.hugepageLimits[{index}].pageSize", f"this machine has no pages of {size}")


def _rlimits(config: Config, host: Host) -> Iterator[Finding]:
    if host.capabilities >> CAP_SYS_RESOURCE & 1 and not host.in_userns:
        return
    for index, limit in enumerate(config.get("process", {}).get("rlimits", ())):
        number = getattr(resource, limit["type"], None)
        if number is None:
            continue
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY and limit["hard"] > hard:
            yield error(f"process.rlimits[{index}].hard", f"above the {hard} of this process, and it has no "
                                                          "CAP_SYS_RESOURCE: operation not permitted")


def _subordinate_ids(config: Config, host: Host) -> Iterator[Finding]:
    """An ordinary user may map itself, and what subuid(5) and subgid(5) give to it."""
    if host.privileged or host.euid == 0 or namespace(config, "user") is None:
        return
    linux, user = config.get("linux", {}), _name(host.euid)
    for key, mappings, own in (("uidMappings", linux.get("uidMappings", []), host.euid),
                               ("gidMappings", linux.get("gidMappings", []), host.egid)):
        granted = [(own, 1)]
        try:
            with open(f"/etc/sub{key[:3]}") as file:
                granted += [(int(first), int(count)) for name, first, count in
                            re.findall(r"^([^:\n]+):(\d+):(\d+)$", file.read(), re.MULTILINE)
                            if name in (user, str(host.euid))]
        except OSError:
            pass
        for index, mapping in enumerate(mappings):
            first, last = mapping["hostID"], mapping["hostID"] + mapping["size"]
            if not any(start <= first and last <= start + count for start, count in granted):
                yield error(f"linux.{key}[{index}].hostID", f"{first} to {last - 1} are not granted to {user}",
                            f"/etc/sub{key[:3]} must grant them")


def _name(uid: int) -> str:
    """The user's name; a uid need not have one (docker run --user 1234)."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
