"""Standard output: whole, and a failure to write it is a failure of the command."""
from __future__ import annotations

import posix

from ..log import encoded


def emit(text: str) -> None:
    """Write text to descriptor 1. OSError when that fails, also when the reader is gone (CPython ignores SIGPIPE)."""
    data = encoded(text, 1)
    while data:
        data = data[posix.write(1, data):]
