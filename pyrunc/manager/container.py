"""A container of a manager: what can be done with it. life.py has what happens to it."""
from __future__ import annotations

import asyncio
import json
import os
import signal as signals
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Unpack

from ..errors import NOT_RUNNING, StateError
from ..library.checkpoints import OfCheckpoint, chosen
from . import stats
from .directory import Record
from .handlers import Handler, Made
from .life import ENDING, Life
from .logs import Line, Writer, each, follow, read
from .process import Process, feed
from .process import resize as resize_terminal
from .stats import Stats
from .streams import Ends
from .values import Exit, Info, Input, Null, Output, Pipe, Result, number_of
from .whole import unheard, whole

if TYPE_CHECKING:
    from .manager import Manager

#: Bytes of each stream that a captured exec keeps.
MOST = 1 << 20


class Container(Life):
    """One container. Made by Manager.create() and found by Manager.get(); operations on it come one after another.

    Whoever is cancelled in start, stop, pause, resume, update or delete only waits for it no longer.
    """

    def __init__(self, manager: Manager, record: Record, handler: Handler, managed: bool = True) -> None:
        super().__init__(manager, record, handler, managed)

    # ---- what it is -------------------------------------------------------------------------------------
    @property
    def id(self) -> str:
        """Its name under the root."""
        return self.record.id

    @property
    def status(self) -> str:
        """creating, created, running, paused, stopped or restarting, as far as this manager knows."""
        return self.record.phase

    @property
    def labels(self) -> dict[str, str]:
        """What it was given at create."""
        return self.record.labels

    @property
    def pid(self) -> int:
        """Its init's, as the host sees it; 0 when that has ended."""
        return self.record.pid if self.alive else 0

    @property
    def exit(self) -> Exit | None:
        """How its latest life ended; None while it lives."""
        return self.record.exit

    def info(self) -> Info:
        """All of that, at one moment."""
        one = self.record
        return Info(one.id, one.phase, one.handler, self.pid, dict(one.labels), one.bundle, one.created, one.started,
                    one.exit, one.restarts, self.health.word, self.health.ready, self.managed, one.restart, one.stop)

    def config(self) -> dict[str, Any]:
        """The config that it was made with."""
        if self.managed:
            return self.manager.directory.config(self.id)
        from ..state import store
        found: dict[str, Any] = dict(store.read_config(self.manager.root, self.id))
        return found

    def trace(self, operation: str = "create") -> list[dict[str, Any]]:
        """The record of every step of its latest such operation; empty unless it was created with `trace`.

        That of create is known to later managers, too.
        """
        if operation == "create" and operation not in self.traces:
            with suppress(OSError, ValueError):
                found: list[dict[str, Any]] = json.loads((self.place / "trace").read_text())
                return found
        return self.traces.get(operation, [])

    @property
    def traces(self) -> dict[str, list[dict[str, Any]]]:
        """By operation, what trace() gives of those that this manager has had run."""
        return self.record.traces

    # ---- its life ---------------------------------------------------------------------------------------
    @whole
    async def start(self) -> None:
        """Let it run its program. StateError unless it is created, or has stopped: then it is made anew."""
        async with self.lock:
            self.manager.must_have(self)
            purpose, self.record.stopped_on_purpose = self.record.stopped_on_purpose, False      # kept with `running`
            try:
                if self.record.phase == "stopped" and self.managed:
                    self.record.restarts = self.record.in_a_row = 0       # its policy begins anew
                    await self.again()
                else:
                    await self.run()
            except BaseException:
                self.record.stopped_on_purpose = purpose
                raise

    @whole
    async def stop(self, grace: float | None = None, signal: int | str | None = None) -> Exit:
        """End it: its pre_stop program, its signal, and after `grace` seconds SIGKILL to all its processes.

        The policy does not restart it. What is left out is as it was given at create. The time of the pre_stop program
        is part of the grace. ValueError for what is no signal or no grace; then nothing is done.
        """
        begun = time.monotonic()
        signal = None if signal is None else number_of(signal)
        if grace is not None and grace < 0:
            raise ValueError("grace is not less than 0")
        self.on_purpose()
        if self.making or self.record.phase == "creating":       # what that makes is what is to end
            async with self.lock:
                pass
        if not self.alive:
            return await self.wait()
        grace = self.record.stop.grace if grace is None else grace
        self.tell("stopping", grace=grace)
        return await self.see_through(begun + grace, signal)

    async def see_through(self, deadline: float, signal: int | str | None = None, asked: bool = False) -> Exit:
        """As bring_down(). The next manager goes on with it if this one is closed or killed."""
        task = asyncio.current_task()
        assert task is not None
        self.stops.add(task)
        try:
            ends = min(deadline, self.record.ends or deadline)
            if ends != self.record.ends:
                self.record.ends = ends
                self.save()
            return await self.bring_down(deadline, signal, asked)
        finally:
            self.stops.discard(task)

    def go_on_stopping(self) -> None:
        """Another manager has begun to stop it."""
        asyncio.ensure_future(self.see_through(self.record.ends, asked=self.record.asked)).add_done_callback(unheard)

    async def bring_down(self, deadline: float | None = None, signal: int | str | None = None,
                         asked: bool = False) -> Exit:
        """Ask it to end, unless it was asked; kill it at the deadline (time.monotonic). What is left out is as it was
        given at create."""
        how = self.record.stop
        deadline = time.monotonic() + how.grace if deadline is None else deadline
        if self.record.phase == "created":           # it has no program that could handle a signal
            return await self._murder()
        if not asked:
            await self._ask(deadline, number_of(how.signal if signal is None else signal))
        with suppress(TimeoutError):
            return await self.wait(max(0.0, deadline - time.monotonic()))
        return await self._murder()

    async def kill(self, signal: int | str = "KILL", all: bool = False) -> None:
        """Send a signal to its init, or to all its processes. StateError when it does not run."""
        if all:
            self.killed = self.killed or number_of(signal) == 9
            await self.handler.kill(self.record, number_of(signal), True)
        else:
            await self.signal(number_of(signal))

    async def wait(self, timeout: float | None = None) -> Exit:
        """How this life of it ends. TimeoutError after so many seconds."""
        if self.record.phase in ("stopped", "restarting") and self.record.exit is not None:
            return self.record.exit
        return await asyncio.wait_for(asyncio.shield(self.over), timeout)

    @whole
    async def pause(self) -> None:
        """Stop all its processes where they are. StateError unless it runs."""
        async with self.lock:
            with self.before_its_end():
                await self.handler.pause(self.record)
                self.phase("paused")
                self.tell("paused")

    @whole
    async def resume(self) -> None:
        """Let them go on. StateError unless it is paused."""
        async with self.lock:
            with self.before_its_end():
                await self.handler.resume(self.record)
                self.phase("running")
                self.tell("resumed")

    @whole
    async def update(self, resources: Mapping[str, Any]) -> None:
        """Change its limits: resources is as `linux.resources` of config.json, and what it leaves out stays."""
        async with self.lock:
            with self.before_its_end():
                await self.handler.update(self.record, resources)
                self.tell("updated", resources=dict(resources))

    async def checkpoint(self, image_path: str | os.PathLike[str], **choices: Unpack[OfCheckpoint]) -> None:
        """Have CRIU write its processes to images, from which Manager.restore() makes it again.

        choices   of library/checkpoints.py, by the names of the command line's flags
        Unless it is left running it has ended then, and its policy does not restart it. An output that goes to a log or
        to a file is nothing that CRIU can find again: it wants pipes or null there.
        """
        wanted = chosen(os.path.abspath(image_path), choices, OfCheckpoint)
        await self.handler.able("checkpoint")
        goes_on = choices.get("leave_running", False) or choices.get("pre_dump", False)
        async with self.lock:
            purpose, killed = self.record.stopped_on_purpose, self.killed
            if not goes_on:
                self.on_purpose()
                self.killed = True
            with self.before_its_end():
                try:
                    await self.handler.checkpoint(self.record, wanted)
                except BaseException:
                    self.record.stopped_on_purpose, self.killed = purpose, killed
                    self.save()
                    raise
                if not goes_on:
                    self.record.absent = "checkpointed"
                self.tell("checkpointed", images=wanted["image_path"], life=self.record.life)
        if not goes_on:
            await self.wait(ENDING)

    @whole
    async def delete(self, force: bool = False) -> None:
        """Remove it. With force it is killed first. StateError while it runs."""
        self.manager.must_have(self)
        if self.alive and self.record.phase != "created" and not force:
            raise StateError(f"cannot delete container {self.id} that is not stopped: {self.record.phase}")
        self.on_purpose()
        await self.leave(force or self.record.phase == "created")

    async def _ask(self, deadline: float, signal: int) -> None:
        """Its pre_stop program, and the signal."""
        how = self.record.stop
        if how.pre_stop:
            with suppress(Exception):                # whatever it says, the container is to end
                left = max(0.0, deadline - time.monotonic())
                await asyncio.wait_for(self.exec(how.pre_stop, timeout=left), left + 1.0)
        with suppress(StateError):
            await self.signal(signal)
        if self.record.ends and self.alive:
            self.record.asked = True
            self.save()
        if self.record.phase == "paused":
            with suppress(StateError):
                await self.resume()

    async def _murder(self) -> Exit:
        """SIGKILL to all."""
        self.killed = True
        with suppress(StateError):
            await self.handler.kill(self.record, 9, True)
        with suppress(StateError):
            self.signal_process(9)
        return await self.wait()

    # ---- more processes ---------------------------------------------------------------------------------
    async def spawn(self, process: Mapping[str, Any] | Sequence[str], stdin: Input | None = None,
                    stdout: Output | None = None, stderr: Output | None = None,
                    taken: Callable[[int, bytes], None] | None = None) -> Process:
        """Run one more process in it; the streams are pipes unless they are said to be something else.

        process   as `process` of config.json, or the arguments alone; what is left out is the container's
        taken     called with (1 or 2, bytes) as output comes
        Raises StateError when it does not run, StepError when the process cannot be made.
        """
        given = dict(process) if isinstance(process, Mapping) else {"args": list(process)}
        if not self.alive or self.record.phase == "paused":
            raise StateError(f"cannot exec in a {self.record.phase} container: {NOT_RUNNING}")
        ends = Ends()
        try:
            ends.input(Pipe() if stdin is None else stdin)
            ends.output(1, Pipe() if stdout is None else stdout)
            ends.output(2, Pipe() if stderr is None else stderr)
            async with self.manager.slots:
                making = asyncio.ensure_future(self.handler.exec(self.record, given, ends.theirs, self.place))
                try:
                    made = await asyncio.shield(making)
                except asyncio.CancelledError:       # nobody waits any more, but it is being made
                    making.add_done_callback(_unwanted)
                    raise
        except BaseException:
            ends.close()
            raise
        ends.given()
        if made.terminal >= 0:
            ends.close()
        return Process(made, ends, taken)

    async def exec(self, process: Mapping[str, Any] | Sequence[str], stdin: bytes | None = None,
                   timeout: float | None = None, most: int = MOST) -> Result:
        """Run a process in it to its end: its status, and at most so many bytes of each of its outputs.

        timeout  seconds, after which it is killed; Result.timed_out says so
        """
        parts: dict[int, list[bytes]] = {1: [], 2: []}
        left = {1: most, 2: most}

        def take(number: int, data: bytes) -> None:
            parts[number].append(data[:max(0, left[number])])
            left[number] -= len(data)
        timed_out = False
        begun = time.monotonic()
        spawning = self.spawn(process, Null() if stdin is None else Pipe(), taken=take)
        running = await asyncio.wait_for(spawning, timeout)
        async with running:
            feeding = asyncio.ensure_future(feed(running, stdin)) if stdin is not None else None
            try:
                exit = await asyncio.wait_for(
                    running.wait(), None if timeout is None else max(0.0, begun + timeout - time.monotonic()))
            except TimeoutError:
                timed_out = True
                with suppress(StateError):
                    running.kill()
                exit = await running.wait()
            except asyncio.CancelledError:           # nobody waits any more
                with suppress(StateError):
                    running.kill()
                raise
            finally:
                if feeding is not None:
                    feeding.cancel()
            exit = await running.finished()
        return Result(exit, b"".join(parts[1]), b"".join(parts[2]), timed_out, min(left.values()) < 0)

    # ---- what it says and uses --------------------------------------------------------------------------
    def logs(self, tail: int | None = None) -> list[Line]:
        """The lines that are kept, or the last `tail` of them."""
        for reader in self.readers:
            reader.drain()
        return read(self.place / "log", tail)

    def each_line(self, tail: int | None = None) -> Iterator[Line]:
        """The same one by one, without holding them all."""
        for reader in self.readers:
            reader.drain()
        return each(self.place / "log", tail)

    def follow(self, tail: int | None = None) -> AsyncIterator[Line]:
        """The lines that are kept, and those to come until this life has ended."""
        path = self.place / "log"
        return follow(path, self.writer or Writer(path, 1, 1), tail, self.over if self.alive else _done())

    def stats(self) -> Stats:
        """What it uses now. All zeros when it has ended."""
        return stats.read(self.cgroup) if self.cgroup else Stats(time.time())

    async def watch(self, interval: float = 1.0) -> AsyncIterator[Stats]:
        """What it uses, every so many seconds, until it ends."""
        while self.alive:
            yield self.stats()
            with suppress(TimeoutError):
                await self.wait(interval)

    def top(self) -> list[dict[str, Any]]:
        """Its processes: pid, command, state, cpu (seconds), rss (bytes)."""
        pids = stats.processes(self.cgroup) if self.cgroup else []
        return [found for pid in pids or ([self.pid] if self.pid else []) if (found := stats.process(pid))]

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the size. StateError without one."""
        resize_terminal(self.terminal, rows, columns)

    def __repr__(self) -> str:
        return f"<Container {self.id} {self.record.phase}>"


def _unwanted(making: asyncio.Future[Made]) -> None:
    """End a process that came too late."""
    if not making.cancelled() and making.exception() is None:
        made = making.result()
        with suppress(OSError):
            signals.pidfd_send_signal(made.pidfd, signals.SIGKILL)
        for fd in (made.pidfd, made.terminal):
            if fd >= 0:
                os.close(fd)


def _done() -> asyncio.Future[Any]:
    over: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    over.set_result(None)
    return over
