"""Reads JSON strictly: RFC 8259 in UTF-8, and nothing that two readers could understand differently.

Refused beyond what Python's json refuses: a byte order mark, other encodings, duplicate keys, NaN and Infinity,
NUL in a string (C would cut there), lone surrogates, integers of thousands of digits, deep nesting, huge files.
The C scanner of the interpreter does the work (the json package would cost more to import than the rest of the
hot world); whatever it stumbles over is given to diagnosis.py, which finds line, column and JSON path.
"""
from __future__ import annotations

import posix
from _json import make_scanner

from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .types import Config

MAX_SIZE = 16 << 20
MAX_DEPTH = 64


class _Unsound(ValueError):
    """Something that diagnosis.py will find again and explain."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Unsound
    return members


def _constant(name: str) -> None:
    raise _Unsound


class _Context:
    """What make_scanner reads its settings from."""
    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_members)
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_constant)


_scan = make_scanner(_Context)  # type: ignore[arg-type]  # typeshed wants an instance of the result


def _check_depth(value: list[Any] | dict[str, Any], left: int) -> None:
    if not left:
        raise _Unsound
    for inner in value.values() if type(value) is dict else value:
        if type(inner) is dict or type(inner) is list:
            _check_depth(inner, left - 1)


def loads(data: bytes, document: str = "config.json", limit: int = MAX_SIZE) -> Any:
    """The value of a JSON text of at most limit bytes. Raises ConfigError that names document, line, column and JSON
    path."""
    try:
        if len(data) > limit:
            raise _Unsound
        text = data.decode().strip(" \t\n\r")
        value, end = _scan(text, 0)
        if end != len(text):
            raise _Unsound
        if type(value) is dict or type(value) is list:
            _check_depth(value, MAX_DEPTH)
        if "\\u" in text and ("\\u0000" in text or "\\ud" in text or "\\uD" in text):
            from .diagnosis import diagnose
            diagnose(data, document, limit)     # such an escape may stand for NUL or half of a pair: it looks at each
    except ConfigError:
        raise
    except Exception as fault:           # SystemError, too: the scanner cannot say more without the json package
        from .diagnosis import diagnose
        diagnose(data, document, limit)
        raise ConfigError(f"invalid JSON: {fault}", document=document) from fault
    return value


def read_all(fd: int, limit: int = MAX_SIZE) -> bytes:
    """What a descriptor has to read, be it a pipe's or a device's; of more than limit bytes limit + 1, for loads() to
    refuse."""
    parts, left = [], limit + 1
    while left and (part := posix.read(fd, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def load(bundle: str, file: str = "config.json") -> Config:
    """Read config.json of a bundle (its directory) or another file; not checked yet beyond being an object.

    Raises ConfigError, with the words of runc when there is no such file; OSError when it cannot be read.
    """
    path = file if file.startswith("/") else f"{bundle}/{file}"
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        raise ConfigError(f"JSON specification file {file} not found", document="") from None
    try:
        data = read_all(fd)
    finally:
        posix.close(fd)
    config: Config = loads(data, file)
    if type(config) is not dict:
        from .where import kind
        raise ConfigError(f"must be an object, not {kind(config)}", document=file)
    return config
