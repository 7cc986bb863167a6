"""The log that engines read: one record an entry, in logrus' JSON or text form, appended to --log or to stderr.

containerd takes the last record of level "error" and needs its time to be RFC 3339; Podman decodes the whole file
as one JSON object. So a failing command writes one record and a successful one none; --debug adds more.
"""
from __future__ import annotations

import posix

from ..errors import UsageError, strerror

STDERR = 2
FORMATS = ("text", "json")


def visible(text: str) -> str:
    """Text for a terminal: what would steer it, end the line or turn the writing around is shown, not done. Parts of an
    error may be of an image (the interpreter that a script names) or of a hook's output."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" if letter < "\u0100"
                   else f"\\u{ord(letter):04x}" for letter in text)


class Log:
    """path "" is stderr. Opening comes first of all: a reason that nobody can read is no reason."""

    def __init__(self, path: str = "", debug: bool = False) -> None:
        self.fd, self.format, self.verbose = STDERR, "text", debug
        #: Standard error is the container's, too, and what is printed there ends in its log; and the log file is one
        #: that Podman reads: no warnings but to a person at a terminal, or with --debug.
        self.shared = False
        if path:
            try:
                self.fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NONBLOCK
                                     | posix.O_NOCTTY | posix.O_CLOEXEC, 0o644)     # a FIFO that nobody reads: ENXIO
            except OSError as fault:
                raise UsageError(f"open {path}: {strerror(fault.errno or 0)}") from None

    def set_format(self, format: str) -> None:
        """One of FORMATS; UsageError otherwise."""
        if format not in FORMATS:
            raise UsageError(f"invalid log-format: {format}")
        self.format = format

    def error(self, message: str) -> None:
        """The one record of a failing command; if it goes to a file, the bare text goes to stderr as well."""
        if self.fd == STDERR and self.format == "text" and posix.isatty(STDERR):
            self._write(STDERR, f"pyrunc: {visible(message)}\n")
            return
        self._write(self.fd, self._record("error", message))
        if self.fd != STDERR:
            self._write(STDERR, visible(message) + "\n")

    def warning(self, message: str) -> None:
        """Something worth knowing although the command goes on."""
        if self.fd == STDERR and self.format == "text" and posix.isatty(STDERR):
            self._write(STDERR, f"pyrunc: warning: {visible(message)}\n")
        elif self.verbose or not self.shared:
            self._write(self.fd, self._record("warning", message))

    def notice(self, message: str) -> None:
        """What somebody has asked to be told, wherever he may look."""
        if self.fd != STDERR:
            self._write(self.fd, self._record("info", message))
        self._write(STDERR, f"pyrunc: {visible(message)}\n")

    def debug(self, message: str) -> None:
        """Only with --debug."""
        if self.verbose:
            self._write(self.fd, self._record("debug", message))

    def _record(self, level: str, message: str) -> str:
        import time

        from ..config.dump import dumps
        from ..rfc3339 import stamp
        now = stamp(time.time_ns())
        if self.format == "json":
            return dumps({"level": level, "msg": message, "time": now}) + "\n"
        return f'time="{now}" level={level} msg={dumps(message)}\n'

    @staticmethod
    def _write(fd: int, text: str) -> None:
        try:
            posix.write(fd, text.encode(errors="backslashreplace"))
        except OSError:      # nobody is left to be told
            pass
