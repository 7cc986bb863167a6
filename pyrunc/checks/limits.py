"""The config's limits and ids against this machine: controllers, CPUs, page sizes, what the caller may hand on."""
from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Set
from typing import TYPE_CHECKING, Any

from ..cgroups.resources import inconvertible, settings
from ..config import shape
from ..config.numbers import LIMIT, parse_numbers
from ..config.rules.linux import namespace
from ..errors import ConfigError
from ..host import user_name
from . import host_files
from .findings import Finding, error

if TYPE_CHECKING:
    from ..cgroups.resources import Setting
    from ..config.types import Config
    from ..host import Host

CAP_SYS_RESOURCE = 24
ARG_MAX = 128 << 10                # what there always is room for


def findings(config: Config, host: Host) -> Iterator[Finding]:
    """config is sound in itself."""
    yield from controllers(config, host, host_files.controllers(host))
    yield from of_cgroup_v1(config)
    yield from _cpus(config)
    yield from _pages(config)
    yield from _rlimits(config, host)
    yield from _subordinate_ids(config, host)
    yield from _strings(config)


def of_cgroup_v1(config: Config) -> Iterator[Finding]:
    """Limits that cgroup v2 has not: the plan tells the first one only."""
    for where, why in inconvertible(config.get("linux", {}).get("resources", {})):
        yield error(where, why)


def controllers(config: Config, host: Host, available: Set[str]) -> Iterator[Finding]:
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
    return set(parse_numbers(host_files.text(f"/sys/devices/system/{kind}/online").strip() or "0"))    # no NUMA: one


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


def _strings(config: Config) -> Iterator[Finding]:
    """Arguments and environment of each program, which execve(2) refuses with E2BIG from some length on."""
    process: Any = config.get("process", {})
    own = resource.getrlimit(resource.RLIMIT_STACK)[0]
    yield from _too_long("process", process, next((limit["soft"] for limit in process.get("rlimits", ())
                                                   if limit["type"] == "RLIMIT_STACK"), own))
    hooks: Any = config.get("hooks", {})
    for kind in shape.CONFIG[1]["hooks"][1]:
        for index, hook in enumerate(hooks.get(kind, ())):
            yield from _too_long(f"hooks.{kind}[{index}]", hook, own)


def _too_long(where: str, program: Any, stack: int) -> Iterator[Finding]:
    """fs/exec.c, bprm_stack_limits() and valid_arg_len(): a string may have 32 pages with its NUL; all of them, with a
    pointer to each, a quarter of RLIMIT_STACK, but not less than 128 KiB nor more than 6 MiB."""
    one, sums = 32 * resource.getpagesize(), {}
    for name in ("args", "env"):
        texts = list(program.get(name, ()))
        last = {text.partition("=")[0]: index for index, text in enumerate(texts)}      # of one name the last counts
        sizes = {index: len(texts[index].encode()) + 1
                 for index in (last.values() if name == "env" else range(len(texts)))}
        sums[name] = sum(sizes.values()) + 8 * len(sizes)
        for index, size in sizes.items():
            if size > one:
                yield error(f"{where}.{name}[{index}]",
                            f"{size - 1} bytes, and the kernel takes {one - 1} in a string: argument list too long")
    most = 6 << 20 if stack in (resource.RLIM_INFINITY, (1 << 64) - 1) else max(ARG_MAX, min(6 << 20, stack // 4))
    total = sum(sums.values())
    if total > most:
        longest = "env" if sums["env"] > sums["args"] else "args"
        yield error(f"{where}.{longest}", f"arguments and environment have {total} bytes, and the kernel takes {most}: "
                    "argument list too long", "a quarter of RLIMIT_STACK, at most 6 MiB")


def _subordinate_ids(config: Config, host: Host) -> Iterator[Finding]:
    """An ordinary user may map itself, and what subuid(5) and subgid(5) give to it."""
    if host.privileged or host.euid == 0 or namespace(config, "user") is None:
        return
    linux, user = config.get("linux", {}), user_name(host.euid)
    for key, mappings, own in (("uidMappings", linux.get("uidMappings", []), host.euid),
                               ("gidMappings", linux.get("gidMappings", []), host.egid)):
        granted = [(own, 1), *host_files.subordinate(key[:3], user, host.euid)]
        for index, mapping in enumerate(mappings):
            first, last = mapping["hostID"], mapping["hostID"] + mapping["size"]
            if not any(start <= first and last <= start + count for start, count in granted):
                yield error(f"linux.{key}[{index}].hostID", f"{first} to {last - 1} are not granted to {user}",
                            f"/etc/sub{key[:3]} must grant them")
