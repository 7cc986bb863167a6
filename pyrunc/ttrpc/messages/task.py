"""task.proto: written by ttrpc/generate.py; do not edit."""
from __future__ import annotations

from ...formats.protobuf import BOOL, INT32, STRING, UINT32, Message
from .types import Mount
from .well_known import Any, Empty, Timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Status:
    UNKNOWN = 0
    CREATED = 1
    RUNNING = 2
    STOPPED = 3
    PAUSED = 4
    PAUSING = 5


class CreateTaskRequest(Message):
    TYPE = "containerd.task.v2.CreateTaskRequest"
    id: str = ""
    bundle: str = ""
    rootfs: Sequence[Mount] = ()
    terminal: bool = False
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    checkpoint: str = ""
    parent_checkpoint: str = ""
    options: Any | None = None
    FIELDS = {
        1: ("id", STRING),
        2: ("bundle", STRING),
        3: ("rootfs", [Mount]),
        4: ("terminal", BOOL),
        5: ("stdin", STRING),
        6: ("stdout", STRING),
        7: ("stderr", STRING),
        8: ("checkpoint", STRING),
        9: ("parent_checkpoint", STRING),
        10: ("options", Any),
    }


class CreateTaskResponse(Message):
    TYPE = "containerd.task.v2.CreateTaskResponse"
    pid: int = 0
    FIELDS = {
        1: ("pid", UINT32),
    }


class StartRequest(Message):
    TYPE = "containerd.task.v2.StartRequest"
    id: str = ""
    exec_id: str = ""
    FIELDS = {
        1: ("id", STRING),
        2: ("exec_id", STRING),
    }


class StartResponse(Message):
    TYPE = "containerd.task.v2.StartResponse"
    pid: int = 0
    FIELDS = {
        1: ("pid", UINT32),
    }


class DeleteRequest(Message):
    TYPE = "containerd.task.v2.DeleteRequest"
    id: str = ""
    exec_id: str = ""
    FIELDS = {
        1: ("id", STRING),
        2: ("exec_id", STRING),
    }


class DeleteResponse(Message):
    TYPE = "containerd.task.v2.DeleteResponse"
    pid: int = 0
    exit_status: int = 0
    exited_at: Timestamp | None = None
    FIELDS = {
        1: ("pid", UINT32),
        2: ("exit_status", UINT32),
        3: ("exited_at", Timestamp),
    }


class ExecProcessRequest(Message):
    TYPE = "containerd.task.v2.ExecProcessRequest"
    id: str = ""
    exec_id: str = ""
    terminal: bool = False
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    spec: Any | None = None
    FIELDS = {
        1: ("id", STRING),
        2: ("exec_id", STRING),
        3: ("terminal", BOOL),
        4: ("stdin", STRING),
        5: ("stdout", STRING),
        6: ("stderr", STRING),
        7: ("spec", Any),
    }


class ResizePtyRequest(Message):
    TYPE = "containerd.task.v2.ResizePtyRequest"
    id: str = ""
    exec_id: str = ""
    width: int = 0
    height: int = 0
    FIELDS = {
        1: ("id", STRING),
        2: ("exec_id", STRING),
        3: ("width", UINT32),
        4: ("height", UINT32),
    }


class StateRequest(Message):
    TYPE = "containerd.task.v2.StateRequest"
    id: str = ""
    exec_id: str = ""
    FIELDS = {
        1: ("id", STRING),
        2: ("exec_id", STRING),
    }


class StateResponse(Message):
    TYPE = "containerd.task.v2.StateResponse"
    id: str = ""
    bundle: str = ""
    pid: int = 0
    status: int = 0
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False
    exit_status: int = 0
    exited_at: Timestamp | None = None
    exec_id: str = ""
    FIELDS = {
        1: ("id", STRING),
        2: ("bundle", STRING),
        3: ("pid", UINT32),
        4: ("status", INT32),
        5: ("stdin", STRING),
        6: ("stdout", STRING),
        7: ("stderr", STRING),
        8: ("terminal", BOOL),
        9: ("exit_status", UINT32),
        10: ("exited_at", Timestamp),
        11: ("exec_id", STRING),
    }


class KillRequest(Message):
    TYPE = "containerd.task.v2.KillRequest"
    id: str = ""
    exec_id: str = ""
    signal: int = 0
    all: bool = False
    FIELDS = {
        1: ("id", STRING),
        2: ("exec_id", STRING),
        3: ("signal", UINT32),
        4: ("all", BOOL),
    }


