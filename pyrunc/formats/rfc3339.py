"""Moments as RFC 3339 writes them, in UTC."""
from __future__ import annotations

import time


def stamp(nanoseconds: int, digits: int = 0) -> str:
    """Nanoseconds since the epoch; digits of the second's fraction, the others are cut off."""
    t = time.gmtime(nanoseconds // 1_000_000_000)
    fraction = f".{nanoseconds % 1_000_000_000:09}"[:digits + 1] if digits else ""
    return f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}T{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}{fraction}Z"


def go_nano(nanoseconds: int) -> str:
    """As Go's RFC3339Nano: trailing zeros of the fraction are not written."""
    text = stamp(nanoseconds, 9)[:-1]
    return f"{text.rstrip('0').rstrip('.')}Z"
