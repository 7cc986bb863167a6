"""What happens, in order: each event has a number, is on disk before a caller hears of it, and can be read again.

A reader says from which number on, and gets the rest of what is kept and then what comes. One that is too slow, or asks
for what is no longer kept, gets a Gap that says which numbers it has missed.
"""
from __future__ import annotations

import asyncio
import errno
import json
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import StateError

#: Events that are kept in memory and, at least, on disk.
KEPT = 4096
#: Bytes of the file before it is written anew.
LARGEST = 4 << 20


@dataclass(frozen=True)
class Event:
    """One thing that happened to a container.

    kind  created, started, exited, restarting, stopping, checkpointed, deleted, paused, resumed, updated, oom,
          pressure, health, adopted or failed
    time  UTC; monotonic: the clock of that name, both in seconds
    """
    number: int
    kind: str
    id: str
    time: float
    monotonic: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gap:
    """Events from `first` to `last` are not to be had any more."""
    first: int
    last: int
    kind: str = "gap"


class Events:
    """The latest events, on disk and in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._number = 0
        self._written = 0
        self._more: asyncio.Event = asyncio.Event()
        self.gaps = 0
        self._read()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @property
    def last(self) -> int:
        """The number of the latest event."""
        return self._number

    def add(self, kind: str, id: str, **details: Any) -> Event:
        """Something has happened. StateError when the journal is closed."""
        if self._file < 0:
            raise StateError("the manager is closed")
        event = Event(self._number + 1, kind, id, time.time(), time.monotonic(), details)
        self._number += 1
        self._kept.append(event)
        self._write(event)
        self._more.set()
        self._more = asyncio.Event()
        return event

    def told(self) -> dict[str, dict[str, Event]]:
        """{id: {kind: the latest such event}}; of a container that was deleted only that."""
        found: dict[str, dict[str, Event]] = {}
        for event in self._kept:
            if event.kind == "deleted":
                found[event.id] = {}
            found.setdefault(event.id, {})[event.kind] = event
        return found

    @property
    def complete_from(self) -> float:
        """Since when all that has happened is kept."""
        return self._kept[0].time if self._kept and self._kept[0].number > 1 else 0.0

    async def follow(self, since: int | None = None) -> AsyncIterator[Event | Gap]:
        """Events after number `since`, then those to come, without end; None: only those to come."""
        at = self._number if since is None else max(0, min(since, self._number))
        while True:
            while at < self._number:
                first = self._kept[0].number if self._kept else self._number + 1
                if at + 1 < first:
                    self.gaps += 1
                    yield Gap(at + 1, first - 1)
                    at = first - 1
                    continue
                event = self._kept[at + 1 - first]
                at = event.number
                yield event
            await self._more.wait()

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)
        self._file = -1                                  # the number may be another file's soon

    def _write(self, event: Event) -> None:
        """The event, and those before it that are not on disk: a full one takes them later, with what comes then."""
        late = [event]
        if event.number != self._written + 1:
            late = [one for one in self._kept if one.number > self._written]
        data, size = b"".join(map(_line, late)), os.fstat(self._file).st_size
        try:
            if os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, size)           # half a line would spoil the next one
            return
        self._written = event.number
        if size + len(data) > LARGEST:
            with suppress(OSError):                      # without room for another it goes on growing
                self._anew()

    def _anew(self) -> None:
        """Write the file anew, with what is kept."""
        staged = f"{self.path}.new"
        fd = os.open(staged, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with open(os.dup(fd), "wb") as file:
                file.writelines(map(_line, self._kept))
            os.rename(staged, self.path)
        except OSError:
            os.close(fd)
            raise
        os.close(self._file)
        self._file = fd

    def _read(self) -> None:
        """What an earlier manager has written. It may have been killed in the middle of a line."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        whole = data[:data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        for line in whole.splitlines():
            try:
                event = Event(**json.loads(line))
            except (TypeError, ValueError):              # then it is a gap
                continue
            if event.number != self._number + 1:
                self._kept.clear()
            self._kept.append(event)
            self._number = self._written = event.number


def _line(event: Event) -> bytes:
    return json.dumps(event.__dict__).encode() + b"\n"
