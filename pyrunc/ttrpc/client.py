"""The client: calls on one connection, each answered by a call back on the loop; `ask` waits for one."""
from __future__ import annotations

import _socket
import errno

from ..kernel.loop import Loop
from . import codes
from .codes import RpcError
from .connection import Connection
from .frames import REQUEST, RESPONSE, TooLarge
from .messages.transport import KeyValue, Request, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..formats.protobuf import Message
    from ..kernel.loop import Timer

    #: Called with the answer, or with what went wrong.
    Then = Callable[[Message | None, RpcError | None], None]

#: sockaddr_un.sun_path with its NUL, bytes (unix(7)).
LONGEST_PATH = 108


def path_of(address: str) -> str:
    """The path in "unix:///path", or the path itself. A leading "@" is an abstract name, as Go has it.

    ValueError for another kind of address, and for a path that no socket can have.
    """
    scheme, separator, path = address.rpartition("://")
    if separator and scheme not in ("unix", "ttrpc+unix"):
        raise ValueError(f"{address}: not the address of a unix socket")
    if not path or len(path.encode()) >= LONGEST_PATH or "\0" in path:
        raise ValueError(f"{address}: no path of a unix socket")
    return "\0" + path[1:] if path[0] == "@" else path


def connect(address: str) -> _socket.socket:
    """A connected stream socket, which does not block, nor does this: a peer that hangs has EAGAIN when its queue is
    full. OSError with the path in filename, ValueError for what is no address."""
    path = path_of(address)
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    socket.setblocking(False)
    try:
        socket.connect(path)
    except OSError as fault:
        socket.close()
        raise OSError(fault.errno, "", path) from None
    return socket


class Client:
    """Calls to one server.

    on_close    called once, when the connection is gone; the calls that wait have failed by then (Unavailable)
    """

    def __init__(self, loop: Loop, socket: _socket.socket, on_close: Callable[[], None] | None = None) -> None:
        self.loop = loop
        self.on_close = on_close
        self._next = 1
        self._waiting: dict[int, tuple[type[Message], Then, Timer | None]] = {}
        self._connection = Connection(loop, socket, self._frame, self._closed)

    def call(self, service: str, method: str, request: Message, response: type[Message], then: Then,
             timeout: float = 0.0, metadata: dict[str, str] | None = None) -> None:
        """Call a method. then(answer, None) or then(None, RpcError) is called from the loop, exactly once.

        timeout     seconds after which it fails with DeadlineExceeded, told to the server, too; 0.0 for none
        metadata    names and values that go with the request
        """
        if self._connection.closed:
            self.loop.later(0.0, lambda: then(None, RpcError(codes.UNAVAILABLE, "ttrpc: closed")))
            return
        stream, self._next = self._next, self._next + 2
        timer = self.loop.later(timeout, lambda: self._late(stream)) if timeout else None
        self._waiting[stream] = response, then, timer
        pairs = [KeyValue(key=key, value=value) for key, value in (metadata or {}).items()]
        self._connection.send(stream, REQUEST, Request(
            service=service, method=method, payload=request.encode(), timeout_nano=int(timeout * 1e9),
            metadata=pairs).encode())

    def close(self) -> None:
        """Close the connection; calls that wait fail."""
        self._connection.close()

    def _late(self, stream: int) -> None:
        self._end(stream, None, RpcError(codes.DEADLINE_EXCEEDED, "context deadline exceeded"))

    def _closed(self) -> None:
        for stream in list(self._waiting):
            self._end(stream, None, RpcError(codes.UNAVAILABLE, "ttrpc: closed"))
        if self.on_close is not None:
            self.on_close()

    def _frame(self, stream: int, kind: int, data: bytes | TooLarge) -> None:
        if kind != RESPONSE or stream not in self._waiting:      # an answer that came too late
            return
        if isinstance(data, TooLarge):
            self._end(stream, None, RpcError(codes.RESOURCE_EXHAUSTED, f"an answer of {data.length} bytes"))
            return
        try:
            answer = Response.decode(data)
            if answer.status is not None and answer.status.code:
                self._end(stream, None, RpcError(answer.status.code, answer.status.message))
                return
            message = self._waiting[stream][0].decode(answer.payload)
        except ValueError as fault:
            self._end(stream, None, RpcError(codes.INTERNAL, f"an answer that cannot be read: {fault}"))
            return
        self._end(stream, message, None)

    def _end(self, stream: int, message: Message | None, error: RpcError | None) -> None:
        entry = self._waiting.pop(stream, None)
        if entry is None:
            return
        _, then, timer = entry
        if timer is not None:
            timer.cancel()
        then(message, error)


def ask(address: str, service: str, method: str, request: Message, response: type[Message], timeout: float) -> Any:
    """Connect, call one method and wait for its answer, at most `timeout` seconds.

    RpcError as the server says it, DeadlineExceeded or Unavailable; OSError when nobody listens there.
    """
    loop = Loop()
    outcome: list[tuple[Message | None, RpcError | None]] = []
    client = Client(loop, connect(address))

    def then(message: Message | None, error: RpcError | None) -> None:
        outcome.append((message, error))
        loop.stop()
    try:
        client.call(service, method, request, response, then, timeout)
        while not outcome:
            loop.once()
    finally:
        client.close()
    message, error = outcome[0]
    if error is not None:
        raise error
    assert message is not None, errno.EPROTO
    return message
