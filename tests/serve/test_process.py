"""The service as a process: it ends when asked, is killed, is started by systemd's socket, and containers go on."""
from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.manager.conftest import config_of, end_keeper, rootfs

__all__ = ["rootfs"]


@pytest.fixture
def places(private_world: None, place: Path) -> Iterator[list[str]]:
    """Arguments of `serve`."""
    yield ["--root", str(place / "state"), "--directory", str(place / "manager")]
    end_keeper(place / "manager")


@asynccontextmanager
async def serving(path: Path, words: list[str], prefix: tuple[str, ...] = (), **options: Any) -> Any:
    """A service that answers, and a client of it."""
    from pyrunc.serve.client import Client
    log = path.parent.parent / "log"
    with open(log, "ab") as file:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "pyrunc.serve", "--socket", str(path), "serve", *words],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options)
    try:
        async with Client(str(path)) as client:
            async with asyncio.timeout(30):
                while True:
                    try:
                        await client.call("GET", "/v1/info")
                        break
                    except OSError:
                        assert process.poll() is None, log.read_text()
                        await asyncio.sleep(0.02)
            yield process, client
    finally:
        process.kill()
        process.wait()


def test_killed_and_started_again(places: list[str], place: Path, rootfs: Path, name: str) -> None:
    async def scenario() -> None:
        path = place / "http/socket"
        script = "while ! test -e /go; do sleep 0.05; done; exit 17"
        async with serving(path, places) as (process, client):
            await client.create(name, config=config_of(rootfs, "sh", "-c", script), start=True, labels={"a": "b"})
            process.send_signal(signal.SIGKILL)
            process.wait()
        (rootfs / "go").touch()
        async with serving(path, places) as (process, client):
            assert (await client.act(name, "wait"))["status"] == 17
            assert (await client.inspect(name))["labels"] == {"a": "b"}
            kinds = [event["kind"] async for event in client.events(since=0, follow=0)]
            assert kinds == ["created", "started", "exited"]
            await client.delete(name)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        log = (place / "log").read_text()
        assert "POST /v1/containers: 201" in log and f"uid={os.geteuid()}" in log and "Traceback" not in log
    asyncio.run(scenario())


def test_systemd_opens_the_socket_and_is_told(places: list[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        path = place / "activated"
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            listener.bind(str(path))
            listener.listen(8)
            told.bind(str(place / "notify"))
            script = ("import os, sys; os.dup2(int(sys.argv[1]), 3);"
                      "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
                      "os.execv(sys.argv[2], sys.argv[2:])")
            prefix = (sys.executable, "-c", script, str(listener.fileno()))
            (place / "log-folder").mkdir()
            environment = {**os.environ, "NOTIFY_SOCKET": str(place / "notify")}
            async with serving(place / "log-folder/../activated", places, prefix, env=environment,
                               pass_fds=(listener.fileno(),)) as (process, client):
                assert (await client.call("GET", "/v1/info"))["containers"] == 0
                assert told.recv(100) == b"READY=1"
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0 and told.recv(100) == b"STOPPING=1"
    asyncio.run(scenario())
