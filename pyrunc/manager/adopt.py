"""What a new manager finds: its predecessor's containers, and those that the command line has made under the root."""
from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from ..errors import PyruncError
from ..state.container import Container as State
from . import lost, restart
from .container import Container
from .directory import Record
from .handlers import Handler
from .values import Exit, Null, Stdio

if TYPE_CHECKING:
    from .manager import Manager

#: Seconds for an operation of the predecessor that is still at work.
PATIENCE = 30.0
ALIVE = ("created", "running", "paused")


class Told:
    """What the predecessor has told before it ended: nothing is told twice, and nothing is left out."""

    def __init__(self, manager: Manager) -> None:
        self._told, self._since = manager.journal.told(), manager.journal.complete_from

    def once(self, container: Container, kind: str, when: float, **details: Any) -> None:
        """Tell of this life of a container what happened at that time, unless it was told."""
        event, life = self._told.get(container.id, {}).get(kind), container.record.life
        if not (event is not None and event.details.get("life") == life) and not 0.0 < when < self._since:
            container.tell(kind, **details, life=life)

    def pause(self, container: Container, status: str) -> None:
        """Tell that it is paused, or is no longer, unless that is the latest that was told."""
        told = self._told.get(container.id, {})
        paused, resumed = (told[kind].number if kind in told else 0 for kind in ("paused", "resumed"))
        if (status == "paused") != (paused > resumed):
            container.tell("paused" if status == "paused" else "resumed")


async def adopt(manager: Manager, again: bool = False) -> None:
    """Find containers. again: only those that are new, or gone, since."""
    if not again:
        records, told = manager.directory.records(), Told(manager)
        working = await manager.connection.working()
        for record in records:
            if record.id not in working:
                await _known(manager, record, told)
        await asyncio.gather(*(_later(manager, record, told) for record in records if record.id in working))
    await _strangers(manager)


async def _later(manager: Manager, record: Record, told: Told) -> None:
    """One of which an operation of the predecessor is still at work: what comes of that counts."""
    begun = time.monotonic()
    while record.id in await manager.connection.working() and time.monotonic() - begun < PATIENCE:
        await asyncio.sleep(0.01)
    await _known(manager, record, told)


async def _known(manager: Manager, record: Record, told: Told) -> None:
    """One with a record of ours."""
    try:
        handler = manager.handler_of(record)
        status, pid = await handler.status(record)
    except PyruncError as fault:
        manager.journal.add("failed", record.id, operation="adopt", error=str(fault))
        return
    container = Container(manager, record, handler)
    manager.keep(container)
    if status in ALIVE and _alive(container, status, pid, told):
        return
    await _ended(container, status, told)


def _alive(container: Container, status: str, pid: int, told: Told) -> bool:
    """Take over one that lives; False when it has ended meanwhile."""
    record = container.record
    pidfd = _pidfd(container.manager, record, pid)
    if pidfd < 0:
        return False
    record.pid, was = pid, record.phase
    container.adopt(pidfd, status)
    if was == "creating":
        record.created = time.time()
    told.once(container, "created", record.created, pid=pid)
    if status != "created":
        if was in ("creating", "created"):
            record.started = time.time()
        told.once(container, "started", record.started, pid=pid)
        told.pause(container, status)
    if was != status:
        container.save()
    if record.ends:
        container.go_on_stopping()
    return True


