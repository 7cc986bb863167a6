"""The keeper's loop: requests of the library in, answers and the ends of processes out.

    {"number": 7, "operation": "create", ...}     from the library, with the descriptors that the operation needs
    {"number": 7, "answer": {...}}                to it, with those that came of it; or "error": [class, fields];
                                                  and "warnings" and "records", what its plans had to say;
                                                  "lost" with the error when nobody knows how far it has come, and
                                                  "late" when that is so because it has taken longer than "deadline"
    {"exit": 4711, "status": 256, "time": ns}     to it: a process that an answer has named has ended (wait(2), UTC)
"""
from __future__ import annotations

import posix

from ..errors import PyruncError
from ..kernel.loop import READ, WRITE, Loop
from .nursery import Nursery, close

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .channel import Channel, Message
    from .nursery import Operation


#: Operations that make no process.
ALONE = ("start", "kill", "pause", "resume", "update", "delete")
#: Workers that stay, however many CPUs there are; seconds that an operation waits for one while none answers.
MOST, PATIENCE = 4, 0.1


def again(request: Message) -> bool:
    """Whether a worker that stays may have it: it makes no process, or one that it can leave to the keeper."""
    if request["operation"] == "exec":
        from ..state.container import Container
        try:
            return bool(Container.load(request["root"], request["id"]).state["pid_namespace"])
        except (PyruncError, KeyError):                   # the worker will say what is wrong
            return False
    return request["operation"] in (*ALONE, "create")


class Keeper:
    """Serves one connection until it closes. Containers outlive the keeper."""

    def __init__(self, channel: Channel, operations: Mapping[str, Operation]) -> None:
        self.channel = channel
        self.loop = Loop()
        self.nursery = Nursery(self.loop, operations, self._ended, min(len(posix.sched_getaffinity(0)), MOST), PATIENCE)
        self.unsent: list[tuple[Message, list[int]]] = []

    def run(self) -> None:
        """Serve. What is still at work when the connection closes goes on without us."""
        self.loop.watch(self.channel.fileno(), READ, self._ready)
        self.loop.run()

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE and self.channel.fileno() >= 0:     # it may just have been found closed
            received = self.channel.receive()
            if received is None:
                self._closed()
                return
            self._run(*received)

    def _run(self, request: Message, fds: list[int]) -> None:
        self.nursery.run(request, fds, lambda message, given: self._answer(request, message, given), again(request))

    def _answer(self, request: Message, message: Message, fds: list[int]) -> None:
        self._post({"number": request["number"], **message}, fds)

    def _closed(self) -> None:
        """The other end is closed."""
        self.loop.stop()

    def _ended(self, pid: int, status: int, time: int) -> None:
        self._post({"exit": pid, "status": status, "time": time}, [])

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
                close(fds)
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):    # the latter where it had not read all that was there
            self._closed()
            return
        self.loop.watch(self.channel.fileno(), READ | (WRITE if self.unsent else 0), self._ready)
