"""A program on a terminal of its own: what a user at a keyboard types and sees."""
from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from types import TracebackType

#: Seconds. Under emulation, with other work on the machine, the start of a program may take many.
LONG = 240


class Terminal:
    """Runs argv on a new terminal of so many rows and columns. Use as a context manager."""

    def __init__(self, argv: list[str], rows: int, columns: int) -> None:
        self.argv, self.size = argv, (rows, columns)

    def __enter__(self) -> Terminal:
        self.master, slave = pty.openpty()
        self._set_size()
        self.process = subprocess.Popen(self.argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        env={**os.environ, "TERM": "xterm"})
        os.close(slave)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    def _set_size(self) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", *self.size, 0, 0))

    def resize(self, rows: int, columns: int) -> None:
        self.size = rows, columns
        self._set_size()
        self.process.send_signal(signal.SIGWINCH)

    def write(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read(self, until: str, seconds: float = LONG) -> str:
        """What comes up to this text. AssertionError when it does not come."""
        data, deadline = b"", time.monotonic() + seconds
        while until.encode() not in data:
            left = deadline - time.monotonic()
            assert left > 0, f"{until!r} does not come, only {data!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    data += os.read(self.master, 65536)
                except OSError as error:                # EIO: the program has ended
                    raise AssertionError(f"{until!r} does not come, only {data!r}") from error
        return data.decode(errors="replace")

    def ask(self, command: str, answer: str, seconds: float = LONG) -> None:
        """Type a command into a shell until the answer comes: an engine sizes a terminal some time after the start."""
        deadline = time.monotonic() + seconds
        while True:
            self.write(f"{command}; echo do''ne\n")
            said = self.read("done", seconds)
            if answer in said:
                return
            assert time.monotonic() < deadline, said

    def wait(self, seconds: float = LONG) -> int:
        """The program's exit status."""
        return self.process.wait(seconds)
