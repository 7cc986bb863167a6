"""events.proto: written by ttrpc/generate.py; do not edit."""
from __future__ import annotations

from ...formats.protobuf import BOOL, STRING, UINT32, Message
from .types import Mount
from .well_known import Timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class TaskIO(Message):
    TYPE = "containerd.events.TaskIO"
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False
    FIELDS = {
        1: ("stdin", STRING),
        2: ("stdout", STRING),
        3: ("stderr", STRING),
        4: ("terminal", BOOL),
    }


class TaskCreate(Message):
    TYPE = "containerd.events.TaskCreate"
    container_id: str = ""
    bundle: str = ""
    rootfs: Sequence[Mount] = ()
    io: TaskIO | None = None
    checkpoint: str = ""
    pid: int = 0
    FIELDS = {
        1: ("container_id", STRING),
        2: ("bundle", STRING),
        3: ("rootfs", [Mount]),
        4: ("io", TaskIO),
        5: ("checkpoint", STRING),
        6: ("pid", UINT32),
    }


class TaskStart(Message):
    TYPE = "containerd.events.TaskStart"
    container_id: str = ""
    pid: int = 0
    FIELDS = {
        1: ("container_id", STRING),
        2: ("pid", UINT32),
    }


class TaskDelete(Message):
    TYPE = "containerd.events.TaskDelete"
    container_id: str = ""
    pid: int = 0
    exit_status: int = 0
    exited_at: Timestamp | None = None
    id: str = ""
    FIELDS = {
        1: ("container_id", STRING),
        2: ("pid", UINT32),
        3: ("exit_status", UINT32),
        4: ("exited_at", Timestamp),
        5: ("id", STRING),
    }


class TaskExit(Message):
    TYPE = "containerd.events.TaskExit"
    container_id: str = ""
    id: str = ""
    pid: int = 0
    exit_status: int = 0
    exited_at: Timestamp | None = None
    FIELDS = {
        1: ("container_id", STRING),
        2: ("id", STRING),
        3: ("pid", UINT32),
        4: ("exit_status", UINT32),
        5: ("exited_at", Timestamp),
    }


class TaskOOM(Message):
    TYPE = "containerd.events.TaskOOM"
    container_id: str = ""
    FIELDS = {
        1: ("container_id", STRING),
    }


class TaskExecAdded(Message):
    TYPE = "containerd.events.TaskExecAdded"
    container_id: str = ""
    exec_id: str = ""
    FIELDS = {
        1: ("container_id", STRING),
        2: ("exec_id", STRING),
    }


class TaskExecStarted(Message):
    TYPE = "containerd.events.TaskExecStarted"
    container_id: str = ""
    exec_id: str = ""
    pid: int = 0
    FIELDS = {
        1: ("container_id", STRING),
        2: ("exec_id", STRING),
        3: ("pid", UINT32),
    }


class TaskPaused(Message):
    TYPE = "containerd.events.TaskPaused"
    container_id: str = ""
    FIELDS = {
        1: ("container_id", STRING),
    }


class TaskResumed(Message):
    TYPE = "containerd.events.TaskResumed"
    container_id: str = ""
    FIELDS = {
        1: ("container_id", STRING),
    }


class TaskCheckpointed(Message):
    TYPE = "containerd.events.TaskCheckpointed"
    container_id: str = ""
    checkpoint: str = ""
    FIELDS = {
        1: ("container_id", STRING),
        2: ("checkpoint", STRING),
    }
