"""The keeper's loop: requests in, a worker forked for each, its answer handed on, its children adopted and reaped.

    {"number": 7, "operation": "create", ...}     from the library, with the descriptors that the operation needs
    {"number": 7, "answer": {...}}                to it, with those that came of it; or "error": [class, fields];
                                                  and "warnings" and "records", what its plans had to say
    {"exit": 4711, "status": 256, "time": ns}     to it: a process that an answer has named has ended (wait(2), UTC)

An answer that names a `pid` makes the keeper that process's guardian: as a child subreaper (prctl(2)) it becomes its
parent when the worker ends, so the exit status is exact. A worker answers before it ends, and answers are read before
anything is reaped: so no status can come before the answer that names its process.
"""
from __future__ import annotations

import _signal
import posix
import time

from ..errors import PyruncError
from . import errors
from .channel import Channel, pair
from .loop import READ, WRITE, Loop
from .operations import Told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .channel import Message

    Operation = Callable[[Message, list[int], Told], tuple[Message, list[int]]]


class Worker:
    """A process that runs one operation."""

    def __init__(self, number: int, pid: int, channel: Channel) -> None:
        self.number, self.pid, self.channel = number, pid, channel
        self.answered = False


class Keeper:
    """Serves one connection until it closes. Containers outlive the keeper."""

    def __init__(self, channel: Channel, operations: Mapping[str, Operation]) -> None:
        self.channel, self.operations = channel, operations
        self.loop = Loop()
        self.workers: dict[int, Worker] = {}              # by pid
        self.kept: set[int] = set()                       # processes whose end the library wants to hear of
        self.unsent: list[tuple[Message, list[int]]] = []

    def run(self) -> None:
        """Serve. The process becomes what a keeper has to be; it is not undone at the end."""
        woken, wake = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        self.loop.watch(woken, READ, lambda _: self._woken(woken))
        self.loop.watch(self.channel.fileno(), READ, self._ready)
        self.loop.run()

    # ---- the library ------------------------------------------------------------------------------------
    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE:
            received = self.channel.receive()
            if received is None:
                self.loop.stop()                          # what is still at work goes on without us
                return
            self._fork(*received)

    def _post(self, message: Message, fds: list[int]) -> None:
        """Send now or when there is room; takes over the descriptors."""
        self.unsent.append((message, fds))
        if len(self.unsent) == 1:
            self._flush()

    def _flush(self) -> None:
        try:
            while self.unsent:
                message, fds = self.unsent[0]
                self.channel.send(message, fds, wait=False)
                del self.unsent[0]
                _close(fds)
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.loop.stop()
            return
        self.loop.watch(self.channel.fileno(), READ | (WRITE if self.unsent else 0), self._ready)

    # ---- workers ----------------------------------------------------------------------------------------
    def _fork(self, request: Message, fds: list[int]) -> None:
        number = request["number"]
        try:
            mine, its = pair()
            pid = posix.fork()
        except OSError as fault:
            _close(fds)
            self._post({"number": number, "error": errors.pack(fault)}, [])
            return
        if pid == 0:
            self._work(request, fds, its)
        its.close()
        _close(fds)
        self.workers[pid] = worker = Worker(number, pid, mine)
        self.loop.watch(mine.fileno(), READ, lambda _: self._answer(worker))

    def _work(self, request: Message, fds: list[int], channel: Channel) -> None:
        """The worker: one operation, one answer, and no way back into the keeper's loop."""
        try:
            become_worker()
            told = Told(request.get("traced", False))
            message: Message
            given: list[int] = []
            try:
                answer, given = self.operations[request["operation"]](request, fds, told)
                message = {"answer": answer}
            except BaseException as fault:                # also a fault of ours: the caller is told, the keeper lives
                message = {"error": errors.pack(fault)}
            channel.send({**message, "warnings": told.warnings, "records": told.records}, given)
        finally:
            posix._exit(0)

    def _answer(self, worker: Worker) -> None:
        received = None if worker.channel.socket.fileno() < 0 else worker.channel.receive()
        if received is not None and not worker.answered:
            message, fds = received
            worker.answered = True
            pid = message.get("answer", {}).get("pid", 0)
            if pid:
                self.kept.add(pid)
            self._post({"number": worker.number, **message}, fds)
            return
        self.loop.forget(worker.channel.fileno())
        worker.channel.close()

    def _woken(self, fd: int) -> None:
        """A child has ended: of what workers have said nothing may be missed before it is reaped."""
        posix.read(fd, 4096)
        for worker in self.workers.values():
            if not worker.answered and _readable(worker.channel):
                self._answer(worker)
        while True:
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        worker = self.workers.pop(pid, None)
        if worker is not None:
            if not worker.answered:
                if _readable(worker.channel):
                    self._answer(worker)
                if not worker.answered:
                    how = posix.waitstatus_to_exitcode(status)
                    fault = PyruncError(f"the worker was killed by signal {-how}" if how < 0
                                        else f"the worker exited with status {how} without an answer")
                    self._post({"number": worker.number, "error": errors.pack(fault)}, [])
            if worker.channel.fileno() >= 0:
                self.loop.forget(worker.channel.fileno())
                worker.channel.close()
        elif pid in self.kept:
            self.kept.discard(pid)
            self._post({"exit": pid, "status": status, "time": time.time_ns()}, [])


def become_worker() -> None:
    """What a plan expects of its process: default signals, no wake-up descriptor, a session of its own.

    It dies with the keeper: a plan that nobody waits for is undone by `delete`, as after any SIGKILL.
    """
    from .._native import lib
    _signal.set_wakeup_fd(-1)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    lib.pr_prctl(lib.PR_SET_PDEATHSIG, _signal.SIGKILL, 0, 0, 0)
    posix.setsid()


def _readable(channel: Channel) -> bool:
    import select
    if channel.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _close(fds: list[int]) -> None:
    for fd in fds:
        posix.close(fd)
