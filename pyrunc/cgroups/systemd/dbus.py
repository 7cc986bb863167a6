"""As much D-Bus as talking to systemd takes: calls and signals over a unix socket, one at a time, with a time limit.

D-Bus specification 0.43: "Authentication Protocol" (EXTERNAL: the kernel tells the server who we are), "Message
Protocol" and "Type System". Little-endian messages are sent, both kinds understood. No file descriptors are passed.
"""
from __future__ import annotations

import errno
import posix
import select
import time
from _struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
#: Header fields: code -> signature of its value.
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY, DESTINATION, SENDER, SIGNATURE = range(1, 9)
FIELD_TYPES = {PATH: "o", INTERFACE: "s", MEMBER: "s", DESTINATION: "s", SIGNATURE: "g"}
#: Basic types of fixed size: struct format and alignment, which is the size.
FIXED = {"y": ("B", 1), "n": ("h", 2), "q": ("H", 2), "i": ("i", 4), "u": ("I", 4), "x": ("q", 8), "t": ("Q", 8),
         "d": ("d", 8), "b": ("I", 4)}
ALIGNMENT = {"s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8, "{": 8,
             **{kind: size for kind, (_, size) in FIXED.items()}}
MESSAGE_LIMIT = 1 << 27              # of the specification
BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


class BusError(Exception):
    """The peer's answer is an error: its name ("org.freedesktop.systemd1.NoSuchUnit") and its text."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        super().__init__(f"{name}: {text}")


def split(signature: str) -> list[str]:
    """The complete types in a signature: "sa(sv)u" -> ["s", "a(sv)", "u"]."""
    types = []
    at = 0
    while at < len(signature):
        end = at
        while signature[end] == "a":
            end += 1
        if signature[end] in "({":
            depth = 0
            while True:
                depth += (signature[end] in "({") - (signature[end] in ")}")
                if not depth:
                    break
                end += 1
        types.append(signature[at:end + 1])
        at = end + 1
    return types


# ---- writing ------------------------------------------------------------------------------------------------------
def pack(signature: str, values: Any, data: bytearray) -> None:
    """Append the values, one for each type of the signature, aligned from the start of data.

    Arrays are lists (of bytes: bytes), structs tuples, dictionaries lists of pairs, variants (signature, value).
    """
    for kind, value in zip(split(signature), values, strict=True):
        _pack(kind, value, data)


def _align(data: bytearray, size: int) -> None:
    data += bytes(-len(data) % size)


def _pack(kind: str, value: Any, data: bytearray) -> None:
    first = kind[0]
    _align(data, ALIGNMENT[first])
    if first in FIXED:
        data += Struct("<" + FIXED[first][0]).pack(value)
    elif first in "so":
        raw = value.encode()
        data += len(raw).to_bytes(4, "little") + raw + b"\0"
    elif first == "g":
        data += bytes((len(value),)) + value.encode() + b"\0"
    elif first == "v":
        _pack("g", value[0], data)
        _pack(value[0], value[1], data)
    elif first == "a":
        at = len(data)
        data += bytes(4)
        _align(data, ALIGNMENT[kind[1]])
        start = len(data)
        if kind == "ay":
            data += value
        else:
            for item in value:
                _pack(kind[1:], item, data)
        data[at:at + 4] = (len(data) - start).to_bytes(4, "little")
    else:
        pack(kind[1:-1], value, data)


# ---- reading ------------------------------------------------------------------------------------------------------
class Reader:
    """Values out of a message; the same shapes as pack() takes, variants without their signature."""

    def __init__(self, data: bytes, big: bool = False, at: int = 0) -> None:
        self.data, self.order, self.at = data, ">" if big else "<", at

    def read(self, signature: str) -> list[Any]:
        """One value for each type of the signature."""
        return [self._read(kind) for kind in split(signature)]

    def _fixed(self, kind: str) -> Any:
        code, size = FIXED[kind]
        self.at += -self.at % size
        (value,) = Struct(self.order + code).unpack_from(self.data, self.at)
        self.at += size
        return bool(value) if kind == "b" else value

    def _text(self, length: int) -> str:
        start = self.at
        self.at += length + 1
        return self.data[start:start + length].decode(errors="replace")

    def _read(self, kind: str) -> Any:
        first = kind[0]
        if first in FIXED:
            return self._fixed(first)
        if first in "so":
            return self._text(self._fixed("u"))
        if first == "g":
            return self._text(self._fixed("y"))
        if first == "v":
            return self._read(self._text(self._fixed("y")))
        if first == "a":
            length = self._fixed("u")
            self.at += -self.at % ALIGNMENT[kind[1]]
            end = self.at + length
            values = []
            while self.at < end:
                values.append(self._read(kind[1:]))
            return values
        self.at += -self.at % 8
        return tuple(self.read(kind[1:-1]))


# ---- the connection -----------------------------------------------------------------------------------------------
class Message:
    """A received message: its type, header fields by number, and the values of its body."""

    def __init__(self, data: bytes) -> None:
        reader = Reader(data, data[:1] == b"B")
        _, self.type, _, _, length, self.serial, fields = reader.read("yyyyuua(yv)")
        self.fields: dict[int, Any] = dict(fields)
        self.body = Reader(data[len(data) - length:], data[:1] == b"B").read(self.fields.get(SIGNATURE, ""))

    def __getitem__(self, field: int) -> Any:
        return self.fields.get(field, "")


class Bus:
    """A connection, authenticated. fd is a connected stream socket; it becomes the Bus's, which closes it.

    direct    the peer itself is at the other end (systemd's private socket): no Hello, no matches
    """

    def __init__(self, fd: int, direct: bool, seconds: float = 30.0) -> None:
        self.fd, self.direct, self.seconds = fd, direct, seconds
        self.serial = 0
        self.received = b""
        self.signals: list[Message] = []
        try:
            self._authenticate()
            if not direct:
                self.call(*BUS, "Hello")
        except (OSError, BusError):
            self.close()
            raise

    def close(self) -> None:
        if self.fd >= 0:
            posix.close(self.fd)
            self.fd = -1

    def _authenticate(self) -> None:
        # All at once: the answers are OK and nothing else when the kernel's word for us is enough. (The empty DATA
        # stands for "whoever SO_PEERCRED says"; a uid would be wrong in a user namespace.)
        self._send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
        end = time.monotonic() + self.seconds
        for expected in (b"DATA", b"OK"):
            while b"\r\n" not in self.received:
                self._receive(end, "authentication")
            line, _, self.received = self.received.partition(b"\r\n")
            if not line.startswith(expected):
                raise OSError(errno.EACCES, posix.strerror(errno.EACCES), "D-Bus authentication")

    def _send(self, data: bytes) -> None:
        while data:
            data = data[posix.write(self.fd, data):]

    def _receive(self, end: float, doing: str) -> None:
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        left = end - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise OSError(errno.ETIMEDOUT, posix.strerror(errno.ETIMEDOUT), f"{doing}: no answer in {self.seconds:g} s")
        data = posix.read(self.fd, 65536)
        if not data:
            raise OSError(errno.ECONNRESET, posix.strerror(errno.ECONNRESET), doing)
        self.received += data

    def _next(self, end: float, doing: str) -> Message:
        """The next message that comes in."""
        while len(self.received) < 16:
            self._receive(end, doing)
        # yyyyuu, then the array of fields, padded to 8, then the body.
        order: Any = "big" if self.received[:1] == b"B" else "little"
        fields = int.from_bytes(self.received[12:16], order)
        size = 16 + fields + -fields % 8 + int.from_bytes(self.received[4:8], order)
        if size > MESSAGE_LIMIT:
            raise OSError(errno.EBADMSG, posix.strerror(errno.EBADMSG), doing)
        while len(self.received) < size:
            self._receive(end, doing)
        data, self.received = self.received[:size], self.received[size:]
        return Message(data)

    def call(self, destination: str, path: str, interface: str, member: str, signature: str = "",
             *values: Any) -> list[Any]:
        """Call a method and wait for the values it returns. Raises BusError or OSError (ETIMEDOUT)."""
        self.serial += 1
        body = bytearray()
        pack(signature, values, body)
        fields = {PATH: path, INTERFACE: interface, MEMBER: member}
        if not self.direct:
            fields[DESTINATION] = destination
        if signature:
            fields[SIGNATURE] = signature
        message = bytearray()
        pack("yyyyuua(yv)", (ord("l"), CALL, 0, 1, len(body), self.serial,
                             [(code, (FIELD_TYPES[code], value)) for code, value in fields.items()]), message)
        _align(message, 8)
        self._send(bytes(message + body))
        end = time.monotonic() + self.seconds
        while True:
            answer = self._next(end, member)
            if answer.type == SIGNAL:
                self.signals.append(answer)
            elif answer.type in (RETURN, ERROR) and answer[REPLY] == self.serial:
                if answer.type == ERROR:
                    raise BusError(answer[ERROR_NAME], str(answer.body[0]) if answer.body else "")
                return answer.body

    def match(self, interface: str, member: str) -> None:
        """Ask the bus for a signal; a direct peer sends all of them."""
        if not self.direct:
            self.call(*BUS, "AddMatch", "s", f"type='signal',interface='{interface}',member='{member}'")

    def wait_signal(self, interface: str, member: str, wanted: Callable[[list[Any]], bool]) -> list[Any]:
        """The body of the first signal, also of those that came during calls, that is wanted."""
        end = time.monotonic() + self.seconds
        while True:
            message = self.signals.pop(0) if self.signals else self._next(end, member)
            if message.type == SIGNAL and (message[INTERFACE], message[MEMBER]) == (interface, member) \
                    and wanted(message.body):
                return message.body
