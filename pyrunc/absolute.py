"""Absolute paths without os.path (the hot world does not import it)."""
from __future__ import annotations

import posix


def absolute(path: str, base: str = "") -> str:
    """path below base (default: the current directory) if it is relative, without "." and ".." and "//".

    Lexical, like filepath.Abs of Go: for names that go into messages and records, never to decide what is
    inside a root.
    """
    if not path.startswith("/"):
        path = f"{base or posix.getcwd()}/{path}"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)
