"""The server on a real socket: order, refusals, time limits, and clients that do wrong."""
from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.ttrpc import codes, frames, server
from pyrunc.ttrpc.messages.task import (
    TASK_SERVICE,
    ConnectRequest,
    KillRequest,
    PidsRequest,
    StateRequest,
    StateResponse,
    WaitRequest,
    WaitResponse,
)
from tests.ttrpc.served import Raw, Served, served


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as it:
        yield it


def until(condition: object) -> None:
    """Wait until a callable says yes."""
    assert callable(condition)
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_answers_come_in_the_order_in_which_they_are_ready(running: Served) -> None:
    with Raw(running.path) as client:
        client.send(1, "Wait", WaitRequest(id="a"))
        client.send(3, "State", StateRequest(id="a"))
        stream, response = client.response()
        assert stream == 3 and StateResponse.decode(response.payload).id == "a"
        client.send(5, "Kill", KillRequest(signal=9))
        stream, response = client.response()
        assert stream == 1 and WaitResponse.decode(response.payload).exit_status == 9
        assert client.code() == (5, 0)


def test_many_calls_in_one_piece_and_one_call_in_many(running: Served) -> None:
    with Raw(running.path) as client:
        for stream in range(1, 2001, 2):
            client.send(stream, "State", StateRequest(id=str(stream)))
        assert [client.code() for _ in range(1000)] == [(stream, 0) for stream in range(1, 2001, 2)]
        data = frames.pack(2001, frames.REQUEST, b"")
        for byte in data:
            client.socket.sendall(bytes([byte]))
        assert client.code() == (2001, codes.UNIMPLEMENTED)


@pytest.mark.parametrize(("method", "service", "said"), [
    ("Nonsense", TASK_SERVICE, "method Nonsense"), ("Pids", TASK_SERVICE, "method Pids"),
    ("State", "other.Service", "service other.Service")])
def test_what_is_not_served_is_unimplemented(running: Served, method: str, service: str, said: str) -> None:
    with Raw(running.path) as client:
        client.send(1, method, PidsRequest(id="a"), service)
        _, response = client.response()
        assert response.status and (response.status.code, response.status.message) == (codes.UNIMPLEMENTED, said)


def test_a_refusal_has_its_code_and_text(running: Served) -> None:
    with Raw(running.path) as client:
        client.send(1, "State", StateRequest(id="nobody"))
        _, response = client.response()
        assert response.status and response.status.code == codes.NOT_FOUND
        assert response.status.message == "container nobody: not found"


def test_a_fault_of_a_handler_fails_its_call_alone(running: Served) -> None:
    with Raw(running.path) as client:
        client.send(1, "Connect", ConnectRequest(id="a"))
        client.send(3, "State", StateRequest(id="a"))
        assert client.code() == (1, codes.INTERNAL)
        assert client.code() == (3, 0)


def test_numbers_of_streams_are_odd_and_grow(running: Served) -> None:
    with Raw(running.path) as client:
        for stream in (2, 5, 5, 3):
            client.send(stream, "State", StateRequest(id="a"))
        assert [client.code() for _ in range(4)] == [
            (2, codes.INVALID_ARGUMENT), (5, 0), (5, codes.INVALID_ARGUMENT), (3, codes.INVALID_ARGUMENT)]


def test_data_without_a_stream_is_refused_and_unknown_types_are_passed_over(running: Served) -> None:
    with Raw(running.path) as client:
        client.socket.sendall(frames.pack(1, frames.DATA, b"x") + frames.pack(1, 77, b"x"))
        client.send(1, "State", StateRequest(id="a"))
        assert [client.code() for _ in range(2)] == [(1, codes.INVALID_ARGUMENT), (1, 0)]


def test_a_time_limit_ends_the_call_and_tells_its_handler(running: Served) -> None:
    with Raw(running.path) as client:
        begun = time.monotonic()
        client.send(1, "Wait", WaitRequest(id="a"), nano=200_000_000)
        assert client.code() == (1, codes.DEADLINE_EXCEEDED)
        assert time.monotonic() - begun >= 0.2
        until(lambda: running.cancelled == 1)
        client.send(3, "Kill", KillRequest(signal=9))           # the answer comes too late and is dropped
        assert client.code() == (3, 0)


