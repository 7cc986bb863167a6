"""A container's log as the kubelet reads it: in each line a time, the stream, F or P (full, partial), and the text."""
from __future__ import annotations

import re
from pathlib import Path

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[-+]\d\d:\d\d) (stdout|stderr) ([FP]) (.*)")


def read(path: Path) -> list[tuple[str, str]]:
    """(stream, text) of each line. AssertionError for a line in another format."""
    lines = []
    for line in path.read_text().split("\n")[:-1]:
        match = LINE.fullmatch(line)
        assert match, line
        lines.append((match[2], match[4]))
    return lines


def of_stream(path: Path, stream: str) -> str:
    return "".join(f"{text}\n" for name, text in read(path) if name == stream)
