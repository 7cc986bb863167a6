"""Protocol buffers: what CRIU and containerd speak, without the protobuf package, whose import takes 60 ms.

A message on the wire is a row of fields, each with its number and a wire type: 0, a varint, for the integers, bool and
enum; 1, eight bytes, for double; 2, a length and as many bytes, for string, bytes and message
(https://protobuf.dev/programming-guides/encoding/). Two ways to use it: `encode` and `decode` for fields by number,
and `Message` for classes that ttrpc/generate.py has written.
"""
from __future__ import annotations

import _struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, ClassVar, Self
    from typing import dataclass_transform as dataclass_transform

    Value = int | str | bytes

    @dataclass_transform(kw_only_default=True)
    class _Fields:
        """What subclasses declare as annotations is given as keywords."""
else:
    _Fields = object

VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5
#: Wire types that a receiver may have to skip: the bytes that follow.
FIXED = {EIGHT: 8, FOUR: 4}
LARGEST_FIELD = (1 << 29) - 1
_DOUBLE = _struct.Struct("<d")
ZERO = bytes(8)
_ONE_BYTE = tuple(bytes((number,)) for number in range(128))

# The kinds of a field that Message.FIELDS may name besides a message's class.
UINT32, UINT64, INT32, INT64, BOOL, DOUBLE, STRING, BYTES = range(8)
NO_FIELD = "", None
_DEFAULTS = {UINT32: 0, UINT64: 0, INT32: 0, INT64: 0, BOOL: False, DOUBLE: 0.0, STRING: "", BYTES: b""}


# ---- fields by number ---------------------------------------------------------------------------------------------
def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number is its 64-bit two's complement."""
    if 0 <= number < 128:                                 # tags and lengths, nearly always
        return _ONE_BYTE[number]
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(given: Iterable[tuple[int, Value]]) -> bytes:
    """A message of (field number, value); a number that comes several times is a repeated field."""
    out = bytearray()
    for number, value in given:
        if isinstance(value, int):
            out += varint(number << 3 | VARINT) + varint(value)
        else:
            data = value.encode(errors="surrogateescape") if isinstance(value, str) else value
            out += _sized(number, data)
    return bytes(out)


def decode(data: bytes) -> dict[int, int | bytes]:
    """{field number: value}, the last one of each. ValueError for what is no message."""
    return {number: value for number, _, value in fields(data)}


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """The (field number, wire type, value) of a message in its order. ValueError if it is none."""
    at, end = 0, len(data)
    while at < end:
        key, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at)
        number, wire = key >> 3, key & 7
        if not 0 < number <= LARGEST_FIELD:
            raise ValueError(f"field number {number}")
        if wire in (LENGTH, VARINT):
            value, at = (data[at], at + 1) if at < end and data[at] < 0x80 else _varint(data, at)
            if wire == VARINT:
                yield number, wire, value
                continue
        elif wire in FIXED:
            value = FIXED[wire]
        else:
            raise ValueError(f"wire type {wire}")
        if value > end - at:
            raise ValueError("a field longer than its message")
        yield number, wire, data[at:at + value]
        at += value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        number |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return number & (1 << 64) - 1, at
    raise ValueError("a number that does not end")


def _sized(number: int, data: bytes) -> bytes:
    return varint(number << 3 | LENGTH) + varint(len(data)) + data


