"""Reports of failures, read back: whatever stands in a file, each part of a Report has the type that it should."""
from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterator
from glob import glob
from typing import Any

from ..config.where import quoted
from ..errors import StateError
from ..state.store import default_root
from .failures import DIRECTORY, LARGEST, SUFFIX, VERSION, oldest_first

#: Where engines have their runtimes keep containers: containerd and CRI, Docker, CRI-O, Podman (the default root), and
#: what an ordinary user's Podman has.
OF_ENGINES = ("/run/pyrunc", "/run/containerd/runc/*", "/run/containerd/pyrunc/*", "/run/docker/runtime-*/*",
              "/var/run/docker/runtime-*/*", "/run/runc", "/run/crio/*", "/run/user/*/pyrunc", "/run/user/*/runc")
#: Files that are looked at below one root: another user's may hold any number.
MOST_READ = 100
#: Annotations by which a pod or its container is known: CRI plugin, CRI-O, Podman.
NAMES = ("io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.container-name", "io.kubernetes.pod.name",
         "io.kubernetes.container.name", "io.kubernetes.cri.sandbox-id", "io.podman.annotations.name")


class Report:
    """path of its file; the rest as checks/failures.py has written it, "", empty or None for what is not there.

    owner   uid of the file's
    error   member of the error -> text
    steps   (id, side, spec, where, what) of each step of the plan; without: why there are none
    trace   step's id -> its time in microseconds, None for one that has not ended
    """

    def __init__(self, path: str, data: dict[str, Any], owner: int) -> None:
        self.path, self.data, self.owner = path, data, owner
        self.container, self.command, self.time = (_text(data.get(key)) for key in ("container", "command", "time"))
        self.error = _texts(data.get("error"))
        self.caller = _text(_dict(data.get("caller")).get("name"))
        self.host = _dict(data.get("host"))
        self.config = data.get("config")
        self.annotations = _texts(_dict(self.config).get("annotations"))
        self.findings = [_texts(one) for one in _list(data.get("findings"))]
        plan = data.get("plan")
        self.steps = [tuple(map(_text, step)) for step in _list(_dict(plan).get("steps"))
                      if isinstance(step, list) and len(step) == 5]
        self.without = "" if self.steps else f"the plan is {plan}" if isinstance(plan, str) else \
            "no plan was made: the failure was before that"
        self.trace = {_text(one.get("id")): one.get("duration") for one in map(_dict, _list(data.get("trace")))}

    def names(self) -> list[str]:
        """By what it may be asked for: id, and the names that annotations give."""
        return [self.container, *(self.annotations[name] for name in NAMES if name in self.annotations)]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> dict[str, str]:
    return {key: text for key, text in _dict(value).items() if isinstance(text, str)}


def roots(root: str) -> list[str]:
    """State roots to look below: the one that was named, or the default one and those of engines."""
    found = [root] if root else [default_root(), *(path for pattern in OF_ENGINES for path in sorted(glob(pattern)))]
    return list(dict.fromkeys(map(os.path.realpath, found)))


def load(path: str) -> Report:
    """Read a report. StateError for what is none, or of another version of pyrunc that writes them in another way."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, errors="replace") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise StateError(f"{path} is not a report")
        text = file.read(4 * LARGEST)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or not isinstance(data.get("error"), dict):
        raise StateError(f"{path} is not a report")
    if data.get("version") != VERSION:
        raise StateError(f"{path} is a report of pyrunc {_text(data.get('pyrunc')) or '?'}, which writes them in "
                         "another way: read it with that version")
    return Report(path, data, found.st_uid)


def kept(root: str = "") -> Iterator[Report]:
    """All reports below the state roots, newest first; those of other users, of which only root sees any, after the
    caller's own: such a user might have written anything, also that it is of another's container. What cannot be read
    is left out."""
    now = time.time_ns()

    def newest_first(paths: list[str]) -> list[str]:
        return sorted(paths, key=lambda path: oldest_first(os.path.basename(path), now), reverse=True)
    paths = [path for top in roots(root)
             for path in newest_first(glob(f"{_literally(top)}/{DIRECTORY}/*{SUFFIX}"))[:MOST_READ]]
    others = []
    for path in newest_first(paths):
        try:
            report = load(path)
        except (OSError, StateError):
            continue
        if report.owner != os.geteuid():
            others.append(report)
        else:
            yield report
    yield from others


def _literally(path: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", path)


def find(asked: str, root: str = "") -> Report:
    """The newest report, of the container whose id (or its beginning), pod or name was asked for; "": of any.

    StateError when there is none.
    """
    for report in kept(root):
        if not asked or asked in report.names() or (len(asked) > 3 and report.container.startswith(asked)):
            return report
    where = ", ".join(top for top in roots(root) if os.path.isdir(top)) or root or default_root()
    raise StateError(f"no failure {f'of {quoted(asked)} ' if asked else ''}is kept in {where}")
