"""What requests carry and answers have, besides the manager's own values; the OpenAPI document is made from these."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..manager.values import Exit, Health, Restart, Stdio, Stop, Watch


def _not_negative(name: str, seconds: float | None) -> None:
    if seconds is not None and seconds < 0:
        raise ValueError(f"{name} is not less than 0")


@dataclass(frozen=True)
class Create:
    """A container to make: `config` as config.json, or the path of a bundle on the server's host."""
    id: str
    config: dict[str, Any] | None = None
    bundle: str = ""
    stdio: Stdio = field(default_factory=Stdio)
    handler: str = "pyrunc"
    restart: Restart = field(default_factory=Restart)
    health: Health = field(default_factory=Health)
    stop: Stop = field(default_factory=Stop)
    watch: Watch = field(default_factory=Watch)
    labels: dict[str, str] = field(default_factory=dict)
    #: seconds that it may take
    timeout: float | None = None
    #: start it, too
    start: bool = False
    #: keep the record of every step, for GET .../trace
    trace: bool = False
    #: restore it from CRIU's images in this directory of the server's host
    images: str = ""

    def __post_init__(self) -> None:
        _not_negative("timeout", self.timeout)


@dataclass(frozen=True)
class StopBody:
    """How to end it; what is left out is as it was created."""
    grace: float | None = None
    signal: str | None = None

    def __post_init__(self) -> None:
        _not_negative("grace", self.grace)


@dataclass(frozen=True)
class KillBody:
    """A signal, to the init or to all processes."""
    signal: str = "KILL"
    all: bool = False


@dataclass(frozen=True)
class WaitBody:
    """Seconds to wait; None: any time."""
    timeout: float | None = None

    def __post_init__(self) -> None:
        _not_negative("timeout", self.timeout)


@dataclass(frozen=True)
class ExecBody:
    """A process to run to its end: `args`, or `process` as in config.json."""
    args: tuple[str, ...] = ()
    process: dict[str, Any] | None = None
    stdin: str | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        _not_negative("timeout", self.timeout)


@dataclass(frozen=True)
class ExecAnswer:
    """What came of it; bytes that are no UTF-8 are replaced."""
    exit: Exit
    stdout: str
    stderr: str
    timed_out: bool
    truncated: bool


@dataclass(frozen=True)
class UpdateBody:
    """As linux.resources of config.json; what it leaves out stays."""
    resources: dict[str, Any]


@dataclass(frozen=True)
class CheckpointBody:
    """Where CRIU's images go, and what happens to the container."""
    image_path: str
    work_path: str = ""
    parent_path: str = ""
    leave_running: bool = False
    pre_dump: bool = False
    tcp_established: bool = False
    ext_unix_sk: bool = False
    file_locks: bool = False

    def __post_init__(self) -> None:
        if not self.image_path.startswith("/"):
            raise ValueError("image_path is absolute")

    @property
    def choices(self) -> dict[str, Any]:
        """What was chosen, as Container.checkpoint takes it."""
        return {name: value for name, value in self.__dict__.items() if value and name != "image_path"}


@dataclass(frozen=True)
class ExplainBody:
    """A config whose plan is wanted."""
    config: dict[str, Any]
    bundle: str = ""


@dataclass(frozen=True)
class LogLine:
    """A line of a log."""
    time: str
    stream: str
    text: str
    partial: bool


@dataclass(frozen=True)
class ServerInfo:
    """The service itself."""
    version: str
    root: str
    containers: int
    last_event: int
    handlers: tuple[str, ...]


@dataclass(frozen=True)
class Fault:
    """Why a request failed: the line that the command line prints, and its class; step and where, if it has them."""
    error: str
    kind: str
    step: str = ""
    where: str = ""
