"""Workers and what they leave behind: each operation runs in a process of its own, whose children are then ours.

As a child subreaper (prctl(2)) this process becomes the parent of what a worker has made when the worker ends, or as
soon as it is made (Options.heir), so exit statuses are exact. Answers are read before anything is reaped, and what ends
before the answer that names it is remembered: so none is told before that answer, and none is lost.
"""
from __future__ import annotations

import _signal
import posix
import time
from _socket import SHUT_RDWR

from ..errors import PyruncError
from ..kernel import stopping
from ..kernel.loop import READ
from ..kernel.posix import PosixKernel
from ..kernel.prompt import be_prompt
from . import errors, spawner
from .channel import Channel, pair
from .operations import Told
from .turns import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..kernel.loop import Loop, Timer
    from .channel import Message
    from .turns import Waiting

    Operation = Callable[[Message, list[int], Told], tuple[Message, list[int]]]
    #: Called once with the answer (keeper.py) and the descriptors that came with it, which are the callee's.
    Then = Callable[[Message, list[int]], None]
    #: Called with pid, wait status and nanoseconds since the epoch.
    Ended = Callable[[int, int, int], None]

#: Seconds without work after which a worker that stays ends, for it costs as much memory as its parent: less than
#: between two probes of a quiet container, more than between the operations of one whose life begins or ends.
IDLE = 2.5
#: Seconds after which a worker is given no further operation: whatever held it up may do so again.
SLOW = 10.0
#: Seconds after which a worker that is still at it does not count as one that stays: it waits for a hook, or for a file
#: system that is gone, and another takes its place. Where operations wait for workers, it is their patience.
BUSY = 1.0


class Worker:
    """A process that runs one operation, or with `stays` one after another.

    then    whose answer is waited for; None while it is idle
    late    seconds that its operation might have taken, once it has taken longer
    """

    def __init__(self, pid: int, channel: Channel, stays: bool) -> None:
        self.pid, self.channel, self.stays = pid, channel, stays
        self.then: Then | None = None
        self.began = 0.0
        self.resting: Timer | None = None
        self.limit: Timer | None = None
        self.late = 0.0

    def answered(self) -> Then | None:
        """Who waits, and does no longer."""
        if self.limit is not None:
            self.limit.cancel()
            self.limit = None
        then, self.then = self.then, None
        return then

    @property
    def open(self) -> bool:
        """Whether it can be spoken to."""
        return self.channel.fileno() >= 0

    @property
    def has_word(self) -> bool:
        """Whether an answer is there to be read, or the end of all answers."""
        return self.open and PosixKernel().readable(self.channel.fileno())


