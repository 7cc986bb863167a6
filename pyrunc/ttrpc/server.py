"""The server: calls come in on any number of connections and are answered in any order, at once or later."""
from __future__ import annotations

import errno

from ..kernel.loop import READ
from . import codes
from .codes import RpcError
from .connection import Connection
from .frames import DATA, REQUEST, RESPONSE, TooLarge
from .messages.transport import Request, Response, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..formats.protobuf import Message
    from ..kernel.loop import Loop, Timer

    Methods = Mapping[str, tuple[type[Message], type[Message]]]
    Handler = Callable[[Any, "Call"], Message | None]

#: Calls of one connection that wait for their answer. One more is refused, so that no peer fills the memory.
PENDING = 4096
#: Connections at once. Further ones wait in the socket's queue.
CONNECTIONS = 256
#: Descriptors ran out: the loop looks again after so many seconds.
PATIENCE = 0.1


class Call:
    """One call that waits for its answer; the first answer counts.

    on_cancel   called when nobody waits for the answer any more: the connection closed, or the caller's time is over
    """

    def __init__(self, client: Client, stream: int, response: type[Message]) -> None:
        self._client, self._stream, self._response = client, stream, response
        self._timer: Timer | None = None
        self.on_cancel: Callable[[], None] = _nothing

    @property
    def waiting(self) -> bool:
        """Whether the caller still waits."""
        return self._stream in self._client.calls

    def answer(self, message: Message) -> None:
        """Give the caller its answer."""
        assert type(message) is self._response
        try:
            self._end(Response(payload=message.encode()))
        except ValueError as fault:
            self.fail(codes.INTERNAL, f"an answer that cannot be sent: {fault}")

    def fail(self, code: int, message: str) -> None:
        """Tell the caller that the call failed, by a code of codes.py."""
        self._end(Response(status=Status(code=code, message=message)))

    def limit(self, loop: Loop, nanoseconds: int) -> None:
        """The caller waits no longer than that."""
        self._timer = loop.later(nanoseconds / 1e9, self._late)

    def cancel(self) -> None:
        """The caller is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self.on_cancel()

    def _late(self) -> None:
        if self.waiting:
            self.fail(codes.DEADLINE_EXCEEDED, "context deadline exceeded")
            self.on_cancel()

    def _end(self, response: Response) -> None:
        if self._client.calls.pop(self._stream, None) is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._client.respond(self._stream, response)


def _nothing() -> None:
    pass


class Server:
    """Serves on a listening socket. Owns the connections, not the socket."""

    def __init__(self, loop: Loop, listener: _socket.socket) -> None:
        listener.setblocking(False)
        self.loop, self.listener = loop, listener
        self.services: dict[str, dict[str, tuple[type[Message], type[Message], Handler]]] = {}
        self.clients: set[Client] = set()
        self._listen()

    def register(self, service: str, methods: Methods, handlers: Mapping[str, Handler]) -> None:
        """Serve the methods that have a handler; the others are Unimplemented.

        A handler gets the request and the Call. It returns the answer, or None and calls Call.answer or Call.fail
        later; RpcError is a refusal.
        """
        self.services[service] = {name: (*methods[name], handler) for name, handler in handlers.items()}

    def close(self) -> None:
        """Take no more connections and cut those that are there."""
        self.loop.forget(self.listener.fileno())
        for client in list(self.clients):
            client.connection.close()

    def left(self, client: Client) -> None:
        """A connection has closed."""
        self.clients.discard(client)
        if len(self.clients) == CONNECTIONS - 1:
            self._listen()

    def _listen(self) -> None:
        self.loop.watch(self.listener.fileno(), READ, self._accept)

    def _accept(self, _events: int) -> None:
        import _socket
        try:
            fd, _ = self.listener._accept()  # type: ignore[attr-defined]
        except OSError as fault:
            if fault.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                self.loop.forget(self.listener.fileno())        # it stays ready: look again when some may be free
                self.loop.later(PATIENCE, self._listen)
            return
        self.clients.add(Client(self, _socket.socket(fileno=fd)))
        if len(self.clients) >= CONNECTIONS:
            self.loop.forget(self.listener.fileno())


class Client:
    """One connection of the server, and the calls on it that wait."""

    def __init__(self, server: Server, socket: _socket.socket) -> None:
        self.server = server
        self.calls: dict[int, Call] = {}
        self.last_stream = 0
        self.connection = Connection(server.loop, socket, self._frame, self._closed)

    def respond(self, stream: int, response: Response) -> None:
        """Send the end of a stream."""
        try:
            self.connection.send(stream, RESPONSE, response.encode())
        except ValueError as fault:
            self.refuse(stream, codes.RESOURCE_EXHAUSTED, str(fault))

    def refuse(self, stream: int, code: int, message: str) -> None:
        """Send an error as the end of a stream."""
        self.respond(stream, Response(status=Status(code=code, message=message)))

    def _closed(self) -> None:
        self.server.left(self)
        calls, self.calls = self.calls, {}
        for call in calls.values():
            call.cancel()

    def _frame(self, stream: int, kind: int, data: bytes | TooLarge) -> None:
        if isinstance(data, TooLarge):
            self.refuse(stream, codes.RESOURCE_EXHAUSTED, f"a message of {data.length} bytes is too large")
        elif stream % 2 != 1:
            self.refuse(stream, codes.INVALID_ARGUMENT, "a client's stream must have an odd number")
        elif kind == DATA:
            self.refuse(stream, codes.INVALID_ARGUMENT, "no method has a stream of data")
        elif kind == REQUEST and stream <= self.last_stream:
            self.refuse(stream, codes.INVALID_ARGUMENT, "a stream's number must be larger than those before it")
        elif kind == REQUEST:                           # (another type may mean something one day)
            self.last_stream = stream
            self._request(stream, data)

    def _request(self, stream: int, data: bytes) -> None:
        try:
            request = Request.decode(data)
            given, response, handler = self._method(request)
            message = given.decode(request.payload)
            if len(self.calls) >= PENDING:
                raise RpcError(codes.RESOURCE_EXHAUSTED, "too many calls wait on this connection")
        except RpcError as refused:
            self.refuse(stream, refused.code, refused.message)
            return
        except ValueError as fault:
            self.refuse(stream, codes.INVALID_ARGUMENT, f"a request that cannot be read: {fault}")
            return
        self._handle(stream, response, handler, message, request.timeout_nano)

    def _handle(self, stream: int, response: type[Message], handler: Handler, message: Message, limit: int) -> None:
        call = self.calls[stream] = Call(self, stream, response)
        try:
            answer = handler(message, call)
        except RpcError as refused:
            call.fail(refused.code, refused.message)
            return
        except Exception as fault:                      # a fault of ours must not take the other tasks with it
            call.fail(codes.INTERNAL, f"internal error: {type(fault).__name__}: {fault}")
            return
        if answer is not None:
            call.answer(answer)
        elif limit > 0 and call.waiting:
            call.limit(self.server.loop, limit)

    def _method(self, request: Request) -> tuple[type[Message], type[Message], Handler]:
        service = self.server.services.get(request.service)
        if service is None:
            raise RpcError(codes.UNIMPLEMENTED, f"service {request.service}")
        if request.method not in service:
            raise RpcError(codes.UNIMPLEMENTED, f"method {request.method}")
        return service[request.method]
