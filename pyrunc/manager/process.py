"""A process that exec has put into a container: its streams, its end."""
from __future__ import annotations

import asyncio
import fcntl
import os
import signal as signals
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ..errors import StateError
from .handlers import Made
from .lost import exit_of
from .streams import Ends, Reader, Source, Writer
from .values import Exit, number_of

#: Seconds in which what a process has written is read, after its end, while another one still holds the streams.
LINGER = 1.0


class Process:
    """Owns its pidfd and our ends of its streams; close() or `async with` lets them go, and the process goes on.

    taken            called with (1 or 2, bytes) as output comes; without it there are
    stdout, stderr   to read from, and
    stdin            to write to, each None unless it is a pipe or the terminal
    """

    def __init__(self, made: Made, ends: Ends, taken: Callable[[int, bytes], None] | None = None) -> None:
        self.pid, self._pidfd, self._end = made.pid, made.pidfd, made.end
        self._terminal = made.terminal
        self._readers: list[Reader] = []
        self.stdout: Source | None = None
        self.stderr: Source | None = None
        given = {1: os.dup(made.terminal)} if made.terminal >= 0 else ends.outputs
        if taken is not None:
            self._readers = [Reader(fd, partial(taken, number))
                             for number, fd in given.items()]
        else:
            self.stdout, self.stderr = (Source(given[number]) if number in given else None for number in (1, 2))
        self.stdin = Writer(made.terminal) if made.terminal >= 0 else Writer(ends.stdin) if ends.stdin >= 0 else None
        self._exit: Exit | None = None

    async def wait(self) -> Exit:
        """Its end. Any number of callers may wait."""
        if self._exit is None:
            end = await asyncio.shield(self._end)
            self._exit = Exit.of(end[0], end[1] / 1e9) if end is not None else await exit_of(self._pidfd)
        return self._exit

    async def finished(self) -> Exit:
        """Its end, when its output has been read, too."""
        exit = await self.wait()
        if self._readers:
            await asyncio.wait([reader.ended for reader in self._readers], timeout=LINGER)
        for reader in self._readers:
            reader.drain()
            reader.close()
        return exit

    def kill(self, signal: int | str = "KILL") -> None:
        """Send it a signal, and to none that gets its pid later. StateError when it has ended."""
        try:
            signals.pidfd_send_signal(self._pidfd, number_of(signal))
        except OSError:
            raise StateError(f"process {self.pid} has ended") from None

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size. StateError without a terminal."""
        resize(self._terminal, rows, columns)

    def close(self) -> None:
        """Let go of it; again is no error."""
        for reader in (*self._readers, self.stdout, self.stderr):
            if reader is not None:
                reader.close()
        if self.stdin is not None:
            self.stdin.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    async def __aenter__(self) -> Process:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


def resize(terminal: int, rows: int, columns: int) -> None:
    """Set the size of a terminal. StateError where there is none (any more)."""
    if terminal < 0:
        raise StateError("the process has no terminal")
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    except OSError:
        raise StateError("the terminal is closed") from None


async def feed(process: Process, data: bytes) -> None:
    """Write data to its stdin and close that. A process that does not read is no error."""
    if process.stdin is not None:
        with suppress(OSError):                  # EPIPE, or EIO of a terminal
            await process.stdin.write(data)
        process.stdin.close()
