"""A terminal between a process and its clients: what it prints goes to a FIFO, what a client writes comes from one."""
from __future__ import annotations

import errno
import posix

from ..kernel.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.loop import Loop

CHUNK = 32 << 10
AGAIN = (errno.EAGAIN, errno.EINTR)


class Way:
    """Bytes from one descriptor to another, with at most one chunk between them; neither is ever waited for.

    ended   called once, when the source has no more, after all has been written
    """

    def __init__(self, loop: Loop, source: int, target: int, ended: Callable[[], None]) -> None:
        self.loop, self.source, self.target, self.ended = loop, source, target, ended
        self.held = b""
        self.done = False
        loop.watch(source, READ, lambda _: self._read())

    def stop(self) -> None:
        """Copy no more; what is held is dropped."""
        if not self.done:
            self.done = True
            self.loop.forget(self.source)
            self.loop.forget(self.target)

    def _read(self) -> None:
        try:
            self.held = posix.read(self.source, CHUNK)
        except OSError as fault:
            if fault.errno in AGAIN:
                return
            self.held = b""                        # EIO: the last process at the terminal has ended
        if not self.held:
            self.stop()
            self.ended()
            return
        self._write()

    def _write(self) -> None:
        try:
            self.held = self.held[posix.write(self.target, self.held):]
        except OSError as fault:
            if fault.errno not in AGAIN:
                self.held = b""                    # nobody reads there: what it prints is lost, and it goes on
        if self.held:
            self.loop.forget(self.source)
            self.loop.watch(self.target, WRITE, lambda _: self._write())
        else:
            self.loop.forget(self.target)
            self.loop.watch(self.source, READ, lambda _: self._read())


class Terminal:
    """A console with its ways. Owns all descriptors of kept (stdio.of_terminal) and the console."""

    def __init__(self, loop: Loop, console: int, kept: dict[str, int]) -> None:
        self.console, self.kept = console, dict(kept)
        posix.set_blocking(console, False)
        self.ways: list[Way] = []
        self.input: Way | None = None
        if "stdout" in kept:
            posix.set_blocking(kept["stdout"], False)
            self.output = Way(loop, console, kept["stdout"], self._printed)
            self.ways.append(self.output)
        if "stdin" in kept:
            # The console is read from and written to: the way in has a descriptor of its own to wait for.
            self.kept["console-in"] = posix.dup(console)
            self.input = Way(loop, kept["stdin"], self.kept["console-in"], self._typed)
            self.ways.append(self.input)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the processes at the terminal its size."""
        from ..kernel.linux import Kernel
        Kernel().pty_size(self.console, rows, columns)

    def close_input(self) -> None:
        """No client will write any more: when those that are there have gone, input ends."""
        self._close("stdin-writer")

    def close(self) -> None:
        """Let go of everything."""
        for way in self.ways:
            way.stop()
        for name in list(self.kept):
            self._close(name)
        if self.console >= 0:
            posix.close(self.console)
            self.console = -1

    def _printed(self) -> None:
        self._close("stdout")
        self._close("stdout-reader")

    def _typed(self) -> None:
        self._close("stdin")

    def _close(self, name: str) -> None:
        fd = self.kept.pop(name, -1)
        if fd >= 0:
            posix.close(fd)
