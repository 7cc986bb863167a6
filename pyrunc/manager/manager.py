"""Many containers under one state root, from one asyncio program."""
from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ..errors import DOES_NOT_EXIST, NoSuchContainer, PyruncError, StateError, UsageError
from ..library.checkpoints import OfRestore, chosen
from ..library.planning import explain
from ..state.store import check_id, make_root
from .adopt import adopt
from .binary import Binary
from .connection import Connection, Lost
from .container import Container
from .directory import Directory, Record
from .events import Event, Events, Gap
from .handlers import Handler, Pyrunc
from .missing import Missing
from .oom import Notices
from .pressure import Triggers
from .values import Health, Restart, Stdio, Stop, Watch

if TYPE_CHECKING:
    from ..engine.step import Plan
    from .life import Life

#: Where the command line keeps its containers, and where this keeps what it knows of them.
ROOT, DIRECTORY = "/run/pyrunc", "/run/runciter"
#: What runs a container by its name, besides pyrunc itself.
PROGRAMS = {"runc": "runc", "crun": "crun", "runsc": "runsc"}
#: Operations that make a process, at a time.
AT_ONCE = 32
#: Seconds for one of them: more than any hook that is not stuck takes.
DEADLINE = 600.0


class Manager:
    """Makes, finds and watches containers; `async with` finds those that are there and lets go at the end.

    root       of the containers' state, as the command line's --root
    directory  of what the manager keeps: 0700, one manager at a time
    handlers   name -> program of an OCI runtime; runc, crun and runsc are known
    systemd    make cgroups as scopes of systemd
    deadline   seconds that an operation may take, hooks included; then it is ended by force and undone. 0: any time
    files      soft limit of open files of containers whose config has none; None: as this process has it
    Containers go on when the manager is closed or killed, and the next one with this directory finds them.
    """

    def __init__(self, root: str = "", directory: str | os.PathLike[str] = "",
                 handlers: Mapping[str, str] | None = None, systemd: bool = False, at_once: int = AT_ONCE,
                 deadline: float = DEADLINE, files: int | None = None) -> None:
        if root and not root.startswith("/"):
            raise UsageError(f"root {root} is not an absolute path")
        self.root = os.path.normpath(root or ROOT)
        self._path = Path(os.path.abspath(directory or (DIRECTORY if self.root == ROOT else f"{self.root}.runciter")))
        self.systemd = systemd
        self.programs = {**PROGRAMS, **(handlers or {})}
        if not 0 <= deadline < float("inf"):
            raise UsageError(f"a deadline of {deadline} s is no time")
        self._at_once, self._deadline, self._files = at_once, deadline, files
        self._containers: dict[str, Container] = {}
        self._handlers: dict[str, Handler] = {}
        self.closing = False
        self.waiting = 0
        self.directory: Directory
        self.journal: Events
        self.connection: Connection
        self.notices: Notices
        self.triggers: Triggers
        self.slots: asyncio.Semaphore

    async def __aenter__(self) -> Manager:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Begin: find what is there. StateError when another manager works in the directory."""
        from ..kernel.posix import PosixKernel
        self.directory = Directory(self._path)
        try:
            make_root(self.root, PosixKernel())
            self.journal = Events(self._path / "events")
        except BaseException:
            self.directory.close()
            raise
        self.notices, self.triggers = Notices(), Triggers()
        self.slots = asyncio.Semaphore(self._at_once)
        self.connection = Connection(self._path, self._lost, self._deadline, self._files)
        self._handlers = {"pyrunc": Pyrunc("pyrunc", self.root, self.connection)}
        self.closing = False
        try:
            await self.connection.open(start=False)
            await adopt(self)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of everything. Containers go on."""
        self.closing = True
        for container in self._containers.values():
            for stop in container.stops:
                stop.cancel()
            container.release()
        self._containers.clear()
        self.connection.close()
        self.notices.close()
        self.triggers.close()
        self.journal.close()
        self.directory.close()

    # ---- containers -------------------------------------------------------------------------------------
    async def create(self, id: str, config: Mapping[str, Any] | None = None, bundle: str | os.PathLike[str] = "",
                     stdio: Stdio | None = None, handler: str = "pyrunc", restart: Restart | str = "no",
                     health: Health | None = None, stop: Stop | None = None, labels: Mapping[str, str] | None = None,
                     timeout: float | None = None, trace: bool = False, watch: Watch | None = None) -> Container:
        """Make a container; its program waits for start().

        config   as config.json; without it, it is read from the bundle
        bundle   what relative paths count from; without it, root.path must be absolute
        watch    want of CPU, memory or I/O that is told as an event
        timeout  seconds that it may take; TimeoutError after them
        trace    keep the records of every step that runs (Container.trace)
        Raises UsageError, ConfigError, StateError, StepError; then nothing is left behind.
        """
        record = self._record(id, stdio, handler, restart, health, stop, labels, watch)
        record.trace = trace
        return await self._make(record, *_read(config, bundle), timeout)

    async def restore(self, id: str, image_path: str | os.PathLike[str], config: Mapping[str, Any] | None = None,
                      bundle: str | os.PathLike[str] = "", stdio: Stdio | None = None, handler: str = "pyrunc",
                      restart: Restart | str = "no", health: Health | None = None, stop: Stop | None = None,
                      labels: Mapping[str, str] | None = None, timeout: float | None = None,
                      watch: Watch | None = None, **choices: Unpack[OfRestore]) -> Container:
        """Make a container again from what Container.checkpoint() wrote; its processes run on from there.

        choices  of library/checkpoints.py, by the names of the command line's flags
        The rest is as for create(). Raises what that raises, and PyruncError without CRIU.
        """
        images = chosen(os.path.abspath(image_path), choices, OfRestore)
        record = self._record(id, stdio, handler, restart, health, stop, labels, watch)
        await self.handler(handler).able("restore")
        return await self._make(record, *_read(config, bundle), timeout, images)

    def _record(self, id: str, stdio: Stdio | None, handler: str, restart: Restart | str, health: Health | None,
                stop: Stop | None, labels: Mapping[str, str] | None, watch: Watch | None) -> Record:
        check_id(id)
        return Record(id, handler, "", labels=dict(labels or {}), stdio=stdio or Stdio(), stop=stop or Stop(),
                      restart=Restart.parse(restart) if isinstance(restart, str) else restart,
                      health=health or Health(), watch=watch or Watch(), systemd=self.systemd)

    async def _make(self, record: Record, place: str, wanted: dict[str, Any], timeout: float | None,
                    images: Mapping[str, Any] | None = None) -> Container:
        """Create, or with images restore."""
        id, record.bundle = record.id, place
        ran_by = self.handler(record.handler)
        await ran_by.check(wanted)
        if id in self._containers:
            raise StateError(f"container with id {id} already exists")
        self.directory.make(id, wanted)
        container = self._containers[id] = Container(self, record, ran_by)
        try:
            async with container.lock:
                await asyncio.wait_for(container.make(wanted, images), timeout)
        except BaseException as fault:
            await asyncio.shield(self._undo(container, isinstance(fault, Lost) or not isinstance(fault, PyruncError)))
            raise
        return container

    def get(self, id: str) -> Container:
        """A container by its id. StateError when there is none."""
        try:
            return self._containers[id]
        except KeyError:
            raise NoSuchContainer(DOES_NOT_EXIST) from None

    def containers(self, labels: Mapping[str, str] | None = None) -> list[Container]:
        """Every container, or those that have these labels."""
        return [one for _, one in sorted(self._containers.items())
                if not labels or labels.items() <= one.record.labels.items()]

    async def refresh(self) -> None:
        """Find what the command line has made, started, paused, resumed and deleted since."""
        await adopt(self, again=True)

    def events(self, since: int | None = None) -> AsyncIterator[Event | Gap]:
        """Events after number `since`, then those to come; None: only those to come."""
        return self.journal.follow(since)

    def plan(self, config: Mapping[str, Any], bundle: str = "") -> Plan:
        """The plan of create for this config, here and now. No effects. Raises ConfigError."""
        return explain(config, bundle, self.systemd)

    # ---- for Container ----------------------------------------------------------------------------------
    def handler(self, name: str) -> Handler:
        """What runs containers of that name. UsageError when there is none."""
        if name not in self._handlers:
            if name not in self.programs:
                known = ", ".join(sorted({"pyrunc", *self.programs}))
                raise UsageError(f"there is no handler {name}: {known} are known")
            self._handlers[name] = Binary(name, self.programs[name], self._root_of(name), self.connection)
        return self._handlers[name]

    def handler_of(self, record: Record) -> Handler:
        """The same for a container that there is: its program may be gone since."""
        try:
            return self.handler(record.handler)
        except UsageError:
            return Missing(record.handler, self._root_of(record.handler), lambda: self.handler(record.handler))

    def _root_of(self, handler: str) -> str:
        return str(self._path / "handlers" / handler)

    def has(self, id: str) -> bool:
        """Whether there is one."""
        return id in self._containers

    def must_have(self, container: Life) -> None:
        """StateError when it has been deleted."""
        if self._containers.get(container.record.id) is not container:
            raise NoSuchContainer(DOES_NOT_EXIST)

    def keep(self, container: Container) -> None:
        """It was found."""
        self._containers[container.id] = container

    def forget(self, container: Any) -> None:
        """It is deleted."""
        self._containers.pop(container.record.id, None)
        if container.managed:
            self.directory.remove(container.record)

    async def _undo(self, container: Container, cut: bool) -> None:
        """A create has failed. When it was cut short, it may still be at work, and is ended; when this manager is
        closed, the next one finds what has come of it."""
        try:
            if cut:
                with suppress(PyruncError):
                    await container.handler.delete(container.record, True)
        finally:
            container.release()
            if not self.closing:
                self.forget(container)
                container.never_was()

    def _lost(self) -> None:
        """The keeper has ended. Its containers watch their pidfds from now on (life.py)."""


def _read(config: Mapping[str, Any] | None, bundle: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """(what relative paths count from, config)."""
    if config is None:
        if not bundle:
            raise UsageError("create needs a bundle or a config")
        from ..config.load import load
        return os.path.abspath(bundle), dict(load(os.path.abspath(bundle)))
    if bundle:
        return os.path.abspath(bundle), dict(config)
    root = config.get("root")
    path = root.get("path") if isinstance(root, Mapping) else None
    if not isinstance(path, str) or not path.startswith("/"):
        raise UsageError("without a bundle, root.path of the config must be absolute")
    return os.path.dirname(os.path.normpath(path)) or "/", dict(config)


