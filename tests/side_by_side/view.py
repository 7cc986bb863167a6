"""What one command did, as far as a caller can see it, without what is never the same twice."""
from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tests import world
from tests.runtimes import Outcome, Runtime

#: What engines and people look for in an error (docs/errors.md); the first that is in the text is its class.
CLASSES = {
    "usage": r"Incorrect Usage|flag provided but not defined|flag needs an argument|invalid value .* for flag|"
             r"requires (exactly|a minimum|a maximum)|No help topic|invalid log-format|invalid format option|"
             r"--root argument|args cannot be empty|invalid log format",
    "id": r"invalid container ID|invalid id format|container id cannot be empty",
    "not in $PATH": r"executable file not found in \$PATH",
    "already exists": r"already exists|File .* exists",
    "does not exist": r"container does not exist|container \S+ does not exist",
    "not running": r"container not running|is not running|stopped container|that has stopped|container not paused",
    "already running": r"already running|running container",
    "paused": r"paused",
    "not stopped": r"not stopped",
    "signal": r"unknown signal",
    "permission": r"permission denied|operation not permitted",
    "directory": r"is a directory|not a directory",
    "no such file": r"no such file or directory",
    "hook": r"error running (\w+ )?hook",
    "json": r"invalid character|cannot unmarshal|JSON|EOF|must be an object",
    "terminal": r"tty|console",
}


@dataclass
class View:
    """exit: status; stdout: its shape; error: its class, "" for none; left: the container, its files and processes."""
    exit: int
    stdout: Any
    error: str
    left: Any

    def differences(self, other: View) -> set[str]:
        """The names of the fields in which they differ."""
        return {field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)}


def seen(runtime: Runtime, outcome: Outcome, name: str, folder: Path) -> View:
    """The view after a command that concerned the container `name` and had `folder` to write files to."""
    return View(outcome.status, shape(outcome.stdout, runtime, name, folder),
                error_class(outcome.stderr, outcome.status), left(runtime, name, folder))


def shape(text: str, runtime: Runtime, name: str, folder: Path) -> Any:
    """JSON as the names and types of what is in it; a table as its header; other text without names and numbers."""
    try:
        return types(json.loads(text))
    except ValueError:
        pass
    if re.search(r"^(NAME|Usage):|^USAGE:|Incorrect Usage", text, re.M):
        return "help"
    text = text.replace(name, "ID").replace(str(folder), "FOLDER").replace(runtime.name, "RUNTIME")
    lines = [re.sub(r"\d+", "N", " ".join(line.split())) for line in text.splitlines()]
    if lines and lines[0].startswith(("ID PID STATUS", "UID PID")):
        return [lines[0], len(lines) - 1]
    return lines


def types(value: Any) -> Any:
    """A JSON value's skeleton."""
    if isinstance(value, dict):
        return {key: types(entry) for key, entry in sorted(value.items())}
    if isinstance(value, list):
        return [types(value[0])] if value else []
    return type(value).__name__


def error_class(text: str, status: int) -> str:
    """Which class the runtime's own words belong to; warnings and what the container printed are none."""
    errors = "\n".join(line for line in text.splitlines()
                       if 'level=error' in line or '"level":"error"' in line or (status and "level=" not in line))
    if not errors:
        return ""
    return next((name for name, pattern in CLASSES.items() if re.search(pattern, errors)), "other")


def left(runtime: Runtime, name: str, folder: Path) -> Any:
    """(the container's status or None, whether it has a cgroup, how many processes, files in the folder)."""
    world.children()                                         # reaps: a zombie would still be a process
    known = runtime("state", name)
    status = json.loads(known.stdout)["status"] if known.status == 0 else None
    found = processes(name)
    return status, found is not None, found or 0, sorted(path.name for path in folder.iterdir())


def populated(name: str) -> bool:
    """Whether the kernel still counts a process for the container's cgroup, one that is ending, say: it refuses a rmdir
    then, and runc gives up after half a second."""
    try:
        return "populated 1" in (world.CGROUP / name / "cgroup.events").read_text()
    except OSError:
        return False


def processes(name: str) -> int | None:
    """How many processes are in the container's cgroup; None without one."""
    try:
        return len((world.CGROUP / name / "cgroup.procs").read_text().split())
    except OSError:                                           # ENOENT, or ENODEV of one that goes
        return None
