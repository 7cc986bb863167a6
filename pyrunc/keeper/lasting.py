"""A keeper that outlives whoever it works for: the manager may be killed, and the next one learns every exit status.

The keeper listens on a socket of the file system and serves one connection at a time; a new one takes the place of the
old. A request may have a name for the process that it makes:

    {"number": 7, "operation": "create", "record": "web.1", ...}

and, where the next manager should wait for what comes of it, whom it is about:

    {"number": 8, "operation": "start", "about": "web", ...}
    {"number": 9, "operation": "working"}         is answered at once: {"working": ["web", ...]}

When that process ends, the keeper writes <directory>/web.1 with "PID STATUS TIME" (wait(2), nanoseconds since the
epoch) before it tells the other end. Whoever has read the file removes it. The keeper ends when no client is connected,
no operation is at work, and no process is left whose end is to be written down.
"""
from __future__ import annotations

import _socket
import posix

from ..kernel.loop import READ
from ..kernel.posix import PosixKernel
from .channel import Channel
from .keeper import Keeper
from .nursery import close

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .channel import Message
    from .nursery import Operation


#: Seconds between two looks for a descriptor.
PAUSE = 0.1


class Lasting(Keeper):
    """Serves whoever connects, and writes down the ends of processes that have a name."""

    def __init__(self, listener: _socket.socket, directory: str, operations: Mapping[str, Operation]) -> None:
        super().__init__(Channel(listener), operations)
        self.listener, self.directory = listener, directory
        self.names: dict[int, str] = {}                # by pid
        self.working = 0                               # operations without an answer
        self.about: list[str] = []                     # whom those are about
        self.connected = False

    def run(self) -> None:
        """Serve until there is nothing left to do."""
        self._listen()
        self.loop.run()

    def _listen(self) -> None:
        self.loop.watch(self.listener.fileno(), READ, self._connect)

    def _connect(self, events: int) -> None:
        try:
            fd, _ = self.listener._accept()  # type: ignore[attr-defined]
        except OSError:                                # no descriptor is free; the statuses of all are kept here
            self.loop.forget(self.listener.fileno())
            self.loop.later(PAUSE, self._listen)
            return
        posix.set_inheritable(fd, False)
        if self.connected:
            self._let_go()
        socket = _socket.socket(fileno=fd)
        socket.setblocking(True)
        self.channel, self.connected = Channel(socket), True
        self.loop.watch(fd, READ, self._ready)

    def _run(self, request: Message, fds: list[int]) -> None:
        if request["operation"] == "working":
            close(fds)
            self._post({"number": request["number"], "answer": {"working": self.about}}, [])
            return
        self.working += 1
        if "about" in request:
            self.about.append(request["about"])
        super()._run(request, fds)

    def _answer(self, request: Message, message: Message, fds: list[int]) -> None:
        self.working -= 1
        if "about" in request:
            self.about.remove(request["about"])
        pid = message.get("answer", {}).get("pid", 0)
        if pid and "record" in request:
            self.names[pid] = request["record"]
        super()._answer(request, message, fds)
        self._rest()

    def _ended(self, pid: int, status: int, time: int) -> None:
        name = self.names.pop(pid, "")
        if name:
            self._write(name, f"{pid} {status} {time}\n".encode())
        super()._ended(pid, status, time)
        self._rest()

    def _write(self, name: str, data: bytes) -> None:
        """Appears whole, by rename(2). A full or missing directory must not end the keeper: then nobody is told."""
        path, staged = f"{self.directory}/{name}", f"{self.directory}/.{name}"
        try:
            fd = posix.open(staged, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
            try:
                posix.write(fd, data)
            finally:
                posix.close(fd)
            posix.rename(staged, path)
        except OSError:
            pass

    def _post(self, message: Message, fds: list[int]) -> None:
        if self.connected:
            super()._post(message, fds)
        else:
            close(fds)

    def _closed(self) -> None:
        self._let_go()
        self._rest()

    def _let_go(self) -> None:
        """Of a connection, but not of our work: another may be taking its place."""
        self.loop.forget(self.channel.fileno())
        self.channel.close()
        self.connected = False
        for _, fds in self.unsent:
            close(fds)
        self.unsent.clear()

    def _rest(self) -> None:
        """End when nothing is left to do. A connection that waits to be taken is something."""
        if not (self.connected or self.names or self.working or PosixKernel().readable(self.listener.fileno())):
            self.loop.stop()
