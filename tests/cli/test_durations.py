"""Durations as Go writes them, for events --interval."""
from __future__ import annotations

import pytest

from pyrunc.cli.events import duration
from pyrunc.errors import UsageError


@pytest.mark.parametrize(("text", "seconds"), [
    ("5s", 5), ("0", 0), ("1m30s", 90), ("1.5h", 5400), ("300ms", 0.3), ("-1s", -1), ("+1s", 1),
    ("1h2m3s4ms", 3723.004), ("10us", 1e-5), ("10µs", 1e-5), ("7ns", 7e-9), (".5s", 0.5), ("1.s", 1),
])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "1d", "1s2", ".s", "--1s", "1..5s", "+", "1 s", "\u0661s", "2562048h",
                                  "9" * 5000 + "s", "1s" + "0" * 5000])
def test_no_durations(text: str) -> None:
    with pytest.raises(UsageError, match="parse error"):
        duration(text)
