"""What a caller gives and gets, as plain values. Times are in seconds, sizes in bytes.

plain.py reads and writes them as JSON, for the records on disk and for the HTTP service, and makes the schemas.
"""
from __future__ import annotations

import signal as signals
from dataclasses import dataclass, field
from typing import Any, Literal

MIB = 1 << 20


@dataclass(frozen=True)
class Null:
    """/dev/null."""
    kind: Literal["null"] = "null"


@dataclass(frozen=True)
class Pipe:
    """A pipe to the program that made the container. It does not survive that program."""
    kind: Literal["pipe"] = "pipe"


@dataclass(frozen=True)
class File:
    """A file: read for stdin, appended to for stdout and stderr."""
    path: str
    kind: Literal["file"] = "file"


@dataclass(frozen=True)
class Log:
    """Lines with time and stream, in the format of Kubernetes' logs. size of a file, and how many files are kept."""
    size: int = 10 * MIB
    files: int = 3
    kind: Literal["log"] = "log"


Output = Null | Pipe | File | Log
Input = Null | Pipe | File


@dataclass(frozen=True)
class Stdio:
    """Where the streams of a container go. With a terminal there is one stream, and stdout says where it goes."""
    stdin: Input = field(default_factory=Null)
    stdout: Output = field(default_factory=Log)
    stderr: Output = field(default_factory=Log)


@dataclass(frozen=True)
class Restart:
    """What happens after an exit. With on-failure, `limit` restarts at most; 0: any number."""
    mode: Literal["no", "on-failure", "always", "unless-stopped"] = "no"
    limit: int = 0

    @classmethod
    def parse(cls, text: str) -> Restart:
        """no, always, unless-stopped, on-failure or on-failure:5. ValueError for anything else."""
        mode, _, limit = text.partition(":")
        if mode not in ("no", "on-failure", "always", "unless-stopped") or (limit and mode != "on-failure"):
            raise ValueError(f"{text} is no restart policy: no, on-failure[:n], always or unless-stopped")
        if limit and not limit.isdecimal():
            raise ValueError(f"{limit} is no number of restarts")
        return cls(mode, int(limit or 0))           # type: ignore[arg-type]


@dataclass(frozen=True)
class Http:
    """GET of a path in the container's network; a status from 200 to 399 is a success."""
    port: int
    path: str = "/"
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class Probe:
    """One question to a container: exec, http or tcp, exactly one of them. The words are Kubernetes'; the last two are
    Docker's: for `start_period` seconds from the start a failure does not count, until the first success, and meanwhile
    the question is asked every `start_interval` seconds (0: as often as otherwise)."""
    exec: tuple[str, ...] = ()
    http: Http | None = None
    tcp: int = 0
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    start_period: float = 0.0
    start_interval: float = 0.0

    def __post_init__(self) -> None:
        if bool(self.exec) + (self.http is not None) + bool(self.tcp) != 1:
            raise ValueError("a probe has exactly one of exec, http and tcp")
        if self.period <= 0 or self.timeout <= 0:
            raise ValueError("period and timeout of a probe are greater than 0")
        if min(self.initial_delay, self.start_period, self.start_interval) < 0:
            raise ValueError("initial_delay, start_period and start_interval of a probe are not less than 0")
        if self.success_threshold < 1 or self.failure_threshold < 1:
            raise ValueError("the thresholds of a probe are at least 1")


@dataclass(frozen=True)
class Health:
    """Probes. The others wait for `startup`. A failed startup or liveness probe kills the container."""
    startup: Probe | None = None
    liveness: Probe | None = None
    readiness: Probe | None = None
    #: False for Docker's HEALTHCHECK, which only says that a container is unhealthy
    kills: bool = True

    @classmethod
    def docker(cls, check: dict[str, Any]) -> Health:
        """Docker's HEALTHCHECK, as in an image's config: Test, Retries, and Interval, Timeout, StartPeriod and
        StartInterval in nanoseconds. What is 0 or left out is as Docker has it."""
        test = list(check.get("Test") or ())
        if not test or test[0] == "NONE":
            return cls()
        if test[0] not in ("CMD", "CMD-SHELL"):
            raise ValueError(f"{test[0]} is neither CMD nor CMD-SHELL nor NONE")
        command = tuple(test[1:]) if test[0] == "CMD" else ("/bin/sh", "-c", *test[1:])
        interval, timeout, early = ((check.get(name) or usual) / 1e9 for name, usual in (
            ("Interval", 30e9), ("Timeout", 30e9), ("StartInterval", 5e9)))
        start = (check.get("StartPeriod") or 0) / 1e9
        return cls(kills=False, liveness=Probe(             # the first question comes after the first pause
            exec=command, initial_delay=early if start else interval, period=interval, timeout=timeout,
            failure_threshold=check.get("Retries") or 3, start_period=start, start_interval=early if start else 0.0))


@dataclass(frozen=True)
class Stop:
    """How a container is asked to end: a program in it first, then the signal, and SIGKILL after the grace."""
    signal: str = "TERM"
    grace: float = 10.0
    pre_stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        number_of(self.signal)
        if self.grace < 0:
            raise ValueError("grace is not less than 0")


@dataclass(frozen=True)
class Watch:
    """Want of what is told, as an event `pressure`, at most once a second: when some task of the container has waited
    for it for this part of a second (psi.rst). 0.1 is 100 ms; 0: it is not told."""
    cpu: float = 0.0
    memory: float = 0.0
    io: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= part <= 1 for part in (self.cpu, self.memory, self.io)):
            raise ValueError("cpu, memory and io of a watch are from 0 to 1")


@dataclass(frozen=True)
class Exit:
    """How a process ended. status is None when a signal ended it, and when nobody can say any more (lost)."""
    status: int | None
    signal: int | None = None
    oom_killed: bool = False
    time: float = 0.0
    lost: bool = False

    @property
    def code(self) -> int:
        """As a shell has it: the status, 128 and the signal, or 255 when it is lost."""
        return 255 if self.lost else 128 + self.signal if self.signal else self.status or 0

    @classmethod
    def of(cls, wait: int, time: float, oom_killed: bool = False) -> Exit:
        """wait is what wait(2) says."""
        number = wait & 0x7f
        return cls(None, number, oom_killed, time) if number else cls(wait >> 8 & 0xff, None, oom_killed, time)


@dataclass(frozen=True)
class Result:
    """What came of an exec that was waited for."""
    exit: Exit
    stdout: bytes = b""
    stderr: bytes = b""
    timed_out: bool = False
    #: more came than was asked for
    truncated: bool = False


@dataclass(frozen=True)
class Info:
    """A container as it is now; the words of status are the runtime's, and `restarting`."""
    id: str
    status: str
    handler: str
    pid: int
    labels: dict[str, str]
    bundle: str
    created: float
    started: float
    exit: Exit | None
    restarts: int
    health: str
    ready: bool
    #: made by this manager, and not by another program under the same root
    managed: bool
    restart: Restart
    stop: Stop


def number_of(signal: int | str) -> int:
    """A signal's number: 15, "15", "TERM" or "SIGTERM". ValueError for what is none."""
    text = str(signal).upper().removeprefix("SIG")
    try:
        return int(signals.Signals(int(text))) if text.isdecimal() else int(signals.Signals[f"SIG{text}"])
    except (KeyError, ValueError):
        raise ValueError(f"{signal} is no signal") from None
