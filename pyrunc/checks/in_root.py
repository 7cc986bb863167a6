"""Looking things up in a container's root from outside, without its symbolic links leading out of it."""
from __future__ import annotations

import os
from collections.abc import Collection


class Hidden(Exception):
    """A mount of the container will cover the place: nothing can be said about it now."""


def find(root: str, path: str, mounts: Collection[str] = ()) -> str | None:
    """The host's path of what path (absolute) is in the container, None when there is nothing.

    mounts are the destinations of the container's mounts. Raises Hidden below one of them.
    """
    done: list[str] = []
    rest, links = path.split("/")[::-1], 0
    while rest:
        name = rest.pop()
        if name in ("", "."):
            continue
        if name == "..":
            del done[-1:]
            continue
        done.append(name)
        if "/" + "/".join(done) in mounts:
            raise Hidden(path)
        here = os.path.join(root, *done)
        if os.path.islink(here):
            links += 1
            if links > 40:
                return None
            target = os.readlink(here)
            done = [] if target.startswith("/") else done[:-1]
            rest += target.split("/")[::-1]
        elif not os.path.lexists(here):
            return None
    return os.path.join(root, *done)


def find_program(root: str, name: str, search: str, mounts: Collection[str]) -> tuple[str | None, list[str]]:
    """The executable that name stands for in the container, by its PATH, and what is there but cannot be executed.

    Both as paths of the host. Raises Hidden when a mount may have it.
    """
    hidden, useless = None, []
    for folder in [""] if "/" in name else search.split(":"):
        try:
            found = find(root, f"{folder}/{name}", mounts)
        except Hidden as place:
            hidden = place
            continue
        if found and os.path.isfile(found) and os.stat(found).st_mode & 0o111:
            return found, []
        if found:
            useless.append(found)
    if hidden:
        raise hidden
    return None, useless
