"""sd_notify(3) for a container: what it says on its own socket is said again on the caller's, about the right process.

The service manager waits for READY=1 from `start`, or from a foreground `run`, and takes the container's init for the
service's main process from then on. Nothing that would speak about other processes or descriptors is passed on.
"""
from __future__ import annotations

import _socket
import posix
import select

from .errors import StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cli.log import Log
    from .state.container import Container

SOCKET = "notify.sock"
LARGEST = 65536                  # bytes of one message
BARRIER_SECONDS = 30.0           # as runc; a manager that knows no barriers never answers
READY = b"READY=1"
#: Besides READY=1, what a service says about itself.
PASSED_ON = (b"STATUS=", b"RELOADING=", b"MONOTONIC_USEC=", b"STOPPING=", b"WATCHDOG=1", b"EXTEND_TIMEOUT_USEC=")


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
    """
    __slots__ = ("folder", "host", "log", "ready", "socket")

    def __init__(self, host: str, folder: str, log: Log) -> None:
        self.host, self.folder, self.log = host, folder, log
        self.ready = False
        self.socket: _socket.socket | None = None

    def listen(self) -> None:
        """Make the container's socket, which everybody in it may write to. OSError when there is one already."""
        folder = posix.open(self.folder, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
        try:
            self.socket = _datagrams()
            self.socket.bind(f"/proc/self/fd/{folder}/{SOCKET}")      # a path of any length (sun_path of unix(7))
            posix.chmod(SOCKET, 0o777, dir_fd=folder)
        finally:
            posix.close(folder)

    def fileno(self) -> int:
        """For poll(2)."""
        return self.socket.fileno() if self.socket is not None else -1

    def forward(self, pid: int) -> None:
        """Pass on what has arrived. With READY=1 the manager learns that pid is the service."""
        while self.socket is not None:
            try:
                message = self.socket.recv(LARGEST, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            for line in message.split(b"\n"):
                if line == READY and not self.ready:
                    self.ready = True
                    self._say(READY)
                    self._say(b"MAINPID=%d" % pid)
                elif line.startswith(PASSED_ON):
                    self._say(line)

    def wait(self, container: Container) -> None:
        """Stay until the container is ready and the manager knows it, or until its init has ended."""
        try:
            init = container.pidfd()
        except StateError:
            self.forward(container.pid)      # it has ended already: these are its last words
        else:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN)
            poll.register(init, select.POLLIN)
            ended = False
            while not (self.ready or ended):
                ended = init in dict(poll.poll())
                self.forward(container.pid)
            posix.close(init)
        if self.ready:
            self._barrier()
        self.close()

    def close(self) -> None:
        """Let go of the socket; what the container says from now on nobody hears."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _say(self, line: bytes, fd: int = -1) -> None:
        rights = [] if fd < 0 else [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))]
        name = self.host.encode(errors="surrogateescape")
        address = b"\0" + name[1:] if name.startswith(b"@") else name
        sock = _datagrams()
        try:
            sock.sendmsg([line + b"\n"], rights, 0, address)
        except OSError as fault:
            self.log.warning(f"NOTIFY_SOCKET {self.host}: {posix.strerror(fault.errno or 0).lower()}")
        finally:
            sock.close()

    def _barrier(self) -> None:
        """sd_notify_barrier(3): the manager closes the descriptor when it has dealt with all that came before it.

        Without, it might look for the sender of MAINPID when that is gone already.
        """
        mine, its = posix.pipe2(posix.O_CLOEXEC)
        self._say(b"BARRIER=1", its)
        posix.close(its)
        poll = select.poll()
        poll.register(mine, 0)               # POLLHUP comes unasked
        if not poll.poll(BARRIER_SECONDS * 1000):
            self.log.warning("the service manager did not answer sd_notify's BARRIER=1")
        posix.close(mine)


def _datagrams() -> _socket.socket:
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
