"""What the manager keeps on disk, so that the next one can go on: a directory of its own (0700, files 0600).

    lock                     held by the manager that works here
    keeper                   the keeper's socket
    exits/NAME.N             the keeper's word on how the init of the Nth life of a container ended
    events                   the latest events, one JSON line each (events.py)
    containers/NAME/record   what was asked for, and what became of it
    containers/NAME/config.json, trace, log, stdout, stderr, ...
"""
from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ..errors import StateError, UsageError, describe
from .plain import Unfit, dump, load
from .values import Exit, Health, Restart, Stdio, Stop, Watch

VERSION = 1
#: Letters of an id that leave room for the number of a life, and for what the keeper puts in front (lasting.py), in a
#: file's name.
LONGEST_ID = 240
#: Fields of a record that stay as they were made, of which some are policies, and those that change with its life.
PLAIN, POLICIES = ("id", "handler", "bundle", "version", "labels", "systemd", "trace"), (
    "stdio", "restart", "health", "stop", "watch")
MOVING = ("phase", "life", "pid", "pid_start", "created", "started", "exit", "restarts", "in_a_row",
          "stopped_on_purpose", "ends", "asked", "absent")


@dataclass
class Record:
    """One container, as it is kept. phase: creating, created, running, stopped, restarting."""
    id: str
    handler: str
    bundle: str
    version: int = VERSION
    labels: dict[str, str] = field(default_factory=dict)
    stdio: Stdio = field(default_factory=Stdio)
    restart: Restart = field(default_factory=Restart)
    health: Health = field(default_factory=Health)
    stop: Stop = field(default_factory=Stop)
    watch: Watch = field(default_factory=Watch)
    phase: str = "creating"
    life: int = 0
    pid: int = 0
    pid_start: int = 0
    created: float = 0.0
    started: float = 0.0
    exit: Exit | None = None
    restarts: int = 0
    in_a_row: int = 0
    #: it was asked to end, so that it is not restarted
    stopped_on_purpose: bool = False
    #: when it is killed if it has not ended by itself (the monotonic clock), and whether it was sent its signal
    ends: float = 0.0
    asked: bool = False
    #: why the runtime does not have it: "checkpointed", or "not made" again
    absent: str = ""
    systemd: bool = False
    #: the records of the steps of its operations are kept
    trace: bool = False
    # What is fixed as JSON, once it was needed. No field, for it has no type here.
    fixed = ""

    def __post_init__(self) -> None:
        """What is kept in memory only: those records, by operation."""
        self.traces: dict[str, list[dict[str, Any]]] = {}

    @property
    def name(self) -> str:
        """Of the keeper's file for its present life. An id may be as long as a file's name by itself."""
        id = self.id
        if len(id) > LONGEST_ID:
            id = f"{id[:LONGEST_ID - 33]}-{blake2b(id.encode(), digest_size=16).hexdigest()}"
        return f"{id}.{self.life}"


class Directory:
    """The manager's directory. StateError when another manager works in it, or others can write there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for folder in (path, path / "exits", path / "containers"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.stat()
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise StateError(f"{folder} must be its owner's alone: owner {found.st_uid}, "
                                 f"mode {found.st_mode & 0o7777:04o}")
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StateError(f"another manager works in {path}") from None

    def close(self) -> None:
        """Let another manager work here."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def of(self, id: str) -> Path:
        """The folder of a container."""
        return self.path / "containers" / id

    def make(self, id: str, config: dict[str, Any]) -> None:
        """A folder for a container; StateError when there is one, UsageError for a config that is no JSON."""
        try:
            text = json.dumps(config)
        except (TypeError, ValueError) as fault:
            raise UsageError(f"the config is no JSON: {fault}") from None
        folder = f"{self.path}/containers/{id}"
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            raise StateError(f"container with id {id} already exists") from None
        try:
            place(f"{folder}/config.json", text)         # no record yet: nothing to replace
        except OSError as fault:
            shutil.rmtree(folder, ignore_errors=True)
            raise StateError(f"keep the config: {describe(fault)}") from None

    def config(self, id: str) -> dict[str, Any]:
        """The config that a container was made with."""
        found: dict[str, Any] = json.loads((self.of(id) / "config.json").read_text())
        return found

    def save(self, record: Record) -> None:
        """Keep a record; it appears whole."""
        path = f"{self.path}/containers/{record.id}/record"
        place(f"{path}.new", text_of(record))
        os.rename(f"{path}.new", path)

    def remove(self, record: Record) -> None:
        """Forget a container. Its record goes first, so that half a folder is never taken for a container."""
        folder = f"{self.path}/containers/{record.id}"
        with suppress(FileNotFoundError):
            os.unlink(f"{folder}/record")
        try:
            for name in os.listdir(folder):
                os.unlink(f"{folder}/{name}")
            os.rmdir(folder)
        except OSError:                                  # a folder in it
            shutil.rmtree(folder, ignore_errors=True)
        self.forget_exit(record)

    def records(self) -> list[Record]:
        """Every record; folders without one are remains of a create or a delete that was killed, and are removed."""
        found = []
        for folder in sorted((self.path / "containers").iterdir()):
            try:
                found.append(load(Record, json.loads((folder / "record").read_text())))
            except FileNotFoundError:
                shutil.rmtree(folder, ignore_errors=True)
            except (ValueError, Unfit) as fault:
                raise StateError(f"{folder / 'record'} cannot be read: {fault}") from None
        return found

    def exit(self, record: Record) -> tuple[int, int] | None:
        """What the keeper has written down of the end of its init: (wait status, nanoseconds)."""
        try:
            pid, status, time = map(int, (self.path / "exits" / record.name).read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        return (status, time) if not record.pid or pid == record.pid else None

    def forget_exit(self, record: Record) -> None:
        """Its end is in the record now."""
        with suppress(FileNotFoundError):
            os.unlink(f"{self.path}/exits/{record.name}")


def text_of(record: Record) -> str:
    """A record as JSON. What does not change while it is kept is written once (Record.fixed)."""
    if not record.fixed:
        plain = json.dumps({name: getattr(record, name) for name in PLAIN})
        record.fixed = ", ".join([plain[1:-1], *(f'"{name}": {_text(getattr(record, name))}' for name in POLICIES)])
    moving = {name: getattr(record, name) for name in MOVING}
    moving["exit"] = None if record.exit is None else dump(record.exit)
    return f"{json.dumps(moving)[:-1]}, {record.fixed}}}"


def _text(policy: Any) -> str:
    """A policy as JSON. Most containers have the same ones, which are values that never change."""
    try:
        return _of_policy(policy)
    except TypeError:                                    # a caller has given it a list, which has no hash
        return json.dumps(dump(policy))


@lru_cache(64)
def _of_policy(value: Any) -> str:
    return json.dumps(dump(value))


def place(path: str, text: str) -> None:
    """A file of mode 0600."""
    data = text.encode()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while data:
            data = data[os.write(fd, data):]
    finally:
        os.close(fd)
