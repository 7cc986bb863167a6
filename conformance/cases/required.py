"""Properties that are REQUIRED, in every document of config.json: without one of them create is an error.

Numbers are not asked for: runtimes take 0 for one that is missing, as the specification's own Go types do.
"""
from __future__ import annotations

from typing import Any

from ..harness import bundles
from ..harness.trial import Trial
from ..model import each

LINUX = "config-linux.md"
DEVICE = {"type": "c", "path": "/dev/node", "major": 1, "minor": 3}
RULE: dict[str, Any] = {"names": ["getcwd"], "action": "SCMP_ACT_ERRNO",
                        "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]}
FILTER: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [RULE]}
PRIORITY, SCHEDULER = {"class": "IOPRIO_CLASS_BE", "priority": 4}, {"policy": "SCHED_OTHER", "nice": 1}
LIMIT = {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}

#: Place of the property -> its chapter, its name there, the version that it is of, what makes the place.
PLACES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "root": ("config.md#root", "root", "", {}),
    "root.path": ("config.md#root", "root.path", "", {"root": {"readonly": True}}),
    "mounts.3.destination": ("config.md#mounts", "destination", "", {"mounts": [
        *bundles.MOUNTS, bundles.tmpfs("/mnt")]}),
    "process.cwd": ("config.md#process", "cwd", "", {}),
    "process.rlimits.0.type": ("config.md#posix-process", "rlimits.type", "", {"process": {"rlimits": [LIMIT]}}),
    "process.scheduler.policy": ("config.md#linux-process", "scheduler.policy", "1.1.0", {
        "process": {"scheduler": SCHEDULER}}),
    "process.ioPriority.class": ("config.md#linux-process", "ioPriority.class", "1.1.0", {
        "process": {"ioPriority": PRIORITY}}),
    "hooks.createRuntime.0.path": ("config.md#posix-platform-hooks", "path", "", {"hooks": {
        "createRuntime": [{"path": "/bin/true", "args": ["true"]}]}}),
    "linux.namespaces.0.type": (f"{LINUX}#namespaces", "type", "", {}),
    "linux.devices.0.type": (f"{LINUX}#devices", "type", "", {"linux": {"devices": [DEVICE]}}),
    "linux.devices.0.path": (f"{LINUX}#devices", "path", "", {"linux": {"devices": [DEVICE]}}),
    "linux.memoryPolicy.mode": (f"{LINUX}#memory-policy", "mode", "1.3.0", {"linux": {
        "memoryPolicy": {"mode": "MPOL_DEFAULT", "nodes": ""}}}),
    "linux.seccomp.defaultAction": (f"{LINUX}#seccomp", "defaultAction", "", {"linux": {"seccomp": FILTER}}),
    "linux.seccomp.syscalls.0.names": (f"{LINUX}#seccomp", "syscalls.names", "", {"linux": {"seccomp": FILTER}}),
    "linux.seccomp.syscalls.0.action": (f"{LINUX}#seccomp", "syscalls.action", "", {"linux": {"seccomp": FILTER}}),
    "linux.seccomp.syscalls.0.args.0.op": (f"{LINUX}#seccomp", "syscalls.args.op", "", {"linux": {"seccomp": FILTER}}),
    "linux.personality.domain": (f"{LINUX}#personality", "domain", "1.0.2", {"linux": {
        "personality": {"domain": "LINUX", "flags": []}}})}


def property_that_is_missing(t: Trial, place: str, version: str, changes: dict[str, Any]) -> None:
    """Without a property that is REQUIRED, create is an error"""
    if version:
        t.needs_spec(version)
    config = t.config(**changes)
    t.inside("true", **changes)                 # it is for want of the property, and nothing else, that it is refused
    found: Any = config
    *folders, name = place.split(".")
    for folder in folders:
        found = found[int(folder)] if isinstance(found, list) else found[folder]
    del found[name]
    t.refused(bundles.write(t.place / "without", config), at_start=True)


for _place, (_chapter, _name, _version, _changes) in PLACES.items():
    each(_chapter, {_place: (_name, _place, _version, _changes)}, also={
        "config.md#valid-values": ("invalid and unsupported values are errors",)})(property_that_is_missing)
