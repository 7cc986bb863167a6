"""Containers whose handler's program is gone: what they are can be told, and by force their names are freed."""
from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import StateError, UsageError
from ..state.process_id import DEAD, parse_stat
from . import lost
from .cgroup import cgroup_of
from .directory import Record
from .handlers import Handler, Made


class Missing:
    """A handler in place of one that there is not. Once the program is there again, it is asked.

    find   gives the handler, or raises UsageError
    root   where the program has kept its containers
    """
    direct = True

    def __init__(self, name: str, root: str, find: Callable[[], Handler]) -> None:
        self.name, self.root, self._find = name, root, find

    def _found(self) -> Handler:
        try:
            return self._find()
        except UsageError as fault:
            raise StateError(str(fault)) from None

    async def check(self, config: Mapping[str, Any]) -> None:
        """As the protocol has it."""
        await self._found().check(config)

    async def able(self, command: str) -> None:
        """As the protocol has it."""
        await self._found().able(command)

    async def create(self, record: Record, config: Mapping[str, Any], fds: Sequence[int], place: Path) -> Made:
        """As the protocol has it."""
        return await self._found().create(record, config, fds, place)

    async def start(self, record: Record) -> None:
        """As the protocol has it."""
        await self._found().start(record)

    async def checkpoint(self, record: Record, choices: Mapping[str, Any]) -> None:
        """As the protocol has it."""
        await self._found().checkpoint(record, choices)

    async def restore(self, record: Record, config: Mapping[str, Any], fds: Sequence[int], place: Path,
                      choices: Mapping[str, Any]) -> Made:
        """As the protocol has it."""
        return await self._found().restore(record, config, fds, place, choices)

    async def exec(self, record: Record, process: Mapping[str, Any], fds: Sequence[int], place: Path) -> Made:
        """As the protocol has it."""
        return await self._found().exec(record, process, fds, place)

    async def kill(self, record: Record, signal: int, all: bool) -> None:
        """As the protocol has it."""
        await self._found().kill(record, signal, all)

    async def pause(self, record: Record) -> None:
        """As the protocol has it."""
        await self._found().pause(record)

    async def resume(self, record: Record) -> None:
        """As the protocol has it."""
        await self._found().resume(record)

    async def update(self, record: Record, resources: Mapping[str, Any]) -> None:
        """As the protocol has it."""
        await self._found().update(record, resources)

    async def delete(self, record: Record, force: bool) -> None:
        """As the protocol has it."""
        try:
            found = self._find()
        except UsageError as fault:
            await remove(record, self.root, str(fault), force)
        else:
            await found.delete(record, force)

    async def status(self, record: Record) -> tuple[str, int]:
        """What its record says, while its init lives."""
        if runs(record):
            return (record.phase if record.phase in ("created", "paused") else "running"), record.pid
        return "stopped", 0


def kept(root: str, id: str) -> list[str]:
    """The paths of what a program has kept of a container: runc and crun a directory of its name, runsc files that
    begin with the name of its sandbox, which is the same."""
    if os.path.exists(f"{root}/{id}"):
        return [f"{root}/{id}"]
    try:
        return [f"{root}/{name}" for name in os.listdir(root) if name.startswith(f"{id}_sandbox:{id}.")]
    except OSError:
        return []


def start_time(pid: int) -> int:
    """When a process began, in ticks since the boot; 0 when it has ended."""
    try:
        state, start = parse_stat(Path(f"/proc/{pid}/stat").read_text(errors="surrogateescape"))
    except (OSError, ValueError):
        return 0
    return 0 if state in DEAD else start


def runs(record: Record) -> bool:
    """Whether its init does, and no other process has that pid."""
    return bool(record.pid_start) and start_time(record.pid) == record.pid_start


async def remove(record: Record, root: str, why: str, force: bool) -> None:
    """Free a container's name without its program. StateError without force.

    Its init is killed, and all that is in a cgroup of its name; that cgroup and what the program kept are removed.
    """
    if not force:
        raise StateError(f"cannot delete container {record.id}: {why}; with force it is killed, its cgroup and "
                         f"{root}/{record.id} are removed, and its name is free")
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(record.pid) if record.pid else -1
        if pidfd >= 0:
            try:
                if runs(record):                         # so the pidfd is of this process
                    await _kill(record, pidfd)
            finally:
                os.close(pidfd)
    for path in kept(root, record.id):
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            os.unlink(path)


def is_its_own(record: Record, cgroup: str) -> bool:
    """Whether a cgroup is named as runtimes name that of a container alone: by the id, or with systemd
    PREFIX-ID.scope. A container without one may be where this process is, or whoever has started it."""
    name = os.path.basename(cgroup)
    return (name.endswith(f"-{record.id}.scope") if record.systemd else name == record.id) \
        and cgroup != cgroup_of(os.getpid())


async def _kill(record: Record, pidfd: int) -> None:
    cgroup = cgroup_of(record.pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    own = is_its_own(record, cgroup)
    if own:
        with suppress(OSError):
            Path(cgroup, "cgroup.kill").write_text("1")
    await lost.ended(pidfd)
    await lost.reaped(record.pid)                        # until then its cgroup is not empty
    if own:
        with suppress(OSError):
            os.rmdir(cgroup)
