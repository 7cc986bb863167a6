"""`criu swrk`: CRIU as a child of ours for one request, on a socket (criu(8), "swrk").

It asks back while it works: each notification waits for an answer, so that the steps of a plan can take place between
two of them. It dies with this process, and when the socket closes before the end it undoes what it has begun.
"""
from __future__ import annotations

import _socket
import errno
import fcntl
import posix
from _signal import SIGKILL, pidfd_send_signal
from sys import byteorder

from .. import programs
from ..errors import PyruncError, Refused, strerror
from . import cgroup_options, log
from .messages import NOTIFY, PRE_DUMP, Response, acknowledgement, request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..formats.protobuf import Value
    from ..kernel.linux import Kernel

SOCKET = 3                # its number in CRIU; what a restore hands on follows
LARGEST = 1 << 16
PATIENCE = 10.0           # seconds for it to undo what it has begun
ABOVE = 100               # descriptors wait up here until 0 to SOCKET and on are free


def find() -> str:
    """The path of criu. PyruncError when the host has none."""
    path = programs.find("criu")
    if not path:
        raise PyruncError("checkpoint and restore need the program criu, and this host has none (apt-get install criu)")
    return path


class Criu:
    """One CRIU at work. log: the name of its log in the directory work_fd, which place is the path of."""

    def __init__(self, program: str, work_fd: int, place: str, log: str) -> None:
        self.program, self.work_fd, self.place, self.log = program, work_fd, place, log
        self.pid, self.pidfd, self.kind = 0, -1, 0
        self.socket: _socket.socket | None = None
        self.kernel: Kernel | None = None
        self.options: list[str] = []

    def start(self, kernel: Kernel, flags: int = 0, cgroup_fd: int = -1, streams: bool = False,
              extra: Sequence[int] = (), prepare: Callable[[], None] | None = None) -> None:
        """Run it. flags: of clone3; streams: with our standard streams, for a container to have; extra: descriptors
        it gets from SOCKET + 1 on; prepare: run in the child before."""
        ours, its = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        told, tell = posix.pipe2(posix.O_CLOEXEC)
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, ours.detach())
        self.kernel, self.options = kernel, cgroup_options.read(kernel)
        self.pid, self.pidfd = kernel.clone3(flags, cgroup_fd, SIGKILL)
        if self.pid == 0:
            self._become(kernel, its.fileno(), tell, streams, extra, prepare)
        its.close()
        posix.close(tell)
        words = kernel.read(told, 4096).decode(errors="replace")
        posix.close(told)
        if words:
            raise Refused(words)

    def _become(self, kernel: Kernel, its: int, tell: int, streams: bool, extra: Sequence[int],
                prepare: Callable[[], None] | None) -> None:
        try:
            kernel.become_child()
            if prepare is not None:
                prepare()
            wanted = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ABOVE) for fd in (its, *extra)]
            tell = fcntl.fcntl(tell, fcntl.F_DUPFD_CLOEXEC, ABOVE)
            if not streams:
                null = posix.open("/dev/null", posix.O_RDWR)
                for number in (0, 1, 2):
                    posix.dup2(null, number)
            for number, fd in enumerate(wanted, SOCKET):
                posix.dup2(fd, number)
            # Of the caller's environment CRIU and what it runs (tar, ip) get nothing: HOME would be a configuration.
            posix.execve(self.program, ["criu", "swrk", str(SOCKET)], {"PATH": programs.PATH})
        except OSError as fault:
            posix.write(tell, f"{fault.filename or self.program}: {strerror(fault.errno or 0)}".encode())
        except BaseException as fault:  # nothing may reach the interpreter's own printer
            posix.write(tell, f"{type(fault).__name__}: {fault}".encode())
        finally:
            posix._exit(127)

    def ask(self, kind: int, given: Mapping[str, Value | Sequence[Value]]) -> None:
        """Send the request: messages.DUMP, PRE_DUMP or RESTORE, and its options."""
        self._send(request(kind, given))
        self.kind = kind

    def go_on(self) -> None:
        """Answer the notification that `until` has returned with."""
        self._send(acknowledgement())

    def until(self, wanted: str, others: Callable[[Response, int], None] | None = None) -> Response:
        """Wait for a notification of that name, or, with "", for the end; the others are let pass.

        others   is called with each, and the descriptor that came with it or -1
        Raises Refused when CRIU fails, or ends without it.
        """
        while True:
            response, fd = self._receive()
            if not response.success:
                raise self.failure()
            if response.kind != NOTIFY:
                if wanted or response.kind != self.kind:
                    raise self.failure(f"it was done without {wanted or 'an end'}")
                return response
            if others is not None:
                others(response, fd)
            elif fd >= 0:
                posix.close(fd)
            if wanted and response.script == wanted:
                return response
            self.go_on()

    def _send(self, data: bytes) -> None:
        assert self.socket is not None
        try:
            self.socket.send(data)
        except OSError as fault:
            gone = fault.errno in (errno.EPIPE, errno.ECONNRESET)
            raise self.failure("it is gone" if gone else f"send to it: {strerror(fault.errno or 0)}") from None

    def _receive(self) -> tuple[Response, int]:
        assert self.socket is not None
        try:
            data, rights, _, _ = self.socket.recvmsg(LARGEST, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
            if not data:
                raise self.failure("it ended without an answer")
            response = Response(data)
        except ValueError as fault:
            raise self.failure(f"its answer is no message: {fault}") from None
        except ConnectionResetError:
            raise self.failure("it ended without an answer") from None
        for level, kind, given in rights:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                return response, int.from_bytes(given[:4], byteorder)
        return response, -1

    def failure(self, otherwise: str = "it says nothing about the cause") -> Refused:
        """The cause out of its log first, then where the whole log is: engines show the first line, and cut it."""
        self.end()
        cause = log.errors(self.work_fd, self.log) or otherwise
        return Refused(f"criu failed: {cause}: log file {self.place}/{self.log}")

    def finish(self) -> None:
        """CRIU has answered: wait for its end. After a pre-dump it would wait for the next request."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        if self.pid:
            _, status = posix.waitpid(self.pid, 0)
            self._has_ended()
            if status and self.kind != PRE_DUMP:
                raise self.failure(f"it ended with wait status {status}")

    def end(self) -> None:
        """Let go of one that failed, or is not wanted any more: it undoes what it has begun, and ends. Repeatable.

        One that was asked for nothing has nothing to undo, and would say on our standard error that nobody asks."""
        if self.pid and not self.kind:
            pidfd_send_signal(self.pidfd, SIGKILL)
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        if self.pid:
            from ..kernel.pidfd import wait_end
            if not wait_end(self.pidfd, PATIENCE):
                pidfd_send_signal(self.pidfd, SIGKILL)
            try:
                posix.waitpid(self.pid, 0)
            except ChildProcessError:
                pass
            self._has_ended()

    def _has_ended(self) -> None:
        posix.close(self.pidfd)
        self.pid = 0
        assert self.kernel is not None
        cgroup_options.put_back(self.kernel, self.options)

