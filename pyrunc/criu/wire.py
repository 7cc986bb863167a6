"""Protocol buffers as far as CRIU's protocol needs them: integers, and what has a length.

A message is a row of fields, each with its number and a wire type: 0, a varint, for int32, uint32, bool and enum;
2, a length and as many bytes, for string and message.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Value = int | str | bytes

VARINT, LENGTH = 0, 2
#: Of the two wire types that CRIU does not use but may one day send: the bytes to skip.
FIXED = {1: 8, 5: 4}


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number is its 64-bit two's complement."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(fields: Iterable[tuple[int, Value]]) -> bytes:
    """A message of (field number, value); a number that comes several times is a repeated field."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3 | VARINT) + varint(value)
        else:
            data = value.encode(errors="surrogateescape") if isinstance(value, str) else value
            out += varint(number << 3 | LENGTH) + varint(len(data)) + data
    return bytes(out)


def decode(data: bytes) -> dict[int, int | bytes]:
    """{field number: value}, the last one of each. ValueError for what is no message."""
    fields: dict[int, int | bytes] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            fields[number], at = _varint(data, at)
        elif kind == LENGTH:
            length, at = _varint(data, at)
            if length > len(data) - at:
                raise ValueError("a field longer than its message")
            fields[number], at = data[at:at + length], at + length
        elif kind in FIXED:
            at += FIXED[kind]
        else:
            raise ValueError(f"wire type {kind}")
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        number |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return number, at
    raise ValueError("a number that does not end")
