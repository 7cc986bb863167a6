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

from .errors import UsageError, shortened, strerror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STDERR = 2
FORMATS = ("text", "json")
#: Bytes of a message in its record, which stays below 1 KiB: log collectors cut or split what is longer.
LONGEST = 940
#: Records that a log remembers: more than --debug has of one plan.
REMEMBERED = 400


def visible(text: str) -> str:
    """Text for a terminal: what would steer it, end the line or turn the writing around is shown, not done. Parts of an
    error may be of an image (the interpreter that a script names) or of a hook's output."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" if letter < "\u0100"
                   else f"\\u{ord(letter):04x}" for letter in text)


def utf8() -> bool:
    """Whether the terminal takes UTF-8: by the locale, as other programs decide it (locale(7))."""
    for name in (b"LC_ALL", b"LC_CTYPE", b"LANG"):
        value = posix.environ.get(name)
        if value:
            return b"utf" in value.lower()
    return False


def encoded(text: str, fd: int) -> bytes:
    """Text for a descriptor. On a terminal that takes no UTF-8 a letter is shown as its number: a byte of it might be
    an order there, as 0x9b is in every ISO 8859."""
    if text.isascii() or utf8() or not posix.isatty(fd):
        return text.encode(errors="surrogateescape")
    return text.replace("…", "~").encode("ascii", "backslashreplace")


def fitted(message: str) -> str:
    """The message, cut in the middle if its record would be too long: a path or a program's words may be."""
    most = LONGEST
    if len(message) * 6 <= most:             # an escape has at most so many characters
        return message
    from .formats.json_text import dumps
    while len(dumps(cut := shortened(message, most))) > LONGEST:
        most = most * 7 // 8
    return cut


class Log:
    """path "" is stderr. Opening comes first of all: a reason that nobody can read is no reason."""

    def __init__(self, path: str = "", debug: bool = False) -> None:
        self.fd, self.format, self.verbose = STDERR, "text", debug
        #: Warnings wait here (settle) while a command may still fail whose log an engine reads then; None: they do not.
        self.held: list[str] | None = None
        #: The last records, for a report of a failure; and what was told by note(), wherever it went.
        self.written: list[str] = []
        self.noted: list[str] = []
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
        message = fitted(message)
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
        message = fitted(message)
        if self.fd == STDERR and self.format == "text" and posix.isatty(STDERR):
            self._write(STDERR, f"pyrunc: warning: {visible(message)}\n")
        elif self.held is not None and not self.verbose:
            self.held.append(message)
        else:
            self._write(self.fd, self._record("warning", message))

    def note(self, message: str) -> None:
        """A warning for the log file or a person; where standard error is the container's, too, only with --debug."""
        self.noted.append(message)
        if self.fd != STDERR or self.verbose or posix.isatty(STDERR):
            self.warning(message)

    def settle(self) -> None:
        """The command has done what it was called for: its warnings are written, and later ones at once."""
        held, self.held = self.held or [], None
        for warning in held:
            self.warning(warning)

    def notice(self, message: str) -> None:
        """What a user has asked to be told, wherever that user looks."""
        message = fitted(message)
        if self.fd != STDERR:
            self._write(self.fd, self._record("info", message))
        self._write(STDERR, f"pyrunc: {visible(message)}\n")

    def debug(self, message: str) -> None:
        """Only with --debug."""
        if self.verbose:
            self._write(self.fd, self._record("debug", message))

    def _record(self, level: str, message: str, warnings: list[str] | None = None) -> str:
        record = self._as_text(level, message, warnings)
        self.written.append(record)
        del self.written[:-REMEMBERED]
        return record

    def _as_text(self, level: str, message: str, warnings: list[str] | None) -> str:
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
            posix.write(fd, encoded(text, fd) if fd == STDERR else text.encode(errors="backslashreplace"))
        except OSError:      # nobody is left to be told
            pass
