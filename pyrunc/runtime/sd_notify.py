"""sd_notify(3) for a container: what it says on its own socket is said again on the caller's, about the right process.

The service manager waits for READY=1 from `start`, or from a foreground `run`, and takes the container's init for the
service's main process from then on. Nothing that would speak about other processes or descriptors is passed on.
"""
from __future__ import annotations

import _socket
import errno
import posix
import select
import time
from sys import byteorder

from ..errors import StateError, strerror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..log import Log
    from ..state.container import Container

SOCKET = "notify.sock"
LARGEST = 65536                  # bytes of one message
LONGEST = 2048                   # bytes of one line of it: systemd takes 4096 in all
AT_ONCE = 64                     # messages between two looks at signals and the container's end
BARRIER_SECONDS = 30.0           # as runc; a manager that knows no barriers never answers
READY = b"READY=1"
#: Besides READY=1, what a service says about itself.
PASSED_ON = (b"STATUS=", b"RELOADING=", b"MONOTONIC_USEC=", b"STOPPING=", b"WATCHDOG=1", b"EXTEND_TIMEOUT_USEC=")
BUSY = (errno.EAGAIN, errno.ENOBUFS)     # the manager's queue is full


def of_caller(root: str, id: str, log: Log) -> Proxy | None:
    """The caller's $NOTIFY_SOCKET and the container's; None for a container that was created without one."""
    host, folder = posix.environ.get(b"NOTIFY_SOCKET", b"").decode(errors="surrogateescape"), f"{root}/{id}/notify"
    try:
        posix.stat(folder)
    except FileNotFoundError:
        return None
    return Proxy(host, folder, log)


class Proxy:
    """The container's socket and the caller's.

    host     $NOTIFY_SOCKET of the caller: a path, or "@name" in the abstract namespace (unix(7))
    folder   <root>/<id>/notify

    What is said is passed on without waiting, and nothing more is heard until it is: whoever says more than the manager
    takes is the one who waits. One message becomes one message, with each of PASSED_ON at most once.
    """
    __slots__ = ("folder", "host", "log", "manager", "ready", "socket", "unsaid", "warned")

    def __init__(self, host: str, folder: str, log: Log) -> None:
        self.host, self.folder, self.log = host, folder, log
        self.ready = self.warned = False
        self.unsaid: list[tuple[bytes, int]] = []    # messages, and a descriptor or -1 that goes with each
        self.socket: _socket.socket | None = None
        self.manager: _socket.socket | None = None

    def listen(self) -> None:
        """Make the container's socket, which every process in it may write to. OSError when there is one already."""
        folder = posix.open(self.folder, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
        try:
            self.socket = _datagrams()
            mask = posix.umask(0)            # its mode is 0777: changing that later would follow what is put there
            try:
                self.socket.bind(f"/proc/self/fd/{folder}/{SOCKET}")      # a path of any length (sun_path of unix(7))
            finally:
                posix.umask(mask)
        finally:
            posix.close(folder)

    def wanted(self) -> dict[int, int]:
        """For poll(2): descriptors and events."""
        if self.unsaid and self.manager is not None:
            return {self.manager.fileno(): select.POLLOUT}
        return {self.socket.fileno(): select.POLLIN} if self.socket is not None else {}

    def forward(self, pid: int) -> None:
        """Pass on what has arrived, not for ever. With READY=1 the manager learns that pid is the service."""
        for _ in range(AT_ONCE):
            if not self._say() or self.socket is None:
                return
            try:
                message = self.socket.recv(LARGEST, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self._take(message, pid)

    def _take(self, message: bytes, pid: int) -> None:
        passed_on: dict[bytes, bytes] = {}
        for line in message.split(b"\n"):
            if line == READY and not self.ready:
                self.ready = True
                self.unsaid += [(READY, -1), (b"MAINPID=%d" % pid, -1)]
            elif len(line) <= LONGEST and line.startswith(PASSED_ON):
                passed_on[line.partition(b"=")[0]] = line
        if passed_on:
            self.unsaid.append((b"\n".join(passed_on.values()), -1))

    def wait(self, container: Container) -> None:
        """Stay until the container is ready and the manager knows it, or until its init has ended."""
        try:
            init = container.pidfd()
        except StateError:
            init = -1                        # it has ended already: what is there are its last words
        try:
            ended = init < 0
            while not (ended or (self.ready and not self.unsaid)):
                ended = self._poll(init)
                self.forward(container.pid)
            self.forward(container.pid)
            if self.ready:
                self._barrier()
        finally:
            if init >= 0:
                posix.close(init)
            self.close()

    def _poll(self, init: int) -> bool:
        """Wait until there is something to do; whether the init has ended."""
        poll = select.poll()
        poll.register(init, select.POLLIN)
        for fd, events in self.wanted().items():
            poll.register(fd, events)
        return init in dict(poll.poll())

    def close(self) -> None:
        """Let go of the socket; what the container says from now on nobody hears."""
        for sock in (self.socket, self.manager):
            if sock is not None:
                sock.close()
        self.socket = self.manager = None

    def _say(self) -> bool:
        """Send what is unsaid, as far as the manager takes it without waiting; whether that is all."""
        while self.unsaid:
            line, fd = self.unsaid[0]
            try:
                self._send(line, fd)
            except OSError as fault:
                if fault.errno in BUSY:
                    return False
                if not self.warned:          # once: the container decides how often it says something
                    self.log.warning(f"NOTIFY_SOCKET {self.host}: {strerror(fault.errno or 0)}")
                self.warned = True
            del self.unsaid[0]
        return True

    def _send(self, line: bytes, fd: int) -> None:
        rights = [] if fd < 0 else [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, byteorder))]
        if self.manager is not None:
            try:
                self.manager.sendmsg([line + b"\n"], rights, _socket.MSG_DONTWAIT)
                return
            except ConnectionError:          # it has a new socket, perhaps
                self.manager.close()
                self.manager = None
        name = self.host.encode(errors="surrogateescape")
        manager = _datagrams()
        try:
            manager.connect(b"\0" + name[1:] if name.startswith(b"@") else name)
            self.manager = manager           # that poll(2) tells when there is room in its queue
            manager.sendmsg([line + b"\n"], rights, _socket.MSG_DONTWAIT)
        finally:
            if self.manager is not manager:
                manager.close()

    def _barrier(self) -> None:
        """sd_notify_barrier(3): the manager closes the descriptor when it has dealt with all that came before it.

        Without, it might look for the sender of MAINPID when that is gone already.
        """
        mine, its = posix.pipe2(posix.O_CLOEXEC)
        end = time.monotonic() + BARRIER_SECONDS
        self.unsaid.append((b"BARRIER=1", its))
        while not self._say() and self.manager is not None and time.monotonic() < end:
            poll = select.poll()
            poll.register(self.manager.fileno(), select.POLLOUT)
            poll.poll(BARRIER_SECONDS * 1000)
        posix.close(its)
        poll = select.poll()
        poll.register(mine, 0)               # POLLHUP comes unasked
        if not poll.poll(max(0, end - time.monotonic()) * 1000):
            self.log.warning("the service manager did not answer sd_notify's BARRIER=1")
        posix.close(mine)


def _datagrams() -> _socket.socket:
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
