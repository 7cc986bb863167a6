"""What each call of the native module needs: its error, and C strings."""
from __future__ import annotations

import errno
import posix

from .._native import ffi


def fail(doing: str) -> OSError:
    """The OSError for ffi.errno, with what was being done as its filename (the engine prints it)."""
    number = ffi.errno
    return OSError(number, posix.strerror(number), doing)


def cstr(text: str | bytes) -> bytes:
    """A C string: UTF-8 without NUL (C would silently cut there), and what is no UTF-8 as it was read."""
    data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    if b"\0" in data:
        raise OSError(errno.EINVAL, "NUL byte in a string")
    return data
