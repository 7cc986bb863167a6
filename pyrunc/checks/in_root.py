"""Looking things up in a container's root from outside, without its symbolic links leading out of it."""
from __future__ import annotations

import os
import stat
from collections.abc import Container


class Hidden(Exception):
    """A mount of the container will cover the place: nothing can be said about it now."""


#: What walk() comes to.
DIRECTORY, FILE, MISSING, BELOW_A_FILE, LOOP = "directory", "file", "missing", "below a file", "loop"
#: Symbolic links that the kernel follows in one path (path_resolution(7)).
MAX_LINKS = 40


def walk(root: str, path: str, mounts: Container[str] = ()) -> tuple[str, str]:
    """(what path, absolute, is in the container; the place where the walk ended, as a path below root).

    mounts are the destinations of the container's mounts. Raises Hidden below one of them, OSError for what cannot be
    looked at.
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
        place = "/" + "/".join(done)
        if place in mounts:
            raise Hidden(path)
        here = root + place
        try:
            found = os.lstat(here)
        except FileNotFoundError:
            return MISSING, place
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > MAX_LINKS:
                return LOOP, place
            target = os.readlink(here)
            done = [] if target.startswith("/") else done[:-1]
            rest += target.split("/")[::-1]
        elif not stat.S_ISDIR(found.st_mode):
            return BELOW_A_FILE if any(part not in ("", ".") for part in rest) else FILE, place
    return DIRECTORY, "/" + "/".join(done)


def find(root: str, path: str, mounts: Container[str] = ()) -> str | None:
    """The host's path of what path (absolute) is in the container, None when there is nothing to be seen.

    mounts are the destinations of the container's mounts. Raises Hidden below one of them.
    """
    try:
        kind, place = walk(root, path, mounts)
    except OSError:
        return None
    return os.path.join(root, place[1:]) if kind in (DIRECTORY, FILE) else None


def find_program(root: str, name: str, search: str, mounts: Container[str]) -> tuple[str | None, list[str]]:
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