async def _ended(container: Container, status: str, told: Told) -> None:
    """One that has ended, or of which nothing is left."""
    record, manager = container.record, container.manager
    if record.phase == "creating" and record.life <= 1:
        try:
            await container.handler.delete(record, True)         # a create that was cut short
        except PyruncError as fault:                             # it stays, to be deleted later
            container.tell("failed", operation="adopt", error=str(fault))
            record.exit = Exit(None, time=time.time(), lost=True)
            container.phase("stopped")
            container.over.set_result(record.exit)
            return
        container.tell("deleted", why="its creation was cut short", life=record.life)
        manager.forget(container)
        return
    if record.phase in ("creating", *ALIVE):
        found = manager.directory.exit(record) or await _word(manager, record)
        exit = Exit.of(found[0], found[1] / 1e9) if found else Exit(None, time=time.time(), lost=True)
        if record.phase == "creating":                           # of a restart
            exit = record.exit or Exit(255, time=time.time())
        else:
            told.once(container, "created", record.created, pid=record.pid)
        if record.phase == "created" and exit.status is not None:           # it ended by itself, so it has run
            record.started = time.time()
        if record.phase in ("running", "paused") or (record.phase == "created" and exit.status is not None):
            told.once(container, "started", record.started, pid=record.pid)
        told.once(container, "exited", exit.time, status=exit.status, signal=exit.signal, oom_killed=False,
                  lost=exit.lost)
        record.exit = exit
        again = restart.after(record, exit)
        container.phase("stopped" if again is None else "restarting")
        manager.directory.forget_exit(record)
        if again is not None:
            container.restart_in(again)
    elif record.phase == "restarting":
        container.restart_in(restart.FIRST)
    elif not status and not record.absent:
        told.once(container, "deleted", time.time(), why="another program has deleted it")
        manager.forget(container)
    if record.exit is not None and not container.over.done():
        container.over.set_result(record.exit)
    if restart.at_start(record):
        container.begin_anew()


async def _word(manager: Manager, record: Record) -> tuple[int, int] | None:
    """The keeper's word on its end that is still to come: the init has ended, and the keeper is not yet there."""
    if record.phase == "creating" or not manager.connection.connected:
        return None
    await lost.reaped(record.pid)
    await manager.connection.working()                           # what it has reaped it writes down before it answers
    return manager.directory.exit(record)


def _pidfd(manager: Manager, record: Record, pid: int) -> int:
    """A pidfd of its init; -1 when that has ended."""
    try:
        if record.handler == "pyrunc":
            return State.load(manager.root, record.id).pidfd()
        return os.pidfd_open(pid)
    except (OSError, PyruncError):
        return -1


async def _strangers(manager: Manager) -> None:
    """Those that have no record of ours; and those without a record that are gone."""
    names = set()
    handler: Handler = manager.handler("pyrunc")
    for name in os.listdir(manager.root):
        try:
            state = State.load(manager.root, name)
        except (PyruncError, OSError):                           # no container, or deleted since
            continue
        if not state.made:
            continue
        names.add(name)
        if manager.has(name):
            known = manager.get(name)
            if known.managed or known.record.pid == state.pid or known.lock.locked():
                _moved(known, state)
                continue
            _gone(known)                                         # another one has its name
        record = Record(name, "pyrunc", state.state["bundle"], pid=state.pid, phase=state.status(),
                        stdio=Stdio(Null(), Null(), Null()), labels=_labels(state.state.get("annotations")))
        container = Container(manager, record, handler, managed=False)
        manager.keep(container)
        if record.phase not in ALIVE or not _adopted(container, state):
            record.phase, record.exit = "stopped", Exit(None, lost=True)
            container.over.set_result(record.exit)
        container.tell("adopted", pid=record.pid, status=record.phase)
    for container in manager.containers():
        if not container.managed and container.id not in names and not container.lock.locked():      # else it is us
            _gone(container)


def _gone(container: Container) -> None:
    """The command line has deleted what it had made. Of its end nothing may be known, and nothing will be."""
    container.release()
    if not container.over.done():
        container.record.exit = Exit(None, time=time.time(), lost=True)
        container.over.set_result(container.record.exit)
    container.manager.forget(container)
    container.tell("deleted", why="another program has deleted it")


def _moved(container: Container, state: State) -> None:
    """The command line may have started, paused or resumed one that is known. While an operation of ours is at work,
    that will tell what it has done."""
    record = container.record
    if not container.alive or container.lock.locked() or container.handler.name != "pyrunc" or record.pid != state.pid:
        return
    status, was = state.status(), record.phase
    if status == was or status not in ("running", "paused"):
        return                                                   # its end is told by whoever watches it
    record.phase = status
    if was == "created":
        record.started = time.time()
        container.tell("started", pid=record.pid, life=record.life)
        container.health.begin()
    if status == "paused" or was == "paused":
        container.tell("paused" if status == "paused" else "resumed")
    container.save()


def _adopted(container: Container, state: State) -> bool:
    try:
        pidfd = state.pidfd()
    except (PyruncError, OSError):
        return False
    container.adopt(pidfd, container.record.phase)
    return True


def _labels(annotations: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in (annotations or {}).items()}


