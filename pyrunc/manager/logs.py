"""The log of a container: lines as Kubernetes writes them (`TIME STREAM P|F TEXT`), in files of limited size.

P says that the line goes on in the next one of that stream: it was longer than a piece, or the manager ended meanwhile.
"""
from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..formats.rfc3339 import stamp

#: Bytes of a line before it is cut.
LONGEST = 16 << 10


@dataclass(frozen=True)
class Line:
    """A line of a log. partial: the line goes on in the next one."""
    time: str
    stream: str
    text: bytes
    partial: bool = False


class Writer:
    """Appends to the files of one container."""

    def __init__(self, path: Path, size: int, files: int) -> None:
        self.path, self.size, self.files = path, max(size, 1), max(files, 1)
        self._fd = -1
        self._written = 0
        self._rest: dict[str, bytes] = {}
        self.more: asyncio.Event = asyncio.Event()

    def take(self, stream: str, data: bytes) -> None:
        """What a stream has given."""
        *lines, rest = (self._rest.pop(stream, b"") + data).split(b"\n")
        for line in lines:
            self._line(stream, line, b"F")
        while len(rest) >= LONGEST:
            self._line(stream, rest[:LONGEST], b"P")
            rest = rest[LONGEST:]
        if rest:
            self._rest[stream] = rest
        self._tell()

    def flush(self, tag: bytes = b"F") -> None:
        """What has come without an end of line."""
        for stream, rest in self._rest.items():
            self._line(stream, rest, tag)
        self._rest.clear()
        self._tell()

    def close(self, goes_on: bool = False) -> None:
        """Write no more. goes_on: another manager does, and what has no end of line has it there."""
        self.flush(b"P" if goes_on else b"F")
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _tell(self) -> None:
        self.more.set()
        self.more = asyncio.Event()

    def _line(self, stream: str, text: bytes, tag: bytes) -> None:
        while len(text) > LONGEST:
            self._line(stream, text[:LONGEST], b"P")
            text = text[LONGEST:]
        self._write(b" ".join((stamp(time.time_ns(), 9).encode(), stream.encode(), tag, text)) + b"\n")

    def _write(self, line: bytes) -> None:
        with suppress(OSError):                  # a full disk costs lines, and no container
            if self._fd < 0:
                self._open()
            if self._written and self._written + len(line) > self.size:
                self._turn()
                self._open()
            done = os.write(self._fd, line)
            if done < len(line):                 # half a line is none
                os.ftruncate(self._fd, self._written)
            else:
                self._written += done

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._written = os.fstat(self._fd).st_size

    def _turn(self) -> None:
        os.close(self._fd)
        self._fd = -1
        for number in range(self.files - 1, 0, -1):
            older = self.path if number == 1 else Path(f"{self.path}.{number - 1}")
            with suppress(FileNotFoundError):
                os.rename(older, f"{self.path}.{number}")
        if self.files == 1:
            os.unlink(self.path)


def parse(line: bytes) -> Line:
    """A line of the file."""
    moment, stream, tag, text = line.split(b" ", 3)
    return Line(moment.decode(), stream.decode(), text, tag == b"P")


def files(path: Path) -> list[Path]:
    """The files of a log, the oldest first."""
    older = [found for found in path.parent.glob(f"{path.name}.*") if found.suffix[1:].isdecimal()]
    return [*sorted(older, key=lambda found: -int(found.suffix[1:])), *([path] if path.exists() else [])]


def read(path: Path, tail: int | None = None) -> list[Line]:
    """The lines that are kept, or the last `tail` of them."""
    found: deque[bytes] = deque(maxlen=tail)
    for one in files(path):
        with suppress(FileNotFoundError), open(one, "rb") as file:       # turned meanwhile
            found.extend(line for line in file if line.endswith(b"\n"))
    return [parse(line[:-1]) for line in found]


def each(path: Path, tail: int | None = None) -> Iterator[Line]:
    """The same one by one, for whoever passes them on: a log may be larger than what is to be held."""
    if tail is not None:
        yield from read(path, tail)
        return
    with ExitStack() as opened:
        kept = []
        for one in files(path):                  # all at once: they keep their lines when they are turned meanwhile
            with suppress(FileNotFoundError):
                kept.append(opened.enter_context(open(one, "rb")))
        for file in kept:
            yield from (parse(line[:-1]) for line in file if line.endswith(b"\n"))


async def follow(path: Path, writer: Writer, tail: int | None, ended: asyncio.Future[Any]) -> AsyncIterator[Line]:
    """The lines that are kept, and those to come, until the log has ended."""
    file = None                                  # the oldest comes first
    if tail is not None:
        kept, file = read(path, tail), _open(path)
        if file is not None:
            file.seek(0, os.SEEK_END)
        for line in kept:
            yield line
    while True:
        over, more = ended.done(), writer.more
        while True:
            data = file.readline() if file is not None else b""
            if data.endswith(b"\n"):
                yield parse(data[:-1])
                continue
            fresh = _after(path, file)
            if fresh is None:
                break
            if file is not None:
                file.close()
            file = fresh                         # it was turned
        if over:
            break
        waiting: asyncio.Future[Any] = asyncio.ensure_future(more.wait())
        try:
            await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
    if file is not None:
        file.close()


def _after(path: Path, file: BinaryIO | None) -> BinaryIO | None:
    """The file that follows this one; None while it is the latest. It may have been turned more than once since, and
    when it is no longer kept, the oldest that is follows."""
    inode = os.fstat(file.fileno()).st_ino if file is not None else 0
    with suppress(FileNotFoundError):
        if os.stat(path).st_ino == inode:
            return None
    there = files(path)
    inodes = [os.stat(one).st_ino for one in there]
    at = inodes.index(inode) + 1 if inode in inodes else 0
    return _open(there[at]) if at < len(there) else None


def _open(path: Path) -> BinaryIO | None:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return None