class Nursery:
    """Forks workers, and reaps them and what they have made. The process is a child subreaper with one thread.

    ended    called for each process that an answer has named as `pid`, when it has ended
    staying  how many workers may stay at most
    patience seconds for which an operation waits for one of these while none of them answers (turns.py)
    """

    def __init__(self, loop: Loop, operations: Mapping[str, Operation], ended: Ended, staying: int = 1,
                 patience: float = 0.0) -> None:
        self.loop, self.operations, self.ended, self.staying = loop, operations, ended, staying
        self.turns = Turns(loop, patience, self._given, self._alone)
        self.workers: dict[int, Worker] = {}              # by pid
        self.kept: set[int] = set()                       # processes whose end is wanted
        #: Ends of what no answer has named, and when they were, while one may.
        self.early: dict[int, tuple[int, int, float]] = {}
        woken, wake = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        loop.watch(woken, READ, lambda _: self._woken(woken))

    def run(self, request: Message, fds: list[int], then: Then, again: bool = False) -> None:
        """Run request["operation"] in a worker. The descriptors are this call's, which closes them.

        A worker that has worked at it for longer than request["deadline"] seconds, if that is given, is killed.
        again   a worker may run it that has run others and will run more: the operation makes no process, or one that
                this process becomes the parent of (Options.heir)
        """
        one = request, fds, then
        if not again:
            self._alone(one)
        elif self.turns or not self._given(one):
            if self.turns.patience and self._expecting():
                self.turns.wait(one)
            else:
                self._alone(one)

    def prepare(self, early: Callable[[], None]) -> None:
        """Have a worker that stays before there is anything for it to do; it begins with `early`, which must not fail.
        """
        try:
            worker = self._fork({}, [], stays=True, early=early)
        except OSError:                                   # the first operation will say so
            return
        worker.resting = self.loop.later(IDLE, lambda: self._forget(worker))

    def _given(self, one: Waiting) -> bool:
        """Give an operation to a worker that stays; False when all of them are busy."""
        request, fds, then = one
        try:
            if not self._ask(request, fds, then):
                return False
        except OSError as fault:
            then({"error": errors.pack(fault)}, [])
        close(fds)
        return True

    def _alone(self, one: Waiting) -> None:
        """Run an operation in a worker of its own."""
        request, fds, then = one
        try:
            self._begin(self._fork(request, fds, stays=False), request, then)
        except OSError as fault:
            then({"error": errors.pack(fault)}, [])
        finally:
            close(fds)

    def _next(self) -> None:
        """A worker that stays has answered, or has ended."""
        if self.turns:
            self.turns.answered()

    # ---- workers that stay ------------------------------------------------------------------------------
    def _ask(self, request: Message, fds: list[int], then: Then) -> bool:
        """Give it to a worker that stays; False when all of them are busy."""
        now, busy = time.monotonic(), self.turns.patience or BUSY
        there = [worker for worker in self.workers.values()
                 if worker.stays and worker.open and (worker.then is None or now - worker.began < busy)]
        for worker in there:
            if worker.then is None and worker.has_word:   # an idle one has nothing to say: it has ended
                self._forget(worker)
                return self._ask(request, fds, then)
            if worker.then is None:
                break
        else:
            if len(there) >= self.staying:
                return False
            worker = self._fork({}, [], stays=True)
        if worker.resting is not None:
            worker.resting.cancel()
        try:
            worker.channel.send(request, fds)
        except OSError:                                   # it has ended, and will be reaped
            self._forget(worker)
            return False
        self._begin(worker, request, then)
        return True

    def _begin(self, worker: Worker, request: Message, then: Then) -> None:
        worker.then, worker.began = then, time.monotonic()
        seconds = request.get("deadline", 0.0)
        if seconds:
            worker.limit = self.loop.later(seconds, lambda: self._late(worker, seconds))

    def _late(self, worker: Worker, seconds: float) -> None:
        """Its operation hangs. It is killed, and what it leaves half done is whoever's who asked for that."""
        if worker.then is None or worker.has_word or self.workers.get(worker.pid) is not worker:
            return
        worker.late = seconds
        try:                                              # until it is reaped, its pid is no other's
            fd = posix.pidfd_open(worker.pid)
            try:
                _signal.pidfd_send_signal(fd, _signal.SIGKILL)
            finally:
                posix.close(fd)
            if not worker.stays:                          # a program that it runs, and what that waits for (foreign.py)
                posix.kill(-worker.pid, _signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _rest(self, worker: Worker, spent: bool) -> None:
        """A worker that stays has answered."""
        if spent or time.monotonic() - worker.began > SLOW:
            self._forget(worker)                          # it ends when its channel does
        else:
            worker.resting = self.loop.later(IDLE, lambda: self._forget(worker))

    # ---- processes --------------------------------------------------------------------------------------
    def _fork(self, request: Message, fds: list[int], stays: bool, early: Callable[[], None] | None = None) -> Worker:
        mine, its = pair()
        parent = posix.getpid()
        try:
            pid = posix.fork()
        except OSError:
            mine.close()
            its.close()
            raise
        if pid == 0:
            self._work(request, fds, its, stays, early, parent)
        its.close()
        self.workers[pid] = worker = Worker(pid, mine, stays)
        self.loop.watch(mine.fileno(), READ, lambda _: self._ready(worker))
        return worker

    def _work(self, request: Message, fds: list[int], channel: Channel, stays: bool, early: Callable[[], None] | None,
              parent: int) -> None:
        """The worker: an operation and its answer, or many; and no way back into the loop."""
        try:
            become_worker(parent)
            if stays:
                spawner.serve(channel, self.operations, early)
            else:
                told = Told(request.get("traced", False))
                channel.send(*spawner.answer_of(self.operations[request["operation"]], request, fds, told))
        finally:
            posix._exit(0)

    def _ready(self, worker: Worker) -> None:
        if worker.has_word:                               # _woken() may have read it in this same round
            self._answer(worker)

    def _answer(self, worker: Worker) -> None:
        received = worker.channel.receive()
        then = worker.answered() if received is not None else None
        if received is None or then is None:
            self._forget(worker)
            return
        message, fds = received
        if worker.stays:
            self._rest(worker, message.get("spent", True))
        pid = message.get("answer", {}).get("pid", 0)
        end = self.early.pop(pid, None)
        if end is not None and end[2] < worker.began:     # of another process, which had that pid before
            end = None
        if pid and end is None:
            self.kept.add(pid)
        then(message, fds)
        if end is not None:
            self.ended(pid, *end[:2])
        if worker.stays:
            self._next()
        if self.early:
            self._forget_early()

    def _forget_early(self) -> None:
        """What had ended before any operation began that is still at work: none of these will name it."""
        began = [worker.began for worker in self.workers.values() if worker.stays and worker.then is not None]
        first = min(began, default=time.monotonic())
        self.early = {pid: end for pid, end in self.early.items() if end[2] >= first}

    def _expecting(self) -> bool:
        """Whether an answer may name a process that is our child already."""
        return any(worker.stays and worker.then is not None for worker in self.workers.values())

    def _forget(self, worker: Worker) -> None:
        if worker.resting is not None:
            worker.resting.cancel()
        if worker.open:
            self.loop.forget(worker.channel.fileno())
            try:
                worker.channel.socket.shutdown(SHUT_RDWR)           # others, forked meanwhile, have it open, too
            except OSError:
                pass
            worker.channel.close()

    def _woken(self, fd: int) -> None:
        """A child has ended: of what workers have said nothing may be missed before it is reaped."""
        posix.read(fd, 4096)
        for worker in list(self.workers.values()):
            if worker.then is not None and worker.has_word:
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
        if worker is not None:
            self._lost(worker, status)
        elif pid in self.kept:
            self.kept.discard(pid)
            self.ended(pid, status, time.time_ns())
        elif self._expecting():
            self.early[pid] = status, time.time_ns(), time.monotonic()

    def _lost(self, worker: Worker, status: int) -> None:
        """A worker has ended; it may have answered with its last breath."""
        if worker.then is not None and worker.has_word:
            self._answer(worker)
        then = worker.answered()
        if then is not None:
            how = posix.waitstatus_to_exitcode(status)
            fault = PyruncError(f"it took longer than {worker.late:g} s, and was ended" if worker.late
                                else f"the worker was killed by signal {-how}" if how < 0
                                else f"the worker exited with status {how} without an answer")
            then({"error": errors.pack(fault), "lost": True, "late": bool(worker.late)}, [])
        self._forget(worker)
        if worker.stays:
            self._next()


def become_worker(parent: int) -> None:
    """What a plan expects of its process: signals that stop it, no wake-up descriptor, a session of its own.

    It dies with its parent: a plan that nobody waits for is undone by `delete`, as after any SIGKILL.
    """
    from .._native import lib
    _signal.set_wakeup_fd(-1)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    for number in stopping.STOPPING:
        _signal.signal(number, stopping.or_die)
    lib.pr_prctl(lib.PR_SET_PDEATHSIG, _signal.SIGKILL, 0, 0, 0)
    if posix.getppid() != parent:                         # it was killed before: no signal will come
        posix._exit(0)
    posix.setsid()
    be_prompt()


def close(fds: list[int]) -> None:
    """Close descriptors that nobody wants."""
    for fd in fds:
        posix.close(fd)
