"""Workers and what they leave behind: each operation runs in a process of its own, whose children are then ours.

As a child subreaper (prctl(2)) this process becomes the parent of what a worker has made when the worker ends, so exit
statuses are exact. A worker answers before it ends, and answers are read before anything is reaped: so no status can
come before the answer that names its process.
"""
from __future__ import annotations

import _signal
import posix
import time

from ..errors import PyruncError
from ..kernel.loop import READ
from ..kernel.posix import Files
from . import errors
from .channel import Channel, pair
from .operations import Told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..kernel.loop import Loop
    from .channel import Message

    Operation = Callable[[Message, list[int], Told], tuple[Message, list[int]]]
    #: Called once with the answer (keeper.py) and the descriptors that came with it, which are the callee's.
    Then = Callable[[Message, list[int]], None]
    #: Called with pid, wait status and nanoseconds since the epoch.
    Ended = Callable[[int, int, int], None]


class Worker:
    """A process that runs one operation."""

    def __init__(self, pid: int, channel: Channel, then: Then) -> None:
        self.pid, self.channel, self.then = pid, channel, then
        self.answered = False


class Nursery:
    """Forks workers, and reaps them and what they have made. The process is a child subreaper with one thread.

    ended   called for each process that an answer has named as `pid`, when it has ended
    """

    def __init__(self, loop: Loop, operations: Mapping[str, Operation], ended: Ended) -> None:
        self.loop, self.operations, self.ended = loop, operations, ended
        self.workers: dict[int, Worker] = {}              # by pid
        self.kept: set[int] = set()                       # processes whose end is wanted
        woken, wake = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        loop.watch(woken, READ, lambda _: self._woken(woken))

    def run(self, request: Message, fds: list[int], then: Then) -> None:
        """Run request["operation"] in a worker. The descriptors are this call's, which closes them."""
        try:
            mine, its = pair()
            pid = posix.fork()
        except OSError as fault:
            close(fds)
            then({"error": errors.pack(fault)}, [])
            return
        if pid == 0:
            self._work(request, fds, its)
        its.close()
        close(fds)
        self.workers[pid] = worker = Worker(pid, mine, then)
        self.loop.watch(mine.fileno(), READ, lambda _: self._answer(worker))

    def _work(self, request: Message, fds: list[int], channel: Channel) -> None:
        """The worker: one operation, one answer, and no way back into the loop."""
        try:
            become_worker()
            told = Told(request.get("traced", False))
            message: Message
            given: list[int] = []
            try:
                answer, given = self.operations[request["operation"]](request, fds, told)
                message = {"answer": answer}
            except BaseException as fault:                # also a fault of ours: the caller is told, we live
                message = {"error": errors.pack(fault)}
            channel.send({**message, "warnings": told.warnings, "records": told.records}, given)
        finally:
            posix._exit(0)

    def _answer(self, worker: Worker) -> None:
        received = worker.channel.receive() if worker.channel.fileno() >= 0 else None
        if received is not None and not worker.answered:
            message, fds = received
            worker.answered = True
            pid = message.get("answer", {}).get("pid", 0)
            if pid:
                self.kept.add(pid)
            worker.then(message, fds)
            return
        self._forget(worker)

    def _forget(self, worker: Worker) -> None:
        if worker.channel.fileno() >= 0:
            self.loop.forget(worker.channel.fileno())
            worker.channel.close()

    def _woken(self, fd: int) -> None:
        """A child has ended: of what workers have said nothing may be missed before it is reaped."""
        posix.read(fd, 4096)
        for worker in list(self.workers.values()):
            if not worker.answered and _readable(worker.channel):
                self._answer(worker)
        while True:
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._reaped(pid, status)

    def _reaped(self, pid: int, status: int) -> None:
        worker = self.workers.pop(pid, None)
        if worker is None:
            if pid in self.kept:
                self.kept.discard(pid)
                self.ended(pid, status, time.time_ns())
            return
        if not worker.answered and _readable(worker.channel):
            self._answer(worker)
        if not worker.answered:
            worker.answered = True
            how = posix.waitstatus_to_exitcode(status)
            fault = PyruncError(f"the worker was killed by signal {-how}" if how < 0
                                else f"the worker exited with status {how} without an answer")
            worker.then({"error": errors.pack(fault)}, [])
        self._forget(worker)


def become_worker() -> None:
    """What a plan expects of its process: default signals, no wake-up descriptor, a session of its own.

    It dies with its parent: a plan that nobody waits for is undone by `delete`, as after any SIGKILL.
    """
    from .._native import lib
    _signal.set_wakeup_fd(-1)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    lib.pr_prctl(lib.PR_SET_PDEATHSIG, _signal.SIGKILL, 0, 0, 0)
    posix.setsid()


def close(fds: list[int]) -> None:
    """Close descriptors that nobody wants."""
    for fd in fds:
        posix.close(fd)


def _readable(channel: Channel) -> bool:
    return channel.fileno() >= 0 and Files().readable(channel.fileno())
