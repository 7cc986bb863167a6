"""Descriptors that are read and written in the loop, and the ends that a new process gets."""
from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import UsageError, describe
from .values import File, Input, Log, Null, Output, Pipe

PIECE = 1 << 16


def settle(future: asyncio.Future[None]) -> None:
    """What it stood for has come; again is no error."""
    if not future.done():
        future.set_result(None)


class Reader:
    """Calls `taken` with what a descriptor gives, until its end. Owns the descriptor."""

    def __init__(self, fd: int, taken: Callable[[bytes], None]) -> None:
        self.fd, self._taken = fd, taken
        os.set_blocking(fd, False)
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(fd, self._ready)

    def drain(self, most: int = 1 << 22) -> None:
        """Take what is there, at most so many bytes."""
        while most > 0 and self.fd >= 0 and self._ready():
            most -= PIECE

    def close(self) -> None:
        """Read no more."""
        if self.fd >= 0:
            self._loop.remove_reader(self.fd)
            os.close(self.fd)
            self.fd = -1
        if not self.ended.done():
            self.ended.set_result(None)

    def _ready(self) -> bool:
        try:
            data = os.read(self.fd, PIECE)
        except BlockingIOError:
            return False
        except OSError:                          # EIO: the last one has closed its end of the terminal
            data = b""
        if not data:
            self.close()
            return False
        self._taken(data)
        return True


class Source:
    """A descriptor that is read when a caller asks: whoever writes waits for a slow reader. Owns the descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)
        self._ready: asyncio.Future[None] | None = None

    async def read(self, most: int = PIECE) -> bytes:
        """The next piece; nothing at the end."""
        loop = asyncio.get_running_loop()
        while self.fd >= 0:
            try:
                return os.read(self.fd, most)
            except BlockingIOError:
                self._ready = loop.create_future()
                loop.add_reader(self.fd, settle, self._ready)
                try:
                    await self._ready
                finally:
                    if self.fd >= 0:
                        loop.remove_reader(self.fd)
            except OSError:                      # EIO of a terminal
                break
        return b""

    def close(self) -> None:
        """Read no more; who waits in read() gets the end."""
        if self.fd >= 0:
            asyncio.get_running_loop().remove_reader(self.fd)
            os.close(self.fd)
            self.fd = -1
        if self._ready is not None:
            settle(self._ready)


class Writer:
    """Writes to a descriptor without blocking the loop. Owns the descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)
        self._room: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        """Until all of it is taken. BrokenPipeError when nobody reads it any more."""
        loop, left = asyncio.get_running_loop(), memoryview(data)
        while left:
            if self.fd < 0:
                raise BrokenPipeError
            try:
                left = left[os.write(self.fd, left):]
            except BlockingIOError:
                self._room = loop.create_future()
                loop.add_writer(self.fd, settle, self._room)
                try:
                    await self._room
                finally:
                    if self.fd >= 0:
                        loop.remove_writer(self.fd)

    def close(self) -> None:
        """The reader sees the end, and who waits in write() a BrokenPipeError."""
        if self.fd >= 0:
            asyncio.get_running_loop().remove_writer(self.fd)
            os.close(self.fd)
            self.fd = -1
        if self._room is not None:
            settle(self._room)


def _opened(path: str, flags: int) -> int:
    """A file that a caller has named. UsageError for what cannot be opened, as a FIFO that nobody reads."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK, 0o600)
    except OSError as fault:
        raise UsageError(f"open {describe(fault)}") from None
    os.set_blocking(fd, True)
    return fd


class Ends:
    """The three descriptors for a new process, and our ends of what is a pipe or a fifo of ours.

    theirs   to be given away and then closed by given()
    stdin    where to write, None unless it is a pipe
    outputs  by 1 and 2: where to read
    """

    def __init__(self) -> None:
        self.theirs: list[int] = []
        self.stdin: int = -1
        self.outputs: dict[int, int] = {}

    def input(self, stream: Input) -> None:
        """The next descriptor is an input."""
        if isinstance(stream, Pipe):
            reading, self.stdin = os.pipe2(os.O_CLOEXEC)
            self.theirs.append(reading)
        else:
            path = stream.path if isinstance(stream, File) else os.devnull
            self.theirs.append(_opened(path, os.O_RDONLY))

    def output(self, number: int, stream: Output, fifo: Path | None = None) -> None:
        """The next descriptor is an output. A log is a fifo with a name, so that another manager can read on."""
        if isinstance(stream, Pipe):
            self.outputs[number], writing = os.pipe2(os.O_CLOEXEC)
            self.theirs.append(writing)
        elif isinstance(stream, Log):
            assert fifo is not None
            with suppress(FileExistsError):
                os.mkfifo(fifo, 0o600)
            self.outputs[number] = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            # Read and write: without a manager the fifo still has a reader, so the container blocks and is not killed.
            self.theirs.append(os.open(fifo, os.O_RDWR | os.O_CLOEXEC))
        else:
            path = os.devnull if isinstance(stream, Null) else stream.path
            self.theirs.append(_opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT))

    def given(self) -> None:
        """The new process has its own by now."""
        for fd in self.theirs:
            os.close(fd)
        self.theirs.clear()

    def close(self) -> None:
        """Nothing came of it."""
        self.given()
        for fd in (self.stdin, *self.outputs.values()):
            if fd >= 0:
                os.close(fd)
        self.stdin, self.outputs = -1, {}
