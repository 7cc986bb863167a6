"""Clients that are slow, that vanish, or that are too many."""
from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from pyrunc.manager import Manager
from pyrunc.manager.logs import Line
from pyrunc.serve.api import TURN, _each
from pyrunc.serve.client import Client
from pyrunc.serve.connections import Connections
from tests.manager.conftest import config_of, until


def connected(path: Path, data: bytes = b"") -> socket.socket:
    """A connection on which that was sent."""
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(20)
    one.connect(str(path))
    one.sendall(data)
    return one


async def all_of(one: socket.socket) -> bytes:
    """What comes until the other end is closed."""
    def read() -> bytes:
        parts = []
        with suppress(ConnectionError):
            while piece := one.recv(1 << 16):
                parts.append(piece)
        one.close()
        return b"".join(parts)
    return await asyncio.to_thread(read)


async def test_a_body_that_does_not_come_is_no_fault_of_ours(m: Manager, path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrunc.serve.api.PATIENCE", 0.3)
    one = connected(path, b'POST /v1/containers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n'
                          b'Content-Length: 100\r\n\r\n{"id": ')
    said = await all_of(one)
    assert said.startswith(b"HTTP/1.1 408 ") and json.loads(said.partition(b"\r\n\r\n")[2])["error"]
    assert m.containers() == []


@pytest.mark.parametrize("data", [b"", b"GET /v1/containers HTTP/1.1\r\nHost: x\r\nX-"],
                         ids=["nothing", "half a header"])
async def test_who_says_nothing_is_cut_off(m: Manager, path: Path, c: Client, monkeypatch: pytest.MonkeyPatch,
                                           data: bytes) -> None:
    monkeypatch.setattr("pyrunc.serve.connections.PATIENCE", 0.3)
    assert await c.containers() == []
    assert await all_of(connected(path, data)) == b""
    await asyncio.sleep(0.3)
    assert await c.containers() == []                    # who has asked something is not


async def test_who_takes_nothing_in_is_cut_off(m: Manager, path: Path, c: Client,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """And holds up nobody meanwhile."""
    monkeypatch.setattr("pyrunc.serve.api.PATIENCE", 0.3)
    one = connected(path, b"GET /v1/events?since=0 HTTP/1.1\r\nHost: x\r\n\r\n")
    for number in range(60):
        m.journal.add("pressure", "a", number=number, word="x" * 50000)
        await asyncio.sleep(0)
    await asyncio.sleep(1.0)
    assert len([event async for event in c.events(since=0, follow=0)]) == 60
    said = await all_of(one)
    assert 0 < said.count(b'"number": ') < 110           # two in each event


async def test_who_vanishes_in_a_create_leaves_nothing(m: Manager, path: Path, c: Client, rootfs: Path,
                                                       name: str) -> None:
    hook = {"path": "/bin/sleep", "args": ["sleep", "600"]}
    body = json.dumps({"id": name, "config": config_of(rootfs, hooks={"createRuntime": [hook]})}).encode()
    one = connected(path, b"POST /v1/containers HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await until(lambda: os.path.exists(f"{m.root}/{name}"))
    one.close()
    await until(lambda: m.containers() == [] and os.listdir(m.root) == [])
    assert os.listdir(m.directory.path / "containers") == [] and await c.containers() == []
    await c.create(name, config=config_of(rootfs))       # its name is free


async def test_connections_are_limited(m: Manager, path: Path, c: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrunc.serve.connections.MOST", 10)
    assert await c.containers() == []
    many = []
    for _ in range(30):
        many.append(connected(path))
        await asyncio.sleep(0)                           # else they are all taken in one round of the loop
    cut = 0
    for one in many:
        one.setblocking(False)
        with suppress(BlockingIOError, ConnectionError):
            await asyncio.sleep(0.01)
            cut += one.recv(1) == b""
    assert 15 <= cut <= 22 and await c.containers() == []
    for one in many:
        one.close()
    async with asyncio.timeout(20):
        while True:
            with suppress(OSError):
                async with Client(str(path)) as other:
                    assert await other.containers() == []
                    return
            await asyncio.sleep(0.05)


async def test_a_line_may_be_long(m: Manager, path: Path, c: Client) -> None:
    """As that of the statistics of a thousand containers."""
    m.journal.add("updated", "a", word="x" * 1_000_000)
    assert [len(event["details"]["word"]) async for event in c.events(since=0, follow=0)] == [1_000_000]


class Silent:
    """A server from which everybody has gone before a word was said."""
    connections: tuple[()] = ()

    def __call__(self) -> asyncio.Protocol:
        return asyncio.Protocol()


async def test_who_has_gone_is_forgotten(m: Manager, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrunc.serve.connections.MOST", 10)
    monkeypatch.setattr("pyrunc.serve.connections.COMING", -1.0)
    connections, server = Connections(), Silent()
    for _ in range(100):
        connections.made(server, False)  # type: ignore[arg-type]
        assert len(connections._silent) <= 20


async def test_a_long_log_leaves_turns_to_others(m: Manager, path: Path) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)
    task = asyncio.ensure_future(other())
    lines = [Line("t", "stdout", b"x") for _ in range(1000)]
    assert len([line async for line in _each(lines)]) == 1000
    task.cancel()
    assert 1000 // TURN <= turns <= 2 * 1000 // TURN


async def test_a_stop_outlives_who_asked_for_it(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    deaf = "trap '' TERM; touch /ready; while :; do sleep 0.05; done"
    await c.create(name, config=config_of(rootfs, "sh", "-c", deaf), start=True)
    await until(lambda: (rootfs / "ready").exists())
    body = b'{"grace": 1.0}'
    one = connected(path, b"POST /v1/containers/%s/stop HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                          b"Content-Length: %d\r\n\r\n%s" % (name.encode(), len(body), body))
    await until(lambda: m.get(name).record.asked)
    one.close()
    assert (await m.get(name).wait(30)).signal == 9
