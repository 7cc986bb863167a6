"""What a case hands to a runtime names no file of the machine that the runtime could write or remove.

Each command is looked at before it is run, with its bundle: absolute paths and ids that lead out of the case's folder
end the case. A case that needs a victim makes one of its own.
"""
from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..model import Ended

#: Sources of bind mounts: shield.protect has made the files read-only, and procfs and sysfs are no files.
SOURCES = ("/usr", "/sys", "/proc/self", "/proc/self/sched")
#: Where links of an image may lead beside names that the machine does not have.
TARGETS = ("/usr/lib", "/usr/lib64", "/proc", "/proc/self", "/proc/self/fd", "/proc/self/exe", "/proc/self/mem",
           "/proc/self/ns/uts", "/proc/version", "/proc/kcore", "/dev/ptmx", "/dev/null", "/bin/sh")
#: What a hook may be. Scripts of the cases themselves are read by whoever changes them.
PROGRAMS = ("/bin/sh", "/bin/true", "/bin/false", "/bin/cat", "/bin/sleep", "/usr/bin/env")
#: Options of exec that name a file of the machine; all others are about the container.
OF_THE_MACHINE = ("--process", "--pid-file", "--console-socket")

#: Options without a value: the word behind them may be an id.
FLAGS = ("--", "--force", "-f", "--all", "-a", "--debug", "--detach", "-d", "--systemd-cgroup")


class Harmful(Ended):
    """The case is at fault: it names something of the machine."""


def below(path: str, place: Path) -> bool:
    top = os.path.realpath(place)
    return path == top or path.startswith(f"{top}/")


def check(words: Sequence[str], root: Path, place: Path, cwd: Path | None = None) -> None:
    """Harmful when a command (without the program and --root) or its bundle names what is not the case's."""
    for name, path in _paths(words, root, cwd):
        if not below(path, place):
            raise Harmful(f"the case is at fault: {name} is {path[:200]}, outside of its folder")
    if not below(os.path.realpath(root), place):
        raise Harmful(f"the case is at fault: the state root is {root}")
    if any(word in ("create", "run", "restore") for word in words):
        bundle = os.path.join(cwd or ".", words[words.index("--bundle") + 1] if "--bundle" in words else "")
        _bundle(Path(bundle), place)


def _paths(words: Sequence[str], root: Path, cwd: Path | None) -> Iterator[tuple[str, str]]:
    """Each word that a runtime could take for a path of the machine. An id counts from the state root."""
    inside, before = False, ""
    for word in words:
        inside = inside or word == "exec"
        name, value = before or "an argument", word.partition("=")[2] if word.startswith("--") else word
        before = word if word.startswith("-") and "=" not in word and word not in FLAGS else ""
        if inside and name not in OF_THE_MACHINE:
            continue
        if value.startswith("/"):
            yield name, _real(value)
        elif ".." in value.split("/"):
            yield name, _real(os.path.join(root, value))
            if name.startswith("-"):
                yield name, _real(os.path.join(cwd or ".", value))


def _real(path: str) -> str:
    return os.path.realpath(os.path.normpath(path.partition("\0")[0]))


def _bundle(bundle: Path, place: Path) -> None:
    """The same for config.json, as far as it is one, and for the links of the root file system."""
    try:
        config = json.loads((bundle / "config.json").read_text()) if (bundle / "config.json").is_file() else None
    except (OSError, ValueError, RecursionError):
        return
    for name, path, allowed in _named(config):
        at = _real(os.path.join(bundle, path))
        if not below(at, place) and path not in allowed and at not in map(os.path.realpath, allowed) \
                and os.path.lexists(at):
            raise Harmful(f"the case is at fault: {name} is {path}, a file of the machine")
    for link, target in _links(bundle / "rootfs"):
        at = os.path.normpath(os.path.join(os.path.dirname(link), target))
        ours = below(at, place) or target in TARGETS or target.startswith("/proc/self/fd/")
        if not ours and os.path.lexists(at):
            raise Harmful(f"the case is at fault: its image has a link to {target}, a file of the machine")


def _named(config: Any) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(JSON name, path, what may be there beside the case's own) of what a runtime takes for a path of the machine."""
    if not isinstance(config, dict):
        return
    for entry in _entries(config.get("mounts")):
        binds = entry.get("type") == "bind" or {"bind", "rbind"} & set(map(str, entry.get("options") or ()))
        if isinstance(source := entry.get("source"), str) and (binds or "/" in source):
            yield "mounts[].source", source, SOURCES
    hooks = config.get("hooks")
    for kind in hooks.values() if isinstance(hooks, dict) else ():
        for entry in _entries(kind):
            if isinstance(path := entry.get("path"), str):
                yield "hooks[].path", path, PROGRAMS
    for part, name in (("root", "path"), ("linux", "cgroupsPath")):
        found = config.get(part)
        value = found.get(name) if isinstance(found, dict) else None
        if isinstance(value, str) and (part == "root" or ".." in value.split("/")):
            yield f"{part}.{name}", value, ()


def _entries(found: Any) -> list[dict[str, Any]]:
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _links(root: Path) -> Iterator[tuple[str, str]]:
    """Each link of a root file system and where it leads. Another process may exchange some meanwhile."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            try:
                yield os.path.join(folder, name), os.readlink(os.path.join(folder, name))
            except OSError:
                continue
