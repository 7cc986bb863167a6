"""The command `runciter` for people: tables on a terminal, and what goes on until it is stopped."""
from __future__ import annotations

import asyncio
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
import tomllib
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

import pyrunc
from pyrunc.manager import Manager
from pyrunc.serve.client import Client
from pyrunc.serve.command import OLDEST, main
from tests import bundles
from tests.bundles import docker_like
from tests.manager.conftest import config_of, until

CLEAR = "\033[H\033[2J"


def command(path: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "pyrunc.serve", "--socket", str(path), *words]


@asynccontextmanager
async def on_a_terminal(path: Path, *words: str) -> AsyncIterator[tuple[Process, list[str]]]:
    """The command on a terminal; what that has shown so far is one growing string in the list."""
    master, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    process = await asyncio.create_subprocess_exec(*command(path, *words), stdin=terminal, stdout=terminal,
                                                   stderr=terminal)
    os.close(terminal)
    os.set_blocking(master, False)
    shown = [""]

    def read() -> None:
        try:
            shown[0] += os.read(master, 1 << 16).decode().replace("\r\n", "\n")
        except BlockingIOError:
            pass
        except OSError:                                  # EIO: the last one has closed it
            loop.remove_reader(master)
    loop = asyncio.get_running_loop()
    loop.add_reader(master, read)
    try:
        yield process, shown
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        loop.remove_reader(master)
        os.close(master)


async def test_tables_on_a_terminal(m: Manager, path: Path, c: Client, rootfs: Path, place: Path, name: str) -> None:
    await c.create(f"{name}-a", config=config_of(rootfs), start=True, restart={"mode": "always"})
    await c.create(f"{name}-b", config=config_of(rootfs, "sh", "-c", "exit 3"), start=True)
    await c.act(f"{name}-b", "wait")
    async with on_a_terminal(path, "ps") as (process, shown):
        assert await process.wait() == 0
        await until(lambda: f"{name}-b" in shown[0])
        head, one, other = shown[0].splitlines()
        assert head.split() == ["ID", "STATUS", "HEALTH", "PID", "RESTARTS", "HANDLER", "AGE"]
        assert one.split()[:6] == [f"{name}-a", "running", "none", str(m.get(f"{name}-a").pid), "0", "pyrunc"]
        assert other.split()[:4] == [f"{name}-b", "stopped", "(status", "3)"]
        assert head.index("STATUS") == one.index("running") == other.index("stopped")
    async with on_a_terminal(path, "top", f"{name}-a") as (process, shown):
        assert await process.wait() == 0
        await until(lambda: "COMMAND" in shown[0] and shown[0].endswith("sleep 1000\n"))
    bundle = bundles.bundle(place / "bundle", docker_like())
    async with on_a_terminal(path, "explain", "--bundle", str(bundle)) as (process, shown):
        assert await process.wait() == 0
        await until(lambda: "mounts.proc" in shown[0])
        assert shown[0].split()[:4] == ["SIDE", "STEP", "WHERE", "WHAT"]