# ---- messages -----------------------------------------------------------------------------------------------------
class Message(_Fields):
    """A message by its fields' names. Subclasses are generated; they declare their fields as annotations.

    TYPE      the full name, as an Any's type_url has it
    FIELDS    {number: (name, kind)}; a kind is one of the constants above or a message's class, [kind] for a repeated
              field, {key kind: value kind} for a map, (kind,) for one whose absence is told from its default (None)

    A field that was not given has its default, by the class. Unknown fields are dropped.
    """
    TYPE: ClassVar[str] = ""
    FIELDS: ClassVar[dict[int, tuple[str, Any]]] = {}

    if not TYPE_CHECKING:
        def __init__(self, **given: Any) -> None:
            self.__dict__.update(given)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(
            getattr(self, name) == getattr(other, name) for name, _ in self.FIELDS.values())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({shown})"

    def encode(self) -> bytes:
        """The message on the wire, fields by number. ValueError for a value that its field cannot hold."""
        given = self.__dict__
        parts = []
        for number, (name, kind) in self.FIELDS.items():
            if name in given:
                value = given[name]
                if kind is STRING:                                           # most of all fields
                    if value:
                        parts.append(_sized(number, value.encode()))
                else:
                    parts.append(_field(number, kind, value))
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The message that data holds. ValueError for what is none."""
        message = cls()
        message.merge(data)
        return message

    def merge(self, data: bytes) -> None:
        """Add what data holds, as the encoding has it: the last of a scalar counts, repeated fields go on."""
        held = self.__dict__
        known = self.FIELDS
        for number, wire, raw in fields(data):
            name, kind = known.get(number, NO_FIELD)
            if wire == LENGTH and (kind is STRING or kind is BYTES):         # most of all fields
                held[name] = raw.decode() if kind is STRING else raw  # type: ignore[union-attr]
            elif name and wire in _wires(kind):           # another wire type is an unknown field
                held[name] = _merged(kind, held.get(name), wire, raw)


def _field(number: int, kind: Any, value: Any) -> bytes:
    """One field of any kind on the wire, b"" where the value is the default."""
    if value is None:
        return b""
    if type(kind) is list:
        return _repeated(number, kind[0], value)
    if type(kind) is dict:
        (key_kind, value_kind), = kind.items()
        return b"".join(_sized(number, _single(1, key_kind, key) + _single(2, value_kind, item))
                        for key, item in value.items())
    if type(kind) is tuple:
        return _single(number, kind[0], value)
    if kind is DOUBLE:                                    # -0.0 is not the default
        return b"" if _DOUBLE.pack(value) == ZERO else _single(number, kind, value)
    if type(kind) is int and not value:
        return b""
    return _single(number, kind, value)


def _repeated(number: int, kind: Any, values: Any) -> bytes:
    if kind in (STRING, BYTES) or type(kind) is not int:
        return b"".join(_single(number, kind, value) for value in values)
    packed = b"".join(_scalar(kind, value) for value in values)
    return _sized(number, packed) if packed else b""


def _single(number: int, kind: Any, value: Any) -> bytes:
    if kind is STRING:
        return _sized(number, value.encode())
    if kind is BYTES:
        return _sized(number, value)
    if type(kind) is not int:
        return _sized(number, value.encode())
    return varint(number << 3 | (EIGHT if kind is DOUBLE else VARINT)) + _scalar(kind, value)


#: What each integer may hold.
_RANGES = {UINT32: (0, 1 << 32), UINT64: (0, 1 << 64), INT32: (-1 << 31, 1 << 31), INT64: (-1 << 63, 1 << 63),
           BOOL: (0, 2)}


def _scalar(kind: int, value: Any) -> bytes:
    if kind is DOUBLE:
        return _DOUBLE.pack(value)
    least, beyond = _RANGES[kind]
    if not least <= value < beyond:
        raise ValueError(f"{value} is out of range")
    return varint(value)


def _wires(kind: Any) -> tuple[int, ...]:
    """The wire types in which a field of this kind may come."""
    if type(kind) is tuple:
        kind = kind[0]
    repeated = type(kind) is list
    if repeated:
        kind = kind[0]
    if type(kind) is not int or kind in (STRING, BYTES):
        return (LENGTH,)
    return (EIGHT if kind is DOUBLE else VARINT, LENGTH) if repeated else (EIGHT if kind is DOUBLE else VARINT,)


def _merged(kind: Any, held: Any, wire: int, raw: Any) -> Any:
    """The value of a field that held `held` (None: nothing) before raw came."""
    if type(kind) is list:
        items = [] if held is None else held
        if wire == LENGTH and type(kind[0]) is int and kind[0] not in (STRING, BYTES):
            items.extend(_packed(kind[0], raw))
        else:
            items.append(_read(kind[0], raw))
        return items
    if type(kind) is dict:
        entries = {} if held is None else held
        key, value = _entry(kind, raw)
        entries[key] = value
        return entries
    if type(kind) is tuple:
        return _read(kind[0], raw)
    if type(kind) is not int and held is not None:
        held.merge(raw)
        return held
    return _read(kind, raw)


def _entry(kind: dict[int, Any], raw: bytes) -> tuple[Any, Any]:
    """One entry of a map: a message with a key, 1, and a value, 2; what is not there is the default."""
    (key_kind, value_kind), = kind.items()
    key = _DEFAULTS[key_kind]
    value: Any = _DEFAULTS[value_kind] if type(value_kind) is int else value_kind()
    for number, wire, part in fields(raw):
        if number == 1 and wire in _wires(key_kind):
            key = _read(key_kind, part)
        elif number == 2 and wire in _wires(value_kind):
            value = _read(value_kind, part)
    return key, value


def _packed(kind: int, raw: bytes) -> Iterator[Any]:
    if kind is DOUBLE:
        if len(raw) % 8:
            raise ValueError("a row of doubles that ends within one")
        yield from (_DOUBLE.unpack_from(raw, at)[0] for at in range(0, len(raw), 8))
        return
    at = 0
    while at < len(raw):
        number, at = _varint(raw, at)
        yield _integer(kind, number)


def _read(kind: Any, raw: Any) -> Any:
    if type(kind) is not int:
        return kind.decode(raw)
    if kind is STRING:
        return raw.decode()                               # UnicodeDecodeError is a ValueError
    if kind is BYTES:
        return raw
    if kind is DOUBLE:
        return _DOUBLE.unpack(raw)[0]
    return _integer(kind, raw)


def _integer(kind: int, number: int) -> int:
    """A varint as its kind has it: cut to 32 bits, or with a sign."""
    if kind is BOOL:
        return number != 0
    if kind in (UINT32, INT32):
        number &= (1 << 32) - 1
    sign = {INT32: 1 << 31, INT64: 1 << 63}.get(kind, 0)
    return number - 2 * sign if number & sign else number
