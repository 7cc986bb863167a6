"""What runs a container: pyrunc itself, in a worker of the keeper, or the program of any OCI runtime (binary.py)."""
from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import NoSuchContainer
from ..state.container import Container as State
from .connection import Answer, Connection, End, Late, Lost
from .directory import Record

#: Operations of a manager that was killed for which the next one waits before it says what there is.
SETTLED = ("create", "start", "delete", "checkpoint", "restore")

#: Workers that a delete may lose: as many as the keeper lets stay (keeper/keeper.py), and one.
ATTEMPTS = 5


@dataclass
class Made:
    """A process that was made. The descriptors are the caller's; terminal is -1 without one."""
    pid: int
    pidfd: int
    end: asyncio.Future[End]
    terminal: int = -1


class Handler(Protocol):
    """The operations on containers of one kind. Each raises PyruncError's classes, as pyrunc's own do.

    direct  the process that it makes is the container's own init, and not a sandbox around it: it takes signals itself
    """
    name: str
    direct: bool

    async def check(self, config: Mapping[str, Any]) -> None:
        """Raises UsageError for what this runtime cannot do, before anything is done."""

    async def able(self, command: str) -> None:
        """Raises UsageError when this runtime does not have the command."""

    async def create(self, record: Record, config: Mapping[str, Any], fds: Sequence[int], place: Path) -> Made:
        """Make a container. place is the container's folder in the manager's directory."""

    async def start(self, record: Record) -> None:
        """Let it run its program."""

    async def checkpoint(self, record: Record, choices: Mapping[str, Any]) -> None:
        """Have CRIU write it to images. Unless it goes on, nothing of it is left at the runtime."""

    async def restore(self, record: Record, config: Mapping[str, Any], fds: Sequence[int], place: Path,
                      choices: Mapping[str, Any]) -> Made:
        """Make a container from images; its processes run on."""

    async def exec(self, record: Record, process: Mapping[str, Any], fds: Sequence[int], place: Path) -> Made:
        """One more process in it."""

    async def kill(self, record: Record, signal: int, all: bool) -> None:
        """Send a signal."""

    async def pause(self, record: Record) -> None:
        """Stop all its processes where they are."""

    async def resume(self, record: Record) -> None:
        """Let them go on."""

    async def update(self, record: Record, resources: Mapping[str, Any]) -> None:
        """Change its limits."""

    async def delete(self, record: Record, force: bool) -> None:
        """Remove it."""

    async def status(self, record: Record) -> tuple[str, int]:
        """(creating, created, running, paused, stopped or "" when there is none; pid of its init)."""


class Pyrunc:
    """The default: plans that run in a worker of the keeper."""
    direct = True

    def __init__(self, name: str, root: str, connection: Connection) -> None:
        self.name, self.root, self._connection = name, root, connection

    async def check(self, config: Mapping[str, Any]) -> None:
        """create itself says what is wrong, with the JSON path."""

    async def able(self, command: str) -> None:
        """All of them."""

    async def create(self, record: Record, config: Mapping[str, Any], fds: Sequence[int], place: Path) -> Made:
        """As the protocol has it."""
        return _made(await self._call("create", record, fds, bundle=record.bundle, config=dict(config),
                                      record=record.name, options=self._options(record)))

    async def start(self, record: Record) -> None:
        """As the protocol has it."""
        await self._call("start", record)

    async def checkpoint(self, record: Record, choices: Mapping[str, Any]) -> None:
        """As the protocol has it."""
        await self._call("checkpoint", record, choices=dict(choices), deadline=0.0)      # it takes as long as it takes

    async def restore(self, record: Record, config: Mapping[str, Any], fds: Sequence[int], place: Path,
                      choices: Mapping[str, Any]) -> Made:
        """As the protocol has it."""
        return _made(await self._call("restore", record, fds, bundle=record.bundle, config=dict(config),
                                      record=record.name, choices=dict(choices), options=self._options(record)))

    async def exec(self, record: Record, process: Mapping[str, Any], fds: Sequence[int], place: Path) -> Made:
        """As the protocol has it."""
        return _made(await self._call("exec", record, fds, process=dict(process)))

    async def kill(self, record: Record, signal: int, all: bool) -> None:
        """As the protocol has it."""
        await self._call("kill", record, signal=signal, all=all)

    async def pause(self, record: Record) -> None:
        """As the protocol has it."""
        await self._call("pause", record)

    async def resume(self, record: Record) -> None:
        """As the protocol has it."""
        await self._call("resume", record)

    async def update(self, record: Record, resources: Mapping[str, Any]) -> None:
        """As the protocol has it."""
        await self._call("update", record, resources=dict(resources))

    async def delete(self, record: Record, force: bool) -> None:
        """As the protocol has it."""
        await finished(lambda: self._call("delete", record, force=force))

    async def status(self, record: Record) -> tuple[str, int]:
        """As the protocol has it."""
        if not os.path.exists(f"{self.root}/{record.id}"):
            return "", 0
        state = State.load(self.root, record.id)
        return state.status(), state.pid

    def _options(self, record: Record) -> dict[str, Any]:
        return {"systemd_cgroup": record.systemd, "cgroup_manager": "systemd" if record.systemd else "cgroupfs"}

    async def _call(self, operation: str, of: Record, fds: Sequence[int] = (), **request: Any) -> Answer:
        if operation in SETTLED:
            request["about"] = of.id
        answer = await self._connection.call(operation, fds, root=self.root, id=of.id, traced=of.trace, **request)
        if of.trace:
            of.traces[operation] = answer.records
        return answer


async def finished(delete: Callable[[], Awaitable[object]]) -> None:
    """Delete until that is not cut off: another worker finishes what one has begun. All that there are may be killed
    at once, and take an operation before they are gone."""
    for tried in range(ATTEMPTS):
        try:
            await delete()
            return
        except Late:                                     # a hook of its hangs, and would do so again
            raise
        except Lost:
            if tried == ATTEMPTS - 1:
                raise
        except NoSuchContainer:
            if not tried:
                raise
            return


def _made(answer: Answer) -> Made:
    assert answer.end is not None
    pidfd, *terminal = answer.fds
    return Made(answer.value["pid"], pidfd, answer.end, terminal[0] if terminal else -1)
