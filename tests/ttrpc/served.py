"""A server with the Task service on a socket of its own, its loop in a thread; and raw connections to it."""
from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyrunc.formats.protobuf import Message
from pyrunc.kernel.loop import READ, Loop
from pyrunc.ttrpc import codes, frames
from pyrunc.ttrpc.messages.task import (
    TASK,
    TASK_SERVICE,
    ConnectRequest,
    ConnectResponse,
    KillRequest,
    StateRequest,
    StateResponse,
    WaitRequest,
    WaitResponse,
)
from pyrunc.ttrpc.messages.transport import Request, Response
from pyrunc.ttrpc.messages.well_known import Empty
from pyrunc.ttrpc.server import Call, Server


class Served:
    """State answers at once with the id; Wait answers when Kill comes; Connect has a fault; others are missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(512)
        self.loop = Loop()
        self.waits: list[Call] = []
        self.cancelled = 0
        self.server = Server(self.loop, self.listener)
        self.server.register(TASK_SERVICE, TASK, {
            "State": self.state, "Wait": self.wait, "Kill": self.kill, "Connect": self.connect})
        self.ending = os.pipe()
        self.loop.watch(self.ending[0], READ, lambda _: self.loop.stop())
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def close(self) -> None:
        os.write(self.ending[1], b"x")
        self.thread.join(30)
        assert not self.thread.is_alive()
        self.server.close()
        self.listener.close()
        for fd in self.ending:
            os.close(fd)

    def state(self, request: StateRequest, _call: Call) -> Message:
        if request.id == "nobody":
            raise codes.RpcError(codes.NOT_FOUND, "container nobody: not found")
        return StateResponse(id=request.id, bundle="b" * int(request.exec_id or 0))

    def wait(self, _request: WaitRequest, call: Call) -> None:
        call.on_cancel = self.gone
        self.waits.append(call)

    def gone(self) -> None:
        self.cancelled += 1

    def kill(self, request: KillRequest, _call: Call) -> Message:
        for call in self.waits:
            call.answer(WaitResponse(exit_status=request.signal))
        self.waits.clear()
        return Empty()

    def connect(self, _request: ConnectRequest, _call: Call) -> ConnectResponse:
        raise ZeroDivisionError("a fault of ours")


@contextmanager
def served(place: Path) -> Iterator[Served]:
    it = Served(place / "sock")
    try:
        yield it
    finally:
        it.close()


class Raw:
    """A connection that sends and reads bytes, so that it can do wrong."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.reader = frames.Reader()
        self.come: list[tuple[int, int, Any]] = []

    def send(self, stream: int, method: str, message: Message, service: str = TASK_SERVICE, nano: int = 0) -> None:
        data = Request(service=service, method=method, payload=message.encode(), timeout_nano=nano).encode()
        self.socket.sendall(frames.pack(stream, frames.REQUEST, data))

    def response(self) -> tuple[int, Response]:
        """(stream, response) of the next frame."""
        while not self.come:
            data = self.socket.recv(65536)
            assert data, "closed"
            self.come += self.reader.feed(data)
        stream, kind, body = self.come.pop(0)
        assert kind == frames.RESPONSE
        return stream, Response.decode(body)

    def code(self) -> tuple[int, int]:
        """(stream, code) of the next response."""
        stream, response = self.response()
        return stream, response.status.code if response.status else 0

    def closed(self) -> bool:
        """Whether the server has closed, after whatever it still sent."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
