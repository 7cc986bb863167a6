"""What intent.json and state.json say. A private format: other programs ask `pyrunc state`."""
from __future__ import annotations

import posix
import time

from ..cgroups import path
from ..cgroups.v2 import STICKY
from ..formats.rfc3339 import go_nano
from . import process_id, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.posix import PosixKernel
    from ..request import Request

#: Hooks that run after create, when config.json may have changed or be gone (runtime.md#create: later changes of
#: config.json have no effect on the container).
LATER_HOOKS = ("poststart", "poststop")


def intent(want: Request) -> dict[str, Any]:
    """What create is about to make and who is at it: all that delete needs to find everything."""
    config, options, namespaces = want.config, want.options, want.namespaces
    hooks: Any = config.get("hooks") or {}
    record = {
        "version": store.VERSION,
        "id": options.id,
        "ociVersion": config["ociVersion"],
        "bundle": options.bundle,
        "rootfs": want.rootfs,
        "annotations": config.get("annotations") or {},
        "created": go_nano(time.time_ns()),
        "creator": {**process_id.own(), "lock": f"{options.root}/{options.id}/{store.LOCK}"},
        "options": dict(options.__dict__),       # with config.json, the plan can be made again
        "boot_id": process_id.boot_id(),
        "cgroup": want.cgroup,
        "mark": path.mark(options),
        # One of its own, not joined: then SIGKILL to its init takes every process of the container along.
        "pid_namespace": "pid" in namespaces.new,
        # Without one, the container's mounts are the runtime's, and do not go with its last process.
        "mount_namespace": namespaces.private("mount"),
        "process": bool(config.get("process")),
        "hooks": {kind: hooks[kind] for kind in LATER_HOOKS if hooks.get(kind)},
        "notify_socket": options.notify_socket,
        "streams": streams(),
    }
    if config.get("linux", {}).get("intelRdt") is not None:
        from ..cgroups import resctrl
        record["resctrl"] = resctrl.groups(config, options, want.host)
    if path.systemd_driver(options):
        from ..cgroups.systemd.unit import Unit
        unit = Unit(config, options, want.host)
        record["unit"], record["user_manager"] = unit.name, unit.user
    return record


def streams() -> list[str]:
    """What descriptors 0, 1 and 2 are, which the container gets unless it has a terminal: as CRIU calls them, for a
    restore that puts others in their place (criu(8), --inherit-fd)."""
    found = []
    for number in (0, 1, 2):
        try:
            found.append(posix.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:      # closed
            found.append("")
    return found


def start_time(kernel: PosixKernel, pid: int) -> int:
    """Field 22 of /proc/PID/stat, in clock ticks since boot: with the boot id a pid is one certain process."""
    return process_id.parse_stat(kernel.read_file(f"/proc/{pid}/stat"))[1]


def parent_of(kernel: PosixKernel, pid: int) -> int:
    """Field 4 of /proc/PID/stat."""
    text = kernel.read_file(f"/proc/{pid}/stat")
    return int(text[text.rindex(")") + 2:].split(" ", 2)[1])


def created(record: dict[str, Any], pid: int, start: int, cgroup: posix.stat_result | None) -> dict[str, Any]:
    """The intent turned into the state of a container that exists now. cgroup: of its cgroup's directory."""
    known = {} if cgroup is None else {"cgroup_inode": cgroup.st_ino, "cgroup_made": bool(cgroup.st_mode & STICKY)}
    return {**record, **known, "pid": pid, "start_time": start, "created": go_nano(time.time_ns())}
