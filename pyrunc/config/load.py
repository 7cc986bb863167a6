"""Reads JSON strictly: RFC 8259 in UTF-8, and nothing that two readers could understand differently.

Refused beyond what Python's json refuses: a byte order mark, other encodings, duplicate keys, NaN and Infinity,
NUL in a string (C would cut there), lone surrogates, integers of thousands of digits, deep nesting, objects with
thousands of members, huge files.
_native/json_read.c does the work (the json package would cost more to import than the rest of the hot world);
whatever it stumbles over is given to diagnosis.py, which finds line, column and JSON path.
"""
from __future__ import annotations

import posix

from ..errors import ConfigError
from ..formats._jsontext import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .types import Config

MAX_SIZE = 16 << 20
MAX_DEPTH = 64
#: Of one object. The secret that keeps names from being made to collide in a dict may be known (docs/start.md).
MAX_MEMBERS = 8192


def loads(data: bytes, document: str = "config.json", limit: int = MAX_SIZE) -> Any:
    """The value of a JSON text of at most limit bytes. Raises ConfigError that names document, line, column and JSON
    path."""
    try:
        if len(data) <= limit:
            return read(data, MAX_DEPTH, MAX_MEMBERS)
        reason = "too long"
    except ValueError as fault:
        reason = str(fault)
    from .diagnosis import diagnose
    diagnose(data, document, limit)
    raise ConfigError(f"invalid JSON: {reason}", document=document)


def read_all(fd: int, limit: int = MAX_SIZE, path: str | None = None) -> bytes:
    """What a descriptor has to read, be it a pipe's or a device's; of more than limit bytes limit + 1, for loads() to
    refuse. An OSError, for a directory say, names the path."""
    parts, left, most = [], limit + 1, 1 << 15     # of more the C library would ask the kernel, and give it back
    try:
        while left and (part := posix.read(fd, min(left, most))):
            parts.append(part)
            left -= len(part)
            if len(part) == most:
                most = 1 << 20
    except OSError as fault:
        fault.filename = path
        raise
    return b"".join(parts)


def load(bundle: str, file: str = "config.json") -> Config:
    """Read config.json of a bundle (its directory) or another file; not checked yet beyond being an object.

    Raises ConfigError, with the words of runc when there is no such file; OSError when it cannot be read.
    """
    path = file if file.startswith("/") else f"{bundle}/{file}"
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        place = "" if file.startswith("/") else f" in {bundle}"
        raise ConfigError(f"JSON specification file {file} not found{place}", document="") from None
    try:
        data = read_all(fd, path=path)
    finally:
        posix.close(fd)
    config: Config = loads(data, file)
    if type(config) is not dict:
        from .where import kind
        raise ConfigError(f"must be an object, not {kind(config)}", document=file)
    return config
