"""Changing limits of a running container: what is written, and what was there before. Pure but for reading.

runc's meaning of `update`: what is not given stays as it is, devices are never touched. Where two properties make one
file (quota and period, limit and swap), the one that is not given is the saved one.
"""
from __future__ import annotations

import errno

from . import resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..config.types import CPU, Memory, Resources
    from ..kernel.posix import PosixKernel

#: Nested-keyed and default-keyed files -> what a device's line that is not there means.
DEFAULTS = {"io.max": "rbps=max wbps=max riops=max wiops=max", "io.weight": "default", "io.bfq.weight": "default",
            "rdma.max": "hca_handle=max hca_object=max"}


def merged(saved: Resources, new: Resources) -> Resources:
    """What the container's resources are after the update: the new ones over the saved ones, property by property."""
    result: dict[str, Any] = {**saved}
    for part, value in new.items():
        old = result.get(part)
        if part == "devices" or value is None:
            continue
        if isinstance(old, dict) and isinstance(value, dict) and part != "unified":
            result[part] = {**old, **value}
        else:
            result[part] = dict(value) if isinstance(value, dict) else value
    cpu, memory = new.get("cpu") or {}, new.get("memory") or {}
    if cpu.get("idle") is not None and cpu.get("shares") is None:
        result["cpu"]["shares"] = 0          # an idle cgroup has no weight to keep
    if memory.get("limit") == -1 and not memory.get("swap"):
        result["memory"]["swap"] = -1
    return result  # type: ignore[return-value]


def settings(saved: Resources, new: Resources) -> list[resources.Setting]:
    """What to write for the new resources, in order. Raises ConfigError as resources.settings does."""
    wanted: Resources = {**new}
    if new.get("cpu"):
        wanted["cpu"] = _cpu(saved.get("cpu") or {}, new["cpu"])
    if new.get("memory"):
        wanted["memory"] = _memory(saved.get("memory") or {}, new["memory"])
    found = resources.settings(wanted)
    if not (new.get("memory") or {}).get("limit"):
        # The saved limit was only there to subtract it from the swap.
        found = [setting for setting in found if setting.file != "memory.max" or "unified" in setting.where]
    return found


def _cpu(saved: CPU, new: CPU) -> CPU:
    cpu: CPU = {**new}
    if new.get("quota") and not new.get("period"):
        cpu["period"] = saved.get("period") or 0
    elif new.get("period") and not new.get("quota"):
        cpu["quota"] = saved.get("quota") or 0
    return cpu


def _memory(saved: Memory, new: Memory) -> Memory:
    memory: Memory = {**new}
    if (new.get("swap") or 0) > 0 and not new.get("limit"):
        memory["limit"] = saved.get("limit") or 0
    return memory


def previous(kernel: PosixKernel, fd: int, setting: resources.Setting) -> list[tuple[str, str]]:
    """(file, value) that write back what the cgroup has now, in the order in which to write them.

    Empty for a file that is not there, and for an unknown file's line that is not: nothing can be written back then.
    """
    kept: list[tuple[str, str]] = []
    for file, value in ((setting.file, setting.value), setting.otherwise or ("", "")):
        old = _line(kernel, fd, file, value) if file else ""
        if old:
            kept.append((file, old))
    if setting.file == "cpu.idle":
        # Leaving idleness gives the default weight, not the one from before. That of an idle one, which is shown as 0
        # or as 1 by the kernel's version, cannot be written.
        weight = _line(kernel, fd, "cpu.weight", "")
        if weight and (setting.file, "1") not in kept:
            kept.append(("cpu.weight", weight))
    return kept


def _line(kernel: PosixKernel, fd: int, file: str, value: str) -> str:
    """The file's text as it can be written; of a file with a line for each device, the line of value's."""
    try:
        lines = kernel.read_file(file, fd).splitlines()
    except OSError as fault:
        if fault.errno in (errno.ENOENT, errno.ENODEV, errno.EINVAL):
            return ""                # no such file, or one that can only be written
        raise
    key = value.split(" ", 1)[0]
    keyed = file in DEFAULTS or len(lines) > 1
    if not keyed:
        return lines[0] if lines else ""
    if " " not in value and file in DEFAULTS:
        key = "default"
    for line in lines:
        if line.split(" ", 1)[0] == key:
            return line
    return f"{key} {DEFAULTS[file]}" if file in DEFAULTS and key != "default" else ""
