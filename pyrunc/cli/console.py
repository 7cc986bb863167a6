"""The caller's terminal and the container's, joined: what is typed goes one way, what is printed the other."""
from __future__ import annotations

import errno
import posix
import select

from .._native import ffi, lib
from ..errors import UsageError, strerror

STDIN, STDOUT = 0, 1
CHUNK = 4096              # PIPE_BUF: so much can be written to a pipe that is ready, without waiting
TERMIOS = 256             # room for struct termios


def caller_terminal() -> int:
    """The terminal that this command was started at: one of descriptors 2, 1, 0, or else /dev/tty."""
    for fd in (2, 1, 0):
        if posix.isatty(fd):
            return fd
    try:
        return posix.open("/dev/tty", posix.O_RDWR | posix.O_CLOEXEC)
    except OSError as fault:
        raise UsageError(f"a container with a terminal needs a terminal here: open /dev/tty: "
                         f"{strerror(fault.errno or 0)}: set process.terminal to false, or detach with "
                         "--console-socket") from None


class Console:
    """Copies between descriptors 0 and 1 and the master end of the container's terminal.

    The caller's terminal is raw until close(): every key, Ctrl-C included, is the container's. Only what is printed on
    it is worked on as before, since the container's lines end in LF (terminal.receive).
    """

    def __init__(self, master: int) -> None:
        self.master = master
        posix.set_blocking(master, False)
        self.terminal = caller_terminal()
        self.saved = ffi.new("unsigned char[]", TERMIOS)
        self.raw: int = lib.pr_tty_raw(self.terminal, self.saved, TERMIOS)
        self.typed, self.printed = b"", b""
        self.lost: OSError | None = None             # why something that was printed could not be passed on
        self.input_open = self.master_open = True
        self.resize()

    def resize(self) -> None:
        """Give the container's terminal the size of the caller's; without one it keeps its own."""
        rows, columns = ffi.new("unsigned short *"), ffi.new("unsigned short *")
        if lib.pr_pty_get_size(self.terminal, rows, columns) == 0:
            lib.pr_pty_size(self.master, rows[0], columns[0])

    def wanted(self) -> dict[int, int]:
        """What poll(2) shall look for now: {descriptor: events}. What cannot be passed on yet is not read."""
        events: dict[int, int] = {}
        if self.input_open and not self.typed:
            events[STDIN] = select.POLLIN
        if self.printed:
            events[STDOUT] = select.POLLOUT
        if self.master_open:
            master = (0 if self.printed else select.POLLIN) | (select.POLLOUT if self.typed else 0)
            if master:
                events[self.master] = master
        return events

    def copy(self, ready: dict[int, int]) -> None:
        """Move what poll(2) found ready, a chunk each way."""
        if ready.get(STDIN, 0) & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self.typed, self.input_open = self._read(STDIN)
        master = ready.get(self.master, 0)
        if self.typed and master & select.POLLOUT:
            self.typed = self.typed[self._write(self.master, self.typed):]
        if not self.printed and master & (select.POLLIN | select.POLLHUP):
            self.printed, self.master_open = self._read(self.master)
        if self.printed and ready.get(STDOUT, 0):
            self.printed = self.printed[self._write(STDOUT, self.printed):]

    def drain(self) -> None:
        """The init has ended: pass on what it had printed, and wait for nobody."""
        while self.master_open or self.printed:
            if not self.printed:
                self.printed, self.master_open = self._read(self.master)
                if not self.printed:      # closed, or an orphan of the init holds it and says nothing
                    return
            self.printed = self.printed[self._write(STDOUT, self.printed):]

    def close(self) -> None:
        """Give the caller's terminal back as it was."""
        if self.raw > 0:
            lib.pr_tty_restore(self.terminal, self.saved, TERMIOS)
        posix.close(self.master)

    @staticmethod
    def _read(fd: int) -> tuple[bytes, bool]:
        """What there is, and whether more may come."""
        try:
            data = posix.read(fd, CHUNK)
        except BlockingIOError:
            return b"", True
        except OSError as fault:
            if fault.errno == errno.EIO:      # the other end of a terminal is closed
                return b"", False
            raise
        return data, bool(data)

    def _write(self, fd: int, data: bytes) -> int:
        try:
            return posix.write(fd, data[:CHUNK])
        except BlockingIOError:
            return 0
        except OSError as fault:              # the reader is gone: what it does not want is dropped
            if fd == STDOUT and fault.errno not in (errno.EPIPE, errno.EIO):
                self.lost = self.lost or fault
            return len(data)
