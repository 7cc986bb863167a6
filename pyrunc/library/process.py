"""A process that the library has made: a container's init, or one that exec has put into it."""
from __future__ import annotations

import os
import select
import signal as signals
import time
from types import TracebackType
from typing import IO, Any

from ..errors import StateError, UsageError
from .connection import Connection

#: In place of a descriptor: a pipe whose other end the Process has, or nothing (/dev/null).
PIPE, NOTHING = -1, None
Stream = int | IO[bytes] | None
#: All three: for stdin, stdout and stderr, or one for each of them.
Stdio = Stream | tuple[Stream, Stream, Stream]


class Process:
    """One process in a container. Owns its pidfd and its ends of pipes and terminal; close() or `with` lets them go.

    pid       as the host sees it
    stdin     where to write to it, stdout and stderr where to read from it: of the streams that are PIPE, else None
    terminal  the master end of its terminal, read and written, None without one
    """

    def __init__(self, connection: Connection, pid: int, pidfd: int, streams: Streams, terminal: int) -> None:
        self._connection, self._pidfd, self._generation = connection, pidfd, connection.generation
        self.pid = pid
        self.stdin, self.stdout, self.stderr = streams.ours
        self.terminal: IO[bytes] | None = open(terminal, "r+b", buffering=0) if terminal >= 0 else None
        self._status: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status once it has ended, or minus the signal that killed it.

        timeout  seconds; TimeoutError after them. StateError when nobody can say any more: the keeper ended first.
        """
        if self._status is None:
            begun = time.monotonic()
            end = self._connection.exit_of(self.pid, self._generation, timeout)
            if end is None:
                if not self.ended(None if timeout is None else max(0.0, begun + timeout - time.monotonic())):
                    raise TimeoutError(f"process {self.pid} has not ended within {timeout} s")
                raise StateError(f"the exit status of process {self.pid} is unknown: the keeper ended before it")
            self._status = os.waitstatus_to_exitcode(end[0])
            self._connection.forget(self.pid)
        return self._status

    def ended(self, timeout: float | None = 0.0) -> bool:
        """Whether it has ended, or does within `timeout` seconds; None waits for its end."""
        if self._pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def kill(self, signal: int | str = "KILL") -> None:
        """Send it a signal, by number or name, and to none that gets its pid later. StateError when it has ended."""
        try:
            signals.pidfd_send_signal(self._pidfd, number_of(signal))
        except OSError:
            raise StateError(f"process {self.pid} has ended") from None

    def communicate(self, data: bytes = b"", timeout: float | None = None) -> tuple[bytes, bytes]:
        """Write data to its stdin and close that; read stdout and stderr to their end: what came of each.

        timeout  seconds; TimeoutError after them, and what had come is lost.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        return _exchange(self.stdin, self.stdout, self.stderr, data, deadline)

    def close(self) -> None:
        """Let go of the process; it goes on."""
        for stream in (self.stdin, self.stdout, self.stderr, self.terminal):
            if stream is not None:
                stream.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Process {self.pid}>"


class Streams:
    """Three streams as a caller names them; makes the pipes.

    theirs  the three descriptors for the new process
    ours    our ends of pipes, None where there is none
    """

    def __init__(self, stdin: Stream, stdout: Stream, stderr: Stream) -> None:
        self.ours: list[IO[bytes] | None] = [None, None, None]
        self.theirs: list[int] = []
        self._opened: list[int] = []
        try:
            for number, stream in enumerate((stdin, stdout, stderr)):
                self.theirs.append(self._stream(number, stream))
        except BaseException:
            self.close()
            self.given()
            raise

    def _stream(self, number: int, stream: Stream) -> int:
        if stream is NOTHING:
            fd = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            self._opened.append(fd)
            return fd
        if stream == PIPE:
            reading, writing = os.pipe()
            its, mine = (reading, writing) if number == 0 else (writing, reading)
            self._opened.append(its)
            self.ours[number] = open(mine, "wb" if number == 0 else "rb", buffering=0)
            return its
        return stream if isinstance(stream, int) else stream.fileno()

    def given(self) -> None:
        """The new process has its own by now: close what was opened for it."""
        for fd in self._opened:
            os.close(fd)
        self._opened.clear()

    def close(self) -> None:
        """Close our ends."""
        for stream in self.ours:
            if stream is not None:
                stream.close()


def three(stdio: Stdio, stdin: Stream, stdout: Stream, stderr: Stream) -> tuple[Stream, Stream, Stream]:
    """stdin, stdout and stderr, each as it is given or else as stdio says. UsageError for a stdio of another length."""
    if isinstance(stdio, tuple) and len(stdio) != 3:
        raise UsageError("stdio has three streams: for stdin, stdout and stderr")
    given = stdio if isinstance(stdio, tuple) else (stdio, stdio, stdio)
    return (given[0] if stdin is NOTHING else stdin, given[1] if stdout is NOTHING else stdout,
            given[2] if stderr is NOTHING else stderr)


def number_of(signal: int | str) -> int:
    """A signal's number: 15, "TERM" or "SIGTERM". ValueError for what is none."""
    if isinstance(signal, int):
        return int(signals.Signals(signal)) if signal else 0
    name = signal.upper().removeprefix("SIG")
    try:
        return int(signals.Signals[f"SIG{name}"])
    except KeyError:
        raise ValueError(f"{signal} is no signal") from None


def _exchange(stdin: IO[bytes] | None, stdout: IO[bytes] | None, stderr: IO[bytes] | None, data: bytes,
              deadline: float | None) -> tuple[bytes, bytes]:
    import selectors
    gathered: dict[Any, list[bytes]] = {stream: [] for stream in (stdout, stderr) if stream is not None}
    left = memoryview(data)
    with selectors.DefaultSelector() as selector:
        for stream in gathered:
            selector.register(stream, selectors.EVENT_READ)
        if stdin is not None:
            os.set_blocking(stdin.fileno(), False)
            selector.register(stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            seconds = None if deadline is None else deadline - time.monotonic()
            if seconds is not None and seconds <= 0:
                raise TimeoutError("the process still has its streams open")
            for key, _ in selector.select(seconds):
                stream = key.fileobj
                if stdin is not None and stream is stdin:
                    left = _written(stdin, left)
                    if not left:
                        selector.unregister(stdin)
                        stdin.close()
                elif part := os.read(key.fd, 1 << 16):
                    gathered[stream].append(part)
                else:
                    selector.unregister(stream)
    return b"".join(gathered.get(stdout, ())), b"".join(gathered.get(stderr, ()))


def _written(stream: IO[bytes], data: memoryview) -> memoryview:
    """What is left of data; nothing when the reader has gone."""
    try:
        return data[os.write(stream.fileno(), data):] if data else data
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return data[:0]