async def test_stats_go_on_by_themselves(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    """On a terminal: a table that is drawn again each second."""
    await c.create(name, config=config_of(rootfs, "sh", "-c", "while :; do :; done"), start=True)
    async with on_a_terminal(path, "stats") as (_, shown):
        await until(lambda: shown[0].count(CLEAR) >= 2 and shown[0].endswith("%\n"))
        first, second = shown[0].split(CLEAR)[-2:]
        assert first.split()[:7] == ["ID", "CPU", "MEMORY", "LIMIT", "PIDS", "CPU", "PSI"]
        row = dict(zip(("id", "cpu", "memory", "limit", "pids"), second.splitlines()[1].split()))
        assert row["id"] == name and row["pids"] == "1" and 1 < float(row["cpu"].rstrip("%")) < 150


async def test_logs_and_events_are_followed(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    script = "echo 1; echo 2 >&2; while ! test -e /go; do sleep 0.05; done; echo 3"
    await c.create(name, config=config_of(rootfs, "sh", "-c", script))
    told = await asyncio.create_subprocess_exec(*command(path, "events", "--since", "0"), stdout=subprocess.PIPE)
    assert told.stdout is not None
    assert json.loads(await told.stdout.readline())["kind"] == "created"
    await c.act(name, "start")
    assert json.loads(await told.stdout.readline())["kind"] == "started"
    log = await asyncio.create_subprocess_exec(*command(path, "logs", "-f", name), stdout=subprocess.PIPE,
                                               stderr=subprocess.PIPE)
    assert log.stdout is not None and log.stderr is not None
    assert (await log.stdout.readline(), await log.stderr.readline()) == (b"1\n", b"2\n")
    (rootfs / "go").touch()
    assert await log.stdout.readline() == b"3\n" and await asyncio.wait_for(log.wait(), 30) == 0
    assert json.loads(await told.stdout.readline())["kind"] == "exited"
    told.terminate()
    await told.wait()
    last = await asyncio.create_subprocess_exec(*command(path, "logs", "--tail", "1", name), stdout=subprocess.PIPE)
    assert (await last.communicate())[0] == b"3\n"


async def test_exec_says_how_it_went(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    await c.create(name, config=config_of(rootfs), start=True)

    async def exec(*words: str) -> tuple[int, bytes, bytes]:
        asking = await asyncio.create_subprocess_exec(*command(path, "exec", *words), stdout=subprocess.PIPE,
                                                      stderr=subprocess.PIPE)
        out, err = await asking.communicate()
        return asking.returncode or 0, out, err
    ended, late, not_run = await asyncio.gather(
        exec(name, "--", "sh", "-c", "echo out; echo err >&2; exit 5"), exec("--timeout", "3", name, "sleep", "600"),
        exec(name, "/there/is/nothing"))
    assert ended == (5, b"out\n", b"err\n")
    assert late == (137, b"", b"runciter: it took longer than 3 s\n")
    assert not_run[0] == 1 and not_run[2].startswith(b"runciter: ") and b"nothing" in not_run[2]
    assert b"Traceback" not in not_run[2]


def test_an_aiohttp_that_is_too_old(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Debian 12 has that."""
    monkeypatch.setattr("aiohttp.__version__", "3.8.4")
    assert main(["serve"]) == 1
    assert capsys.readouterr().err.startswith("runciter: aiohttp 3.8.4 is too old: ")
    wanted = tomllib.loads(Path(pyrunc.__file__).parent.parent.joinpath("pyproject.toml").read_text())
    assert f"aiohttp>={'.'.join(map(str, OLDEST))}" in wanted["project"]["optional-dependencies"]["manager"]


@pytest.mark.parametrize("words", [["serve"], ["ps"], ["events"]])
def test_a_socket_whose_path_is_too_long(words: list[str], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place / ("s" * 120)
    serving = ["--directory", str(place / "manager"), "--root", str(place / "state")] if words == ["serve"] else []
    assert main(["--socket", str(path), *words, *serving]) == 1
    assert capsys.readouterr().err == (f"runciter: the service's socket {path}: the path of a unix socket has at most "
                                       f"107 bytes, this one has {len(str(path))}\n")
    assert not (place / "manager").exists()


async def test_the_service_ends_in_the_middle(m: Manager, path: Path, place: Path) -> None:
    """One that does so in an answer stands for it."""
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"5\r\n")
        writer.close()
    async with await asyncio.start_unix_server(answer, place / "other"):
        one = await asyncio.create_subprocess_exec(*command(place / "other", "logs", "-f", "web"),
                                                   stderr=subprocess.PIPE)
        _, said = await asyncio.wait_for(one.communicate(), 60)
    assert one.returncode == 1 and said.startswith(b"runciter: the service has ended: ") and said.count(b"\n") == 1
