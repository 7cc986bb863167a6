"""options.proto: written by ttrpc/generate.py; do not edit."""
from __future__ import annotations

from ...formats.protobuf import BOOL, STRING, UINT32, Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Options(Message):
    TYPE = "containerd.runc.v1.Options"
    no_pivot_root: bool = False
    no_new_keyring: bool = False
    shim_cgroup: str = ""
    io_uid: int = 0
    io_gid: int = 0
    binary_name: str = ""
    root: str = ""
    criu_path: str = ""
    systemd_cgroup: bool = False
    criu_image_path: str = ""
    criu_work_path: str = ""
    task_api_address: str = ""
    task_api_version: int = 0
    FIELDS = {
        1: ("no_pivot_root", BOOL),
        2: ("no_new_keyring", BOOL),
        3: ("shim_cgroup", STRING),
        4: ("io_uid", UINT32),
        5: ("io_gid", UINT32),
        6: ("binary_name", STRING),
        7: ("root", STRING),
        8: ("criu_path", STRING),
        9: ("systemd_cgroup", BOOL),
        10: ("criu_image_path", STRING),
        11: ("criu_work_path", STRING),
        12: ("task_api_address", STRING),
        13: ("task_api_version", UINT32),
    }


class CheckpointOptions(Message):
    TYPE = "containerd.runc.v1.CheckpointOptions"
    exit: bool = False
    open_tcp: bool = False
    external_unix_sockets: bool = False
    terminal: bool = False
    file_locks: bool = False
    empty_namespaces: Sequence[str] = ()
    cgroups_mode: str = ""
    image_path: str = ""
    work_path: str = ""
    parent_path: str = ""
    FIELDS = {
        1: ("exit", BOOL),
        2: ("open_tcp", BOOL),
        3: ("external_unix_sockets", BOOL),
        4: ("terminal", BOOL),
        5: ("file_locks", BOOL),
        6: ("empty_namespaces", [STRING]),
        7: ("cgroups_mode", STRING),
        8: ("image_path", STRING),
        9: ("work_path", STRING),
        10: ("parent_path", STRING),
    }


class ProcessDetails(Message):
    TYPE = "containerd.runc.v1.ProcessDetails"
    exec_id: str = ""
    FIELDS = {
        1: ("exec_id", STRING),
    }
