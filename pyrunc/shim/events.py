"""What containerd is told of its tasks: in order, each until it has been taken, and nothing ever waits for it."""
from __future__ import annotations

import posix
import time

from ..kernel.loop import READ, Loop
from ..ttrpc.client import Client, connect
from ..ttrpc.messages.forward import EVENTS_SERVICE, ForwardRequest
from ..ttrpc.messages.types import Envelope
from ..ttrpc.messages.well_known import Any, Empty, Timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..formats.protobuf import Message
    from ..ttrpc.codes import RpcError

#: message's name -> topic
TOPICS = {
    "TaskCreate": "/tasks/create", "TaskStart": "/tasks/start", "TaskExit": "/tasks/exit",
    "TaskDelete": "/tasks/delete", "TaskExecAdded": "/tasks/exec-added",
    "TaskExecStarted": "/tasks/exec-started", "TaskOOM": "/tasks/oom",
    "TaskPaused": "/tasks/paused", "TaskResumed": "/tasks/resumed", "TaskCheckpointed": "/tasks/checkpointed"}
#: Seconds for one event to be taken, and between two tries.
LIMIT, PAUSE = 5.0, 1.0
#: Events that are held while containerd is away. The oldest go first.
HELD = 2048
NANO = 1_000_000_000


def stamp(nanoseconds: int) -> Timestamp:
    """Nanoseconds since the epoch as protobuf's Timestamp."""
    return Timestamp(seconds=nanoseconds // NANO, nanos=nanoseconds % NANO)


def tell(text: str) -> None:
    """Say something in the log."""
    try:
        posix.write(2, text.encode(errors="replace"))
    except OSError:
        pass


class Publisher:
    """Sends events to the socket in TTRPC_ADDRESS, or has a program publish them, as containerd before 1.3 wants it;
    without either, to nobody. One is on its way at a time, so their order stays.

    program   its path and the arguments before "publish"; none: []
    """

    def __init__(self, loop: Loop, address: str, namespace: str, program: list[str]) -> None:
        self.loop, self.address, self.namespace, self.program = loop, address, namespace, program
        self.queue: list[bytes] = []
        self.topics: list[str] = []                       # of those that the program publishes
        self.dropped = 0
        self.busy = False
        self.client: Client | None = None
        self.flushed: Callable[[], None] | None = None

    def publish(self, event: Message) -> None:
        """Queue an event of events.proto."""
        if not self.address:
            if self.program:
                self.queue.append(Any(type_url=event.TYPE, value=event.encode()).encode())
                self.topics.append(TOPICS[type(event).__name__])
                self._next()
            return
        envelope = Envelope(timestamp=stamp(time.time_ns()), namespace=self.namespace,
                            topic=TOPICS[type(event).__name__], event=Any(type_url=event.TYPE, value=event.encode()))
        self.queue.append(ForwardRequest(envelope=envelope).encode())
        if len(self.queue) > HELD:
            del self.queue[1 if self.busy else 0]
            self.dropped += 1
        self._next()

    def flush(self, then: Callable[[], None]) -> None:
        """Call then() when the queue is empty, or soon: at the end, containerd may be gone for good."""
        self.flushed = then
        self.loop.later(LIMIT, self._flushed)
        self._next()

    def _next(self) -> None:
        if self.busy:
            return
        if not self.queue:
            self._flushed()
            return
        self.busy = True
        if not self.address:
            try:
                self._run_program(self.topics[0], self.queue[0])
            except OSError:                               # no process or descriptor is free
                self.loop.later(PAUSE, self._again)
                return
            del self.topics[0], self.queue[0]
            return
        try:
            if self.client is None:
                self.client = Client(self.loop, connect(self.address), self._closed)
        except (OSError, ValueError):
            self.loop.later(PAUSE, self._again)
            return
        self.client.call(EVENTS_SERVICE, "Forward", ForwardRequest.decode(self.queue[0]), Empty, self._taken, LIMIT)

    def _run_program(self, topic: str, data: bytes) -> None:
        """Give it an event as its standard input; the next one has its turn when it has ended, and closed a pipe."""
        from .._native import lib
        words = [*self.program, "publish", "--topic", topic, "--namespace", self.namespace]
        opened: list[int] = []
        try:
            opened += posix.pipe2(posix.O_CLOEXEC)
            opened.append(posix.memfd_create("event", posix.MFD_CLOEXEC))
            ended, running, source = opened
            posix.write(source, data)
            posix.lseek(source, 0, 0)
            if posix.fork() == 0:
                try:
                    lib.pr_signals_reset()
                    posix.dup2(source, 0, True)
                    posix.set_inheritable(running, True)
                    posix.execve(words[0], words, posix.environ)
                finally:
                    posix._exit(127)
            opened.remove(ended)
        finally:
            for fd in opened:
                posix.close(fd)

        def done(_events: int) -> None:
            self.loop.forget(ended)
            posix.close(ended)
            self._again()
        self.loop.watch(ended, READ, done)

    def _taken(self, _answer: Message | None, error: RpcError | None) -> None:
        if error is not None:
            if self.client is not None:
                self.client.close()
            self.loop.later(PAUSE, self._again)
            return
        del self.queue[0]
        self._again()

    def _again(self) -> None:
        self.busy = False
        self._next()

    def _closed(self) -> None:
        self.client = None

    def _flushed(self) -> None:
        if self.flushed is not None:
            then, self.flushed = self.flushed, None
            then()
