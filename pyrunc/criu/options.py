"""What the command line of checkpoint and restore chooses, and what of it CRIU is told in both."""
from __future__ import annotations

from .. import programs
from ..engine.fields import Fields
from .messages import CGROUP_MODES, NFTABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..config.types import Config
    from ..formats.protobuf import Value

CLONE_NEWNET = 0x40000000
#: An annotation that names CRIU's configuration file; an empty one: none. runc's file, because engines write to it.
ANNOTATION, CONFIGURATION = "org.criu.config", "/etc/criu/runc.conf"
#: Types of namespaces that CRIU takes as they are when they are joined by path, and what it calls them.
OUTSIDE = {"network": ("net", "extRootNetNS"), "pid": ("pid", "extRootPidNS")}


class Choices(Fields):
    """Flags of both commands under their names; paths absolute, except parent_path, which counts from image_path."""
    image_path: str = ""
    work_path: str = ""                  # where CRIU leaves its log; "": with the images
    parent_path: str = ""
    leave_running: bool = False
    pre_dump: bool = False
    tcp_established: bool = False
    tcp_skip_in_flight: bool = False
    tcp_close: bool = False
    ext_unix_sk: bool = False
    shell_job: bool = False
    file_locks: bool = False
    link_remap: bool = False
    auto_dedup: bool = False
    lazy_pages: bool = False
    status_fd: int = -1
    page_server: tuple[str, int] | None = None
    manage_cgroups_mode: str = "soft"
    lsm_profile: str = ""
    lsm_mount_context: str = ""


def common(choices: Choices, config: Config) -> Mapping[str, Value | Sequence[Value]]:
    """CRIU's options that are the same for a dump and its restore."""
    annotations = config.get("annotations") or {}
    return {
        "log_level": 4, "notify_scripts": True, "orphan_pts_master": True,
        "shell_job": choices.shell_job, "ext_unix_sk": choices.ext_unix_sk, "file_locks": choices.file_locks,
        "tcp_established": choices.tcp_established, "tcp_close": choices.tcp_close,
        "auto_dedup": choices.auto_dedup, "lazy_pages": choices.lazy_pages,
        "manage_cgroups": True, "manage_cgroups_mode": CGROUP_MODES[choices.manage_cgroups_mode],
        # Devices and addresses of a network namespace are the engine's: hooks or the engine itself make them anew.
        "empty_ns": CLONE_NEWNET,
        # CRIU's own choice is iptables, and a host without the program has nftables.
        "network_lock": False if programs.find("iptables-restore") else NFTABLES,
        "config_file": annotations.get(ANNOTATION, CONFIGURATION),
    }
