"""More processes in a container: what they print, how they end, and when they take too long."""
from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

import pyrunc
from pyrunc.manager import Manager
from tests.manager.conftest import running, until


async def test_status_and_output(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    result = await container.exec(["sh", "-c", "echo out; echo err >&2; exit 6"])
    assert (result.exit.status, result.stdout, result.stderr, result.timed_out) == (6, b"out\n", b"err\n", False)
    assert (await container.exec(["sh", "-c", "kill -KILL $$"])).exit.signal == 9


async def test_input(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    data = b"line\n" * 50000                         # more than a pipe holds
    result = await container.exec(["wc", "-c"], stdin=data)
    assert result.stdout.split() == [str(len(data)).encode()]


async def test_a_time_limit(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    begun = time.monotonic()
    result = await container.exec(["sh", "-c", "echo early; exec sleep 1000"], timeout=2.0)
    assert result.timed_out and result.exit.signal == 9 and result.stdout == b"early\n"
    assert time.monotonic() - begun >= 2.0
    assert not [one for one in container.top() if "sleep 1000" in one["command"]][1:]


async def test_much_output_is_cut(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    result = await container.exec(["sh", "-c", "seq 100000"], most=1000)
    assert result.exit.status == 0 and len(result.stdout) == 1000 and result.truncated


async def test_streams(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    async with await container.spawn(["cat"]) as process:
        assert process.stdin is not None and process.stdout is not None
        for word in (b"one", b"two"):
            await process.stdin.write(word)
            assert await process.stdout.read() == word
        process.stdin.close()
        assert await process.stdout.read() == b"" and (await process.wait()).status == 0


async def test_a_terminal(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    async with await container.spawn({"args": ["sh", "-c", "tty; read word; stty size; echo got $word"],
                                      "terminal": True}) as process:
        assert process.stdin is not None and process.stdout is not None
        process.resize(33, 77)
        await process.stdin.write(b"hello\n")
        said = b""
        while piece := await process.stdout.read():
            said += piece
        assert b"/dev/pts/" in said and b"33 77" in said and b"got hello" in said
        assert (await process.wait()).status == 0


async def test_many_at_once(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    results = await asyncio.gather(*(container.exec(["sh", "-c", f"echo {n}; exit {n}"]) for n in range(12)))
    assert [(one.exit.status, one.stdout) for one in results] == [(n, f"{n}\n".encode()) for n in range(12)]


async def test_what_cannot_be_run(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    with pytest.raises(pyrunc.PyruncError, match="nothing"):
        await container.exec(["/there/is/nothing"])
    await container.stop(grace=0)
    with pytest.raises(pyrunc.StateError, match="stopped"):
        await container.exec(["true"])


async def test_process_of_its_own(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    result = await container.exec({"args": ["sh", "-c", "id -u; echo $WORD; pwd"], "cwd": "/bin",
                                   "env": ["WORD=x", "PATH=/bin"], "user": {"uid": 7, "gid": 7}})
    assert result.stdout == b"7\nx\n/bin\n"


async def test_top(m: Manager, by: str, rootfs: Path, name: str) -> None:
    """The kernel's figure of resident memory may lag by 64 pages for each CPU, so that of a small process may be 0."""
    container = await running(m, name, rootfs, handler=by)
    async with await container.spawn(["sh", "-c", "x=$(yes | head -c 4000000); sleep 777; echo $x"]) as process:
        await until(lambda: {"sleep 777", "sleep 1000"} <= {one["command"] for one in container.top()})
        resident = {one["command"].split()[0]: one["rss"] for one in container.top()}
        assert resident["sh"] > 3_000_000 and all(rss >= 0 for rss in resident.values()), resident
        process.kill()
        assert (await process.wait()).signal == 9


async def test_nobody_waits_for_an_exec_any_more(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, handler=by)
    task = asyncio.ensure_future(container.exec(["sleep", "888"]))
    async with asyncio.timeout(20):
        while not [one for one in container.top() if one["command"] == "sleep 888"]:
            await asyncio.sleep(0.02)
    task.cancel()
    async with asyncio.timeout(20):
        while [one for one in container.top() if one["command"] == "sleep 888"]:
            await asyncio.sleep(0.02)
