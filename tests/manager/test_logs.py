"""What a container prints: lines with time and stream, in files of limited size; pipes, files and terminals."""
from __future__ import annotations

import asyncio
import os
import re
import resource
from pathlib import Path

import pytest

from pyrunc.manager import File, Log, Manager, Null, Pipe, Stdio
from pyrunc.manager.logs import LONGEST, Writer, each, files, follow, parse, read
from pyrunc.manager.streams import Source, settle
from pyrunc.manager.streams import Writer as Feeder
from tests.manager.conftest import config_of, remove_all, running, until


async def test_lines_with_their_streams(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "sh", "-c", "echo one; echo two >&2; printf three", handler=by)
    await container.wait(20)
    lines = container.logs()
    assert sorted((line.stream, line.text) for line in lines) == [
        ("stderr", b"two"), ("stdout", b"one"), ("stdout", b"three")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", line.time) for line in lines)
    assert [line.text for line in container.logs(tail=1)] == [lines[-1].text]


async def test_followed_while_they_come(m: Manager, by: str, rootfs: Path, name: str) -> None:
    script = "echo 1; while ! test -e /go; do sleep 0.05; done; echo 2; echo 3"
    container = await running(m, name, rootfs, "sh", "-c", script, handler=by)
    seen = []
    async with asyncio.timeout(60):
        async for line in container.follow():
            seen.append(line.text)
            if line.text == b"1":
                (rootfs / "go").touch()
    assert seen == [b"1", b"2", b"3"]


async def test_nothing_is_lost_at_an_end_at_once(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "seq", "1", "3000", handler=by)
    await container.wait(20)
    assert [int(line.text) for line in container.logs()] == list(range(1, 3001))


async def test_a_line_in_whose_middle_a_manager_ends(places: tuple[str, Path], rootfs: Path, name: str) -> None:
    """It goes on with the next one, and says so."""
    script = "printf half; while ! test -e /go; do sleep 0.05; done; echo ' a line'"
    async with Manager(*places) as one:
        container = await running(one, name, rootfs, "sh", "-c", script)
        await until(lambda: container.writer is not None and container.writer._rest)
    async with Manager(*places) as two:
        (rootfs / "go").touch()
        await two.get(name).wait(20)
        assert [(line.text, line.partial) for line in two.get(name).logs()] == [(b"half", True), (b" a line", False)]
        await remove_all(two)


async def test_limited_in_size(m: Manager, of: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "seq", "1", "2000", handler=of,
                              stdio=Stdio(stdout=Log(size=10000, files=3)))
    await container.wait(20)
    found = files(m.directory.of(name) / "log")
    assert len(found) == 3 and all(one.stat().st_size <= 10000 for one in found)
    numbers = [int(line.text) for line in container.logs()]
    assert numbers == list(range(numbers[0], 2001)) and len(numbers) > 300
    assert all(one.stat().st_mode & 0o777 == 0o600 for one in found)


async def test_pipes(m: Manager, by: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "cat", handler=by, stdio=Stdio(Pipe(), Pipe(), Null()))
    assert container.stdin is not None and container.stdout is not None
    await container.stdin.write(b"through")
    assert await container.stdout.read() == b"through"
    container.stdin.close()
    assert await container.stdout.read() == b"" and (await container.wait(20)).status == 0


async def test_files(m: Manager, by: str, rootfs: Path, place: Path, name: str) -> None:
    (place / "in").write_text("from a file")
    out = place / "out"
    container = await running(m, name, rootfs, "cat", handler=by,
                              stdio=Stdio(File(str(place / "in")), File(str(out)), Null()))
    await container.wait(20)
    assert out.read_text() == "from a file"


async def test_a_terminal(m: Manager, by: str, rootfs: Path, name: str) -> None:
    config = config_of(rootfs, "sh", "-c", "tty; read word; stty size; echo got $word", process={"terminal": True})
    container = await running(m, name, rootfs, config=config, handler=by)
    container.resize(40, 90)
    assert container.stdin is not None
    await container.stdin.write(b"hello\n")
    await container.wait(20)
    said = [line.text.rstrip(b"\r") for line in container.logs()]
    assert {b"/dev/console", b"/dev/pts/0"} & set(said) and b"40 90" in said and b"got hello" in said


async def test_a_slow_reader_holds_up_only_its_container(m: Manager, rootfs: Path, name: str) -> None:
    loud = await running(m, f"{name}-a", rootfs, "seq", "1", "100000", stdio=Stdio(stdout=Pipe(), stderr=Null()))
    quiet = await running(m, f"{name}-b", rootfs, "echo", "hello")
    assert (await quiet.wait(20)).status == 0 and loud.status == "running"
    assert loud.stdout is not None
    parts = []
    while piece := await loud.stdout.read():
        parts.append(piece)
    assert b"".join(parts).endswith(b"\n100000\n") and (await loud.wait(20)).status == 0


async def test_a_long_line_is_cut(place: Path) -> None:
    writer = Writer(place / "log", 1 << 20, 2)
    writer.take("stdout", b"x" * (LONGEST + 5))
    writer.take("stdout", b"y\nshort\n")
    writer.close()
    lines = read(place / "log")
    assert [(len(line.text), line.partial) for line in lines] == [(LONGEST, True), (6, False), (5, False)]


async def test_any_bytes(place: Path) -> None:
    writer = Writer(place / "log", 1 << 20, 2)
    writer.take("stderr", b"\xff\0 \r\t\n\n  \n")
    writer.close()
    assert [line.text for line in read(place / "log")] == [b"\xff\0 \r\t", b"", b"  "]
    assert parse((place / "log").read_bytes().split(b"\n")[0]).stream == "stderr"


async def test_the_log_of_a_deleted_container_is_gone(m: Manager, of: str, rootfs: Path, name: str) -> None:
    container = await running(m, name, rootfs, "echo", "x", handler=of)
    await container.wait(20)
    await container.delete()
    await until(lambda: not os.path.exists(m.directory.of(name)))


async def test_a_reader_misses_no_file(place: Path) -> None:
    """The log is turned more than once between two looks of a reader."""
    writer, got = Writer(place / "log", 100, 5), list[int]()
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def reading() -> None:
        async for line in follow(place / "log", writer, None, ended):
            got.append(int(line.text))
    writer.take("stdout", b"0\n")
    task = asyncio.ensure_future(reading())
    await until(lambda: got == [0])
    writer.take("stdout", b"".join(b"%d\n" % number for number in range(1, 8)))
    assert len(files(place / "log")) == 4
    settle(ended)
    await task
    assert got == list(range(8))


async def test_a_full_disk_costs_whole_lines(place: Path) -> None:
    writer = Writer(place / "log", 1 << 20, 1)
    writer.take("stdout", b"one\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((place / "log").stat().st_size + 20, hard))
    try:
        writer.take("stdout", b"two\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.take("stdout", b"three\n")
    assert [line.text for line in read(place / "log")] == [b"one", b"three"]
    Writer(place / "none/log", 100, 1).take("stdout", b"x\n")     # no file can be made


async def test_who_waits_at_a_stream_that_is_closed() -> None:
    ends = [*os.pipe(), *os.pipe()]
    source, feeder = Source(ends[0]), Feeder(ends[3])
    reading, writing = asyncio.ensure_future(source.read()), asyncio.ensure_future(feeder.write(bytes(1 << 20)))
    await asyncio.sleep(0.01)
    source.close()
    feeder.close()
    assert await asyncio.wait_for(reading, 20) == b""
    with pytest.raises(BrokenPipeError):
        await asyncio.wait_for(writing, 20)
    for fd in ends[1:3]:
        os.close(fd)


async def test_lines_one_by_one(place: Path) -> None:
    """Of more than is held, and while the log is turned."""
    writer = Writer(place / "log", 100, 5)
    writer.take("stdout", b"".join(b"%d\n" % number for number in range(6)))
    lines = each(place / "log")
    assert next(lines).text == b"0"
    writer.take("stdout", b"".join(b"%d\n" % number for number in range(6, 30)))
    got = [int(line.text) for line in lines]
    assert got[:5] == [1, 2, 3, 4, 5] and got == list(range(1, len(got) + 1))
    assert [int(line.text) for line in each(place / "log", 2)] == [28, 29]
    assert list(each(place / "none")) == []
