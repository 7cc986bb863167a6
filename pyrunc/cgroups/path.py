"""cgroupsPath -> the container's directory in the cgroup v2 hierarchy, and the mark it carries there.

config-linux.md#cgroups-path: an absolute path counts from the mount point; a relative one, and an absent one
(which is the container's id), counts from the parent of the runtime's own cgroup: its own holds processes, and
cgroup v2 passes controllers on only from cgroups that hold none (cgroups(7), "no internal processes").
On a hybrid host the mount point is the unified one, such as /sys/fs/cgroup/unified.
"""
from __future__ import annotations

from ..errors import ConfigError
from ..kernel.posix import lines
from ..paths import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.types import Config
    from ..host import Host
    from ..options import Options

WHERE = "linux.cgroupsPath"


#: What is said of a path that only --systemd-cgroup can make sense of.
LIKE_SYSTEMD = ("this is systemd's form (slice:prefix:name), but the cgroup is made without systemd: a directory of "
                "that "
                "name; the engine's cgroup driver and --systemd-cgroup do not go together")


def like_systemd(path: str) -> bool:
    """Whether a cgroupsPath is slice:prefix:name (runc's docs/systemd.md), as the systemd driver of engines sends
    it."""
    parts = path.split(":")
    return len(parts) == 3 and "/" not in path and (not parts[0] or parts[0].endswith(".slice")) and bool(parts[2])


def systemd_driver(options: Options) -> bool:
    """Whether systemd makes the cgroup (--systemd-cgroup, --cgroup-manager systemd)."""
    return options.systemd_cgroup or options.cgroup_manager == "systemd"


def directory(config: Config, options: Options, host: Host) -> str:
    """The container's cgroup as an absolute path of the host, below host.cgroup_mount.

    "" when it gets none: the manager is "disabled", or no cgroup v2 hierarchy is mounted (steps/cgroup.py decides
    whether that is acceptable). Raises ConfigError for a path that names no cgroup of the container's own.
    """
    if not host.cgroup_mount or options.cgroup_manager == "disabled":
        return ""
    wanted = config.get("linux", {}).get("cgroupsPath") or ""
    if systemd_driver(options):
        from .systemd.unit import Unit
        return f"{host.cgroup_mount}/{Unit(config, options, host).cgroup}"
    inner = clean(wanted or options.id)
    if not inner:
        raise ConfigError(f'cgroupsPath "{wanted}" names no cgroup of its own', WHERE)
    if not wanted.startswith("/"):
        inner = clean(f"{clean(host.cgroup_own).rpartition('/')[0]}/{inner}")
    return f"{host.cgroup_mount.rstrip('/')}/{inner}"


def of_process(text: str) -> str:
    """The path below the cgroup v2 mount in the text of /proc/PID/cgroup: the line "0::/path" (cgroups(7)); "" when
    there is none."""
    return next((line[3:] for line in lines(text) if line.startswith("0::")), "")


def mark(options: Options) -> str:
    """What is written on the cgroup, so that a later command never acts on one that another program made there."""
    return f"{options.id}:{options.nonce}"