class CloseIORequest(Message):
    TYPE = "containerd.task.v2.CloseIORequest"
    id: str = ""
    exec_id: str = ""
    stdin: bool = False
    FIELDS = {
        1: ("id", STRING),
        2: ("exec_id", STRING),
        3: ("stdin", BOOL),
    }


class PidsRequest(Message):
    TYPE = "containerd.task.v2.PidsRequest"
    id: str = ""
    FIELDS = {
        1: ("id", STRING),
    }


class ProcessInfo(Message):
    TYPE = "containerd.task.v2.ProcessInfo"
    pid: int = 0
    info: Any | None = None
    FIELDS = {
        1: ("pid", UINT32),
        2: ("info", Any),
    }


class PidsResponse(Message):
    TYPE = "containerd.task.v2.PidsResponse"
    processes: Sequence[ProcessInfo] = ()
    FIELDS = {
        1: ("processes", [ProcessInfo]),
    }


class CheckpointTaskRequest(Message):
    TYPE = "containerd.task.v2.CheckpointTaskRequest"
    id: str = ""
    path: str = ""
    options: Any | None = None
    FIELDS = {
        1: ("id", STRING),
        2: ("path", STRING),
        3: ("options", Any),
    }


class UpdateTaskRequest(Message):
    TYPE = "containerd.task.v2.UpdateTaskRequest"
    id: str = ""
    resources: Any | None = None
    annotations: Mapping[str, str] = {}
    FIELDS = {
        1: ("id", STRING),
        2: ("resources", Any),
        3: ("annotations", {STRING: STRING}),
    }


class WaitRequest(Message):
    TYPE = "containerd.task.v2.WaitRequest"
    id: str = ""
    exec_id: str = ""
    FIELDS = {
        1: ("id", STRING),
        2: ("exec_id", STRING),
    }


class WaitResponse(Message):
    TYPE = "containerd.task.v2.WaitResponse"
    exit_status: int = 0
    exited_at: Timestamp | None = None
    FIELDS = {
        1: ("exit_status", UINT32),
        2: ("exited_at", Timestamp),
    }


class StatsRequest(Message):
    TYPE = "containerd.task.v2.StatsRequest"
    id: str = ""
    FIELDS = {
        1: ("id", STRING),
    }


class StatsResponse(Message):
    TYPE = "containerd.task.v2.StatsResponse"
    stats: Any | None = None
    FIELDS = {
        1: ("stats", Any),
    }


class ConnectRequest(Message):
    TYPE = "containerd.task.v2.ConnectRequest"
    id: str = ""
    FIELDS = {
        1: ("id", STRING),
    }


class ConnectResponse(Message):
    TYPE = "containerd.task.v2.ConnectResponse"
    shim_pid: int = 0
    task_pid: int = 0
    version: str = ""
    FIELDS = {
        1: ("shim_pid", UINT32),
        2: ("task_pid", UINT32),
        3: ("version", STRING),
    }


class ShutdownRequest(Message):
    TYPE = "containerd.task.v2.ShutdownRequest"
    id: str = ""
    now: bool = False
    FIELDS = {
        1: ("id", STRING),
        2: ("now", BOOL),
    }


class PauseRequest(Message):
    TYPE = "containerd.task.v2.PauseRequest"
    id: str = ""
    FIELDS = {
        1: ("id", STRING),
    }


class ResumeRequest(Message):
    TYPE = "containerd.task.v2.ResumeRequest"
    id: str = ""
    FIELDS = {
        1: ("id", STRING),
    }


TASK_SERVICE = "containerd.task.v2.Task"
#: method -> (request, response)
TASK = {
    "State": (StateRequest, StateResponse),
    "Create": (CreateTaskRequest, CreateTaskResponse),
    "Start": (StartRequest, StartResponse),
    "Delete": (DeleteRequest, DeleteResponse),
    "Pids": (PidsRequest, PidsResponse),
    "Pause": (PauseRequest, Empty),
    "Resume": (ResumeRequest, Empty),
    "Checkpoint": (CheckpointTaskRequest, Empty),
    "Kill": (KillRequest, Empty),
    "Exec": (ExecProcessRequest, Empty),
    "ResizePty": (ResizePtyRequest, Empty),
    "CloseIO": (CloseIORequest, Empty),
    "Update": (UpdateTaskRequest, Empty),
    "Wait": (WaitRequest, WaitResponse),
    "Stats": (StatsRequest, StatsResponse),
    "Connect": (ConnectRequest, ConnectResponse),
    "Shutdown": (ShutdownRequest, Empty),
}
