"""The messages of CRIU's protocol: a request, its options, a response (criu(8), images/rpc.proto of CRIU)."""
from __future__ import annotations

from ..formats.protobuf import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..formats.protobuf import Value

DUMP, RESTORE, PRE_DUMP, NOTIFY = 1, 2, 4, 6
#: Field numbers of the options.
OPTIONS = {
    "images_dir_fd": 1, "pid": 2, "leave_running": 3, "ext_unix_sk": 4, "tcp_established": 5, "evasive_devices": 6,
    "shell_job": 7, "file_locks": 8, "log_level": 9, "log_file": 10, "ps": 11, "notify_scripts": 12, "root": 13,
    "parent_img": 14, "track_mem": 15, "auto_dedup": 16, "work_dir_fd": 17, "link_remap": 18, "ext_mnt": 23,
    "manage_cgroups": 24, "cg_root": 25, "rst_sibling": 26, "inherit_fd": 27, "manage_cgroups_mode": 34,
    "external": 37, "empty_ns": 38, "join_ns": 39, "freeze_cgroup": 44, "tcp_skip_in_flight": 46, "lazy_pages": 48,
    "orphan_pts_master": 50, "config_file": 51, "tcp_close": 52, "lsm_profile": 53, "lsm_mount_context": 63,
    "network_lock": 64,
}
#: How the network is held still meanwhile: by rules that nft(8) has, instead of those that iptables(8) has.
NFTABLES = 2
#: --manage-cgroups-mode
CGROUP_MODES = {"ignore": 0, "soft": 3, "full": 4, "strict": 5}


def pair(first: Value, second: Value) -> bytes:
    """Any of the messages that have two fields: a key and a value."""
    return encode([(1, first), (2, second)])


def options(given: Mapping[str, Value | Sequence[Value]]) -> bytes:
    """The options by name; a list is a repeated field, False and "" are left to CRIU's default."""
    fields: list[tuple[int, Value]] = []
    for name, value in given.items():
        if isinstance(value, (int, str, bytes)):
            if value is not False and value != "":
                fields.append((OPTIONS[name], value))
        else:
            fields += [(OPTIONS[name], each) for each in value]
    return encode(fields)


def request(kind: int, given: Mapping[str, Value | Sequence[Value]]) -> bytes:
    """What starts a dump, a pre-dump or a restore."""
    return encode([(1, kind), (2, options(given))])


def acknowledgement() -> bytes:
    """The answer to a notification: go on."""
    return encode([(1, NOTIFY), (3, True)])


class Response:
    """What CRIU says: the end of what was asked for, or, with a script, how far it has come.

    kind      of the request that it answers; NOTIFY: a notification
    script    of a notification: its name
    pid       of a notification: the init's, or 0
    """
    __slots__ = ("error", "kind", "pid", "script", "success")

    def __init__(self, data: bytes) -> None:
        fields: Any = decode(data)
        notify: Any = decode(fields.get(5, b""))
        self.kind, self.success = int(fields.get(1, 0)), bool(fields.get(2, 0))
        self.error = int(fields.get(7, 0))
        self.script, self.pid = bytes(notify.get(1, b"")).decode(errors="replace"), int(notify.get(2, 0))
