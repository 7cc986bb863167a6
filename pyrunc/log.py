"""The log that engines read: one record an entry, in logrus' JSON or text form, appended to --log or to stderr.

Who reads it: containerd takes the last record of level "error" and needs the times to be RFC 3339. Podman decodes the
whole file as one JSON object, but only when the command has failed; if that is no JSON, it takes what conmon has read
of standard error. Both search the text. Where there is no --log (CRI-O), standard error is the container's own, too.

So a command that succeeds writes a record of level "warning" for each; one that fails writes a single record, the
error, in which a member `warnings` has the others; and on standard error nothing but the error's text, in which a
warning's "operation not permitted" would be searched for, too. --debug adds more records.
"""
from __future__ import annotations

import posix

from .errors import UsageError, strerror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
        #: Warnings wait here (settle) while a command may still fail whose log an engine reads then; None: they do not.
        self.held: list[str] | None = None
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
            own = "" if message.startswith("pyrunc") else "pyrunc: "
            self._write(STDERR, f"{own}{visible(message)}\n")
            return
        held, self.held = self.held or [], None
        if self.format == "text" and self.fd != STDERR:
            for warning in held:
                self.warning(warning)
        self._write(self.fd, self._record("error", message, held if self.format == "json" else []))
        if self.fd != STDERR:
            self._write(STDERR, visible(message) + "\n")

    def warning(self, message: str) -> None:
        """Something worth knowing although the command goes on."""
        if self.fd == STDERR and self.format == "text" and posix.isatty(STDERR):
            self._write(STDERR, f"pyrunc: warning: {visible(message)}\n")
        elif self.held is not None and not self.verbose:
            self.held.append(message)
        else:
            self._write(self.fd, self._record("warning", message))

    def note(self, message: str) -> None:
        """A warning for the log file or a person; where standard error is the container's, too, only with --debug."""
        if self.fd != STDERR or self.verbose or posix.isatty(STDERR):
            self.warning(message)

    def settle(self) -> None:
        """The command has done what it was called for: its warnings are written, and later ones at once."""
        held, self.held = self.held or [], None
        for warning in held:
            self.warning(warning)

    def notice(self, message: str) -> None:
        """What somebody has asked to be told, wherever he may look."""
        if self.fd != STDERR:
            self._write(self.fd, self._record("info", message))
        self._write(STDERR, f"pyrunc: {visible(message)}\n")

    def debug(self, message: str) -> None:
        """Only with --debug."""
        if self.verbose:
            self._write(self.fd, self._record("debug", message))

    def _record(self, level: str, message: str, warnings: list[str] | None = None) -> str:
        import time

        from .formats.json_text import dumps
        from .formats.rfc3339 import stamp
        now = stamp(time.time_ns())
        if self.format == "json":
            record: dict[str, Any] = {"level": level, "msg": message, "time": now}
            if warnings:
                record["warnings"] = warnings
            return dumps(record) + "\n"
        return f'time="{now}" level={level} msg={dumps(message)}\n'

    @staticmethod
    def _write(fd: int, text: str) -> None:
        try:
            posix.write(fd, text.encode(errors="backslashreplace"))
        except OSError:      # nobody is left to be told
            pass
