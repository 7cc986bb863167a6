"""The client beside a server of ours, and beside peers that do wrong."""
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrunc.formats.protobuf import Message
from pyrunc.kernel.loop import Loop
from pyrunc.ttrpc import codes, frames
from pyrunc.ttrpc.client import Client, ask, connect, path_of
from pyrunc.ttrpc.codes import RpcError
from pyrunc.ttrpc.messages.task import TASK_SERVICE, KillRequest, StateRequest, StateResponse, WaitRequest, WaitResponse
from pyrunc.ttrpc.messages.transport import Request, Response
from pyrunc.ttrpc.messages.well_known import Empty
from tests.ttrpc.served import Served, served


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as it:
        yield it


def state(path: Path, id: str = "a", timeout: float = 20.0) -> StateResponse:
    answer = ask(f"unix://{path}", TASK_SERVICE, "State", StateRequest(id=id), StateResponse, timeout)
    assert isinstance(answer, StateResponse)
    return answer


def test_ask(running: Served) -> None:
    assert state(running.path, "c1") == StateResponse(id="c1")
    with pytest.raises(RpcError) as refused:
        state(running.path, "nobody")
    assert (refused.value.code, refused.value.message) == (codes.NOT_FOUND, "container nobody: not found")


def test_ask_where_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        state(tmp_path / "none")
    assert missing.value.filename == str(tmp_path / "none")


def test_calls_at_once_are_answered_each_by_its_own(running: Served) -> None:
    loop = Loop()
    client = Client(loop, connect(str(running.path)))
    got: list[tuple[str, Message | None, RpcError | None]] = []

    def noted(name: str) -> Callable[[Message | None, RpcError | None], None]:
        return lambda message, error: got.append((name, message, error))
    client.call(TASK_SERVICE, "Wait", WaitRequest(id="a"), WaitResponse, noted("late"), timeout=0.2)
    client.call(TASK_SERVICE, "Wait", WaitRequest(id="a"), WaitResponse, noted("wait"))
    client.call(TASK_SERVICE, "State", StateRequest(id="x"), StateResponse, noted("state"))
    while len(got) < 2:
        loop.once(1)
    client.call(TASK_SERVICE, "Kill", KillRequest(signal=7), Empty, noted("kill"))
    while len(got) < 4:
        loop.once(1)
    assert [name for name, _, _ in got] == ["state", "late", "wait", "kill"]
    assert got[0][1] == StateResponse(id="x")
    assert got[1][2] is not None and got[1][2].code == codes.DEADLINE_EXCEEDED
    assert got[2][1] == WaitResponse(exit_status=7)
    client.close()


def peer(path: Path, answer: Callable[[socket.socket], None]) -> threading.Thread:
    """A server of one connection that does what `answer` does."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.settimeout(20)
            connection.recv(65536)
            answer(connection)
    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_peer_that_vanishes(tmp_path: Path) -> None:
    thread = peer(tmp_path / "sock", lambda connection: None)
    with pytest.raises(RpcError) as gone:
        state(tmp_path / "sock")
    assert gone.value.code == codes.UNAVAILABLE
    thread.join()


def test_a_peer_that_does_not_answer(tmp_path: Path) -> None:
    thread = peer(tmp_path / "sock", lambda connection: time.sleep(1))
    begun = time.monotonic()
    with pytest.raises(RpcError) as late:
        state(tmp_path / "sock", timeout=0.2)
    assert late.value.code == codes.DEADLINE_EXCEEDED and 0.2 <= time.monotonic() - begun < 1
    thread.join()


@pytest.mark.parametrize(("data", "code"), [
    (frames.pack(1, frames.RESPONSE, b"\xff"), codes.INTERNAL),
    (frames.pack(1, frames.RESPONSE, b"\x12\x01\xff"), codes.INTERNAL),
    (frames.HEADER.pack(frames.LARGEST + 1, 1, frames.RESPONSE, 0), codes.RESOURCE_EXHAUSTED),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", codes.UNAVAILABLE),
])
def test_answers_that_are_none(tmp_path: Path, data: bytes, code: int) -> None:
    thread = peer(tmp_path / "sock", lambda connection: connection.sendall(data))
    with pytest.raises(RpcError) as wrong:
        state(tmp_path / "sock")
    assert wrong.value.code == code
    thread.join()


def test_answers_for_nobody_are_passed_over(tmp_path: Path) -> None:
    answer = frames.pack(1, frames.RESPONSE, Response(payload=StateResponse(id="x").encode()).encode())
    thread = peer(tmp_path / "sock", lambda connection: connection.sendall(
        frames.pack(7, frames.RESPONSE, b"\xff") + frames.pack(1, frames.DATA, b"x") + answer))
    assert state(tmp_path / "sock").id == "x"
    thread.join()


def test_the_request_carries_its_limit_and_metadata(tmp_path: Path) -> None:
    got: list[bytes] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "sock"))
    listener.listen(1)
    client = Client(Loop(), connect(str(tmp_path / "sock")))
    client.call(TASK_SERVICE, "State", StateRequest(), StateResponse, lambda *_: None, 2.5, {"namespace": "k8s.io"})
    with listener, listener.accept()[0] as connection:
        got.append(connection.recv(65536))
    (stream, kind, body), = frames.Reader().feed(got[0])
    assert (stream, kind) == (1, frames.REQUEST) and isinstance(body, bytes)
    request = Request.decode(body)
    assert (request.service, request.method, request.timeout_nano) == (TASK_SERVICE, "State", 2_500_000_000)
    assert [(pair.key, pair.value) for pair in request.metadata] == [("namespace", "k8s.io")]
    client.close()


def test_a_peer_that_hangs(tmp_path: Path) -> None:
    """As a containerd that is stopped: once its queue is full, to connect would block a shim with all of its pod."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen(0)
        waiting = []
        with pytest.raises(BlockingIOError):
            while True:
                waiting.append(connect(str(tmp_path / "sock")))
        assert 0 < len(waiting) < 5
        for one in waiting:
            one.close()


@pytest.mark.parametrize(("address", "path"), [
    ("/run/x.sock", "/run/x.sock"), ("unix:///run/x.sock", "/run/x.sock"), ("unix://@abstract", "\0abstract"),
    ("ttrpc+unix:///run/x", "/run/x")])
def test_addresses(address: str, path: str) -> None:
    assert path_of(address) == path


@pytest.mark.parametrize("address", ["", "unix://", "tcp://127.0.0.1:80", "vsock://3:1", "/" + "x" * 108, "/a\0b"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError):
        path_of(address)
