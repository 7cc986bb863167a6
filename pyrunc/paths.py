"""Paths by their text alone, without os.path (the hot world does not import it)."""
from __future__ import annotations

import posix


def absolute(path: str, base: str = "") -> str:
    """path below base (default: the current directory) if it is relative, without "." and ".." and "//".

    Lexical, like filepath.Abs of Go: for names that go into messages and records, never to decide what is
    inside a root.
    """
    return f"/{clean(path if path.startswith('/') else f'{base or posix.getcwd()}/{path}')}"


def clean(path: str) -> str:
    """The path without empty, "." and ".." components; ".." stops at the top. No slash around."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
