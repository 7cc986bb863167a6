"""What happens to a container: it is made, runs, ends, is restarted, and is found again by another manager."""
from __future__ import annotations

import asyncio
import json
import os
import signal as signals
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..errors import DOES_NOT_EXIST, NoSuchContainer, PyruncError, StateError
from . import lost, restart
from .connection import End, Late, Lost
from .directory import Record, place
from .handlers import Handler, Made
from .health import Health
from .held import Held
from .missing import start_time
from .streams import Ends, Writer
from .values import Exit, Log

if TYPE_CHECKING:
    from .manager import Manager

#: Seconds in which a process that was killed is gone, on any machine.
ENDING = 30.0


class Life(Held):
    """The state of one container. Whoever changes it holds `lock`; its end may come at any time."""

    def __init__(self, manager: Manager, record: Record, handler: Handler, managed: bool) -> None:
        super().__init__(manager, record)
        self.handler, self.managed = handler, managed
        self.lock = asyncio.Lock()
        self.over: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.health = Health(self)
        self._watching: asyncio.Task[None] | None = None
        self.making = False                          # a restart is at work
        self._held = 0                               # operations at work whose event is told before its end
        self._ended: Exit | None = None
        self._restarting: asyncio.Task[None] | None = None
        self.stops: set[asyncio.Task[Any]] = set()   # at work

    # ---- notes ------------------------------------------------------------------------------------------
    def save(self) -> bool:
        """Keep the record. False on a full disk: what is there says less, and the next manager asks the runtime."""
        try:
            if self.managed and self.manager.has(self.record.id):
                self.manager.directory.save(self.record)
        except OSError:
            return False
        return True

    def phase(self, word: str) -> bool:
        """It is now that; whether the record says so."""
        self.record.phase = word
        return self.save()

    # ---- a life -----------------------------------------------------------------------------------------
    async def make(self, config: Mapping[str, Any] | None = None,
                   images: Mapping[str, Any] | None = None) -> None:
        """Create it at the runtime, or with images restore it from them (choices of a restore).

        The caller has made its folder; config is what is in that, if the caller knows.
        """
        self.record.life += 1
        self.record.pid, self.record.pid_start, self.record.exit = 0, 0, None
        self.record.ends, self.record.asked, self.record.absent = 0.0, False, ""
        if not self.phase("creating"):
            raise StateError(f"the record of {self.record.id} cannot be written")
        if self.over.done():
            self.over = asyncio.get_running_loop().create_future()
        ends = self._ends()
        try:
            async with self.manager.slots:
                if config is None:
                    config = self.manager.directory.config(self.record.id)
                made = await self.handler.create(self.record, config, ends.theirs, self.place) \
                    if images is None else \
                    await self.handler.restore(self.record, config, ends.theirs, self.place, images)
        except BaseException:
            ends.close()
            raise
        ends.given()
        if self.record.traces.get("create"):
            with suppress(OSError):
                place(f"{self.place}/trace", json.dumps(self.record.traces["create"]))
        self._born(made, ends)
        self.record.created = time.time()
        if images is None:
            self.phase("created")
            self.tell("created", pid=made.pid, life=self.record.life)
            return
        self.record.started = self.record.created
        self.phase("running")
        self.tell("created", pid=made.pid, life=self.record.life, images=images["image_path"])
        self.tell("started", pid=made.pid, life=self.record.life)
        if self.alive:
            self.health.begin()

    async def run(self) -> None:
        """Let it run its program."""
        if not self.alive:
            raise StateError("cannot start a container that has stopped")
        with self.before_its_end():
            try:
                await self.handler.start(self.record)
            except PyruncError as fault:
                self.tell("failed", operation="start", error=str(fault))
                if isinstance(fault, Late):          # as one whose hook fails: it ends
                    with suppress(PyruncError):
                        await self.handler.delete(self.record, True)
                    self.record.absent = "not made"
                raise
            self.record.started = time.time()
            self.phase("running")
            self.tell("started", pid=self.record.pid, life=self.record.life)
        if self.alive:
            self.health.begin()

    @contextmanager
    def before_its_end(self) -> Iterator[None]:
        """What an operation tells in here is told before the container's end, which may be known before its answer."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if not self._held and self._ended is not None:
                self._end(self._ended)

    async def again(self) -> None:
        """Another life: what is left of the old one is removed first. If it cannot be made, the old one has ended."""
        exit = self.record.exit
        await self.handler.delete(self.record, True)
        try:
            await self.make()
        except BaseException as fault:
            if isinstance(fault, Lost):
                with suppress(PyruncError):
                    await self.handler.delete(self.record, True)
            self.record.exit, self.record.absent = exit, "not made"
            self.phase("stopped")
            if exit is not None and not self.over.done():
                self.over.set_result(exit)
            raise
        await self.run()

    async def signal(self, number: int) -> None:
        """Send a signal to the init. StateError when it does not run."""
        if self.handler.direct or not self.alive:
            self.signal_process(number)
        else:
            self.killed = self.killed or number == signals.SIGKILL
            await self.handler.kill(self.record, number, False)

    def on_purpose(self) -> None:
        """It is to end, and is not restarted."""
        changed, self.record.stopped_on_purpose = not self.record.stopped_on_purpose, True
        if self._restarting is not None:
            self._restarting.cancel()
            self._restarting = None
        if self.record.phase == "restarting":
            self.phase("stopped")
        elif changed and self.record.restart.mode != "no":       # else the next manager would restart it
            self.save()

    async def leave(self, force: bool) -> None:
        """Remove it, and all that is kept of it."""
        async with self.lock:
            self.manager.must_have(self)
            try:
                await self.handler.delete(self.record, force)
            except NoSuchContainer:                      # of one that was checkpointed nothing is left
                if self.alive:
                    raise
            if self.alive:
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(self.over), ENDING)
            self.release()
            # Before its record goes: of a manager that is killed in between the next one sees that it has told this.
            self.tell("deleted", life=self.record.life)
            self.manager.forget(self)

    def never_was(self) -> None:
        """Its create has failed: who waits for its end hears that there is none."""
        if not self.over.done():
            self.over.set_exception(NoSuchContainer(DOES_NOT_EXIST))
            self.over.exception()                    # nobody need wait

    def release(self) -> None:
        """Let go of it; it goes on."""
        for task in (self._restarting, self._watching):
            if task is not None:
                task.cancel()
        self.health.end()
        self._let_go(goes_on=self.alive)

    # ---- its beginning ----------------------------------------------------------------------------------
    def _born(self, made: Made, ends: Ends) -> None:
        self.record.pid = made.pid
        if self.handler.name != "pyrunc":            # which keeps that itself
            self.record.pid_start = start_time(made.pid)
        if made.terminal >= 0:
            ends.close()
            self.terminal = made.terminal
            ends.outputs = {1: os.dup(made.terminal)}
            self.stdin = Writer(os.dup(made.terminal))
        elif ends.stdin >= 0:
            self.stdin = Writer(ends.stdin)
        self._read(ends.outputs)
        self._ended = None
        self._live(made.pidfd)
        made.end.add_done_callback(self._told)

    def adopt(self, pidfd: int, phase: str) -> None:
        """It is alive, and another manager or the command line has made it."""
        for number, stream in ((1, self.record.stdio.stdout), (2, self.record.stdio.stderr)):
            fifo = self.place / ("stdout" if number == 1 else "stderr")
            if self.managed and isinstance(stream, Log) and fifo.exists():
                self._read({number: os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)})
        self._ended = None
        self._live(pidfd)
        self.record.phase = phase
        self._watching = asyncio.ensure_future(self._watch())
        if phase != "created":                       # of one that is paused no answer counts
            self.health.begin()

    async def _watch(self) -> None:
        """The end of an adopted container: from the keeper, if that has made it, else from the kernel."""
        connection = self.manager.connection
        told = connection.expect(self.record.pid) if connection.connected else None
        await lost.watched(self._pidfd)
        now = time.time()
        await lost.reaped(self.record.pid)
        with suppress(PyruncError):                  # a keeper that has reaped it writes that down before it answers
            await connection.working()
        for pause in lost.LOOKS:
            await asyncio.sleep(pause)
            found = (told.result() if told is not None and told.done() else None) \
                or self.manager.directory.exit(self.record)
            if found is not None:
                return self._over(Exit.of(found[0], found[1] / 1e9))
            status = lost.status_of(self._pidfd)
            if status is not None:
                return self._over(Exit.of(status, now))
        return self._over(Exit(None, time=now, lost=True))

    # ---- its end ----------------------------------------------------------------------------------------
    def _told(self, end: asyncio.Future[End]) -> None:
        if end.cancelled() or not self.alive:
            return
        found = end.result()
        if found is None:                            # the keeper is gone, and it may still run
            if not self.manager.closing:
                self._watching = asyncio.ensure_future(self._watch())
        else:
            self._over(Exit.of(found[0], found[1] / 1e9))

    def _over(self, exit: Exit) -> None:
        self._noticed()
        self._ended = exit
        if not self._held:
            self._end(exit)

    def _end(self, exit: Exit) -> None:
        """It has ended: the events of its life are told, and its last words read, before a caller hears of it."""
        if not self.alive:
            return
        self._ended = None
        if exit.signal == signals.SIGKILL and self._oom_kills > 0 and not self.killed:
            exit = Exit(exit.status, exit.signal, True, exit.time, exit.lost)
        for reader in self.readers:
            reader.drain()
        self.health.end()
        self._let_go()
        self.record.exit = exit
        again = restart.after(self.record, exit)
        self.tell("exited", status=exit.status, signal=exit.signal, oom_killed=exit.oom_killed, lost=exit.lost,
                  life=self.record.life)
        if self.phase("stopped" if again is None else "restarting") and self.managed:
            self.manager.directory.forget_exit(self.record)
        if not self.over.done():
            self.over.set_result(exit)
        if again is not None:
            self.restart_in(again)

    # ---- again ------------------------------------------------------------------------------------------
    def restart_in(self, seconds: float) -> None:
        """Make it anew after a pause."""
        self.tell("restarting", seconds=seconds, restarts=self.record.restarts + 1)
        self._restarting = asyncio.ensure_future(self._restart(seconds))

    def begin_anew(self) -> None:
        """Make it anew at once, whatever became of it: its policy begins anew, too."""
        self.record.stopped_on_purpose = False
        self.record.restarts = self.record.in_a_row = 0
        self.phase("restarting")
        self.restart_in(0.0)

    async def _restart(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        async with self.lock:
            if self.record.stopped_on_purpose:
                return
            self.record.restarts += 1
            self._restarting = None                  # from here on it is a life, and ends as one
            self.making = True
            try:
                await self.again()
            except (OSError, PyruncError) as fault:
                if self.manager.closing:                     # the next one goes on with what comes of it
                    return
                if not self.alive and self._restarting is None:      # else it has ended since, and is restarted
                    self.tell("failed", operation="restart", error=str(fault))
                    self.record.exit = Exit(255, time=time.time())
                    again = restart.after(self.record, self.record.exit, lived=0.0)
                    self.phase("stopped" if again is None else "restarting")
                    if again is not None:
                        self.restart_in(again)
            finally:
                self.making = False