@pytest.mark.parametrize("nano", [1, 1 << 62, -1])
def test_any_time_limit(running: Served, nano: int) -> None:
    with Raw(running.path) as client:
        client.send(1, "Wait", WaitRequest(id="a"), nano=nano)
        client.send(3, "State", StateRequest(id="a"))
        answers = [client.code() for _ in range(2 if nano == 1 else 1)]
        assert sorted(answers) == [(1, codes.DEADLINE_EXCEEDED)] * (nano == 1) + [(3, 0)]


def test_a_client_that_leaves_cancels_its_calls(running: Served) -> None:
    with Raw(running.path) as client, Raw(running.path) as other:
        for stream in (1, 3, 5):
            client.send(stream, "Wait", WaitRequest(id="a"))
        other.send(1, "Wait", WaitRequest(id="a"))
        until(lambda: len(running.waits) == 4)
        client.socket.close()
        until(lambda: running.cancelled == 3)
        other.send(3, "Kill", KillRequest(signal=9))
        assert [other.code() for _ in range(2)] == [(1, 0), (3, 0)]


def test_a_message_that_is_too_large_is_refused_and_the_next_one_served(running: Served) -> None:
    with Raw(running.path) as client:
        client.socket.sendall(frames.HEADER.pack(frames.LARGEST + 1, 1, frames.REQUEST, 0))
        client.socket.sendall(bytes(frames.LARGEST + 1))
        client.send(3, "State", StateRequest(id="a"))
        assert [client.code() for _ in range(2)] == [(1, codes.RESOURCE_EXHAUSTED), (3, 0)]


def test_an_answer_that_is_too_large_is_an_error(running: Served) -> None:
    with Raw(running.path) as client:
        client.send(1, "State", StateRequest(id="a", exec_id=str(frames.LARGEST)))
        assert client.code() == (1, codes.RESOURCE_EXHAUSTED)


def test_what_is_no_frame_ends_the_connection_and_no_other(running: Served) -> None:
    with Raw(running.path) as client, Raw(running.path) as other:
        client.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.closed()
        other.send(1, "State", StateRequest(id="a"))
        assert other.code() == (1, 0)


def test_a_client_that_does_not_read_is_cut_off(running: Served) -> None:
    with Raw(running.path) as client, Raw(running.path) as other:
        large = str(1 << 20)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):      # it may be cut off before the last one
            for stream in range(1, 41, 2):
                client.send(stream, "State", StateRequest(id="a", exec_id=large))
        until(lambda: len(running.server.clients) == 1)
        other.send(1, "State", StateRequest(id="a"))
        assert other.code() == (1, 0)


def test_calls_that_wait_have_a_bound(running: Served) -> None:
    with Raw(running.path) as client:
        client.socket.settimeout(60)
        for stream in range(1, 2 * server.PENDING + 1, 2):
            client.send(stream, "Wait", WaitRequest(id="a"))
        client.send(2 * server.PENDING + 1, "Wait", WaitRequest(id="a"))
        assert client.code() == (2 * server.PENDING + 1, codes.RESOURCE_EXHAUSTED)


def test_connections_have_a_bound_and_wait_in_the_queue(running: Served) -> None:
    clients = [Raw(running.path) for _ in range(server.CONNECTIONS + 3)]
    try:
        last = clients[-1]
        last.send(1, "State", StateRequest(id="a"))
        last.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            last.response()
        for client in clients[:5]:
            client.socket.close()
        last.socket.settimeout(20)
        assert last.code() == (1, 0)
    finally:
        for client in clients:
            client.socket.close()


def test_no_descriptor_is_left(running: Served) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        with Raw(running.path) as client:
            client.send(1, "State", StateRequest(id="a"))
            client.code()
    until(lambda: not running.server.clients)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_socket_pair_that_closes_half_is_closed(running: Served) -> None:
    with Raw(running.path) as client:
        client.send(1, "Wait", WaitRequest(id="a"))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.closed()
