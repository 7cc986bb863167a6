"""What this worker has found out before: a probe asks for the same process again and again, a replica or a restart for
the same container, and the host is what it was a moment ago.

To read a container's files, check its configuration and plan takes a third of what a probe costs. A plan holds as long
as what it was made of: the process that is asked for, the container's files, which are replaced as a whole and never
written to, and the host, on which a worker is for seconds or minutes. What a container is doing is looked at each time.
"""
from __future__ import annotations

import marshal
import posix
import time

from ..config.check import check, check_process
from ..host import facts, of_facts
from ..runtime import exec as executing
from ..state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..config.types import Config
    from ..engine.step import Plan
    from ..host import Host
    from ..state.container import Container
    from .channel import Message

    File = tuple[int, ...]

#: Plans that are kept, the latest: of the probes of a pod, and not of whatever else is executed in it.
MOST = 16
#: marshal before it had references, which differ for equal values.
FORMAT = 2
#: Seconds for which facts of the host hold, and configs that have been checked, the latest.
MOMENT, CHECKED = 1.0, 16
_checked: dict[bytes, tuple[bytes, list[str]]] = {}
_facts: list[tuple[float, dict[str, Any]]] = []
_held: dict[bytes, tuple[list[File], Container, Plan]] = {}


def config(wanted: Config) -> tuple[Config, list[str]]:
    """A config, checked, and what of it is worth a line: one that has passed does so again, for nothing else counts.
    Raises ConfigError."""
    plain: Any = wanted
    key = marshal.dumps(plain, FORMAT)
    held = _checked.pop(key, None)
    if held is None:
        told = check(wanted)
        held = marshal.dumps(plain, FORMAT), told      # without what is null
        if len(_checked) >= CHECKED:
            del _checked[next(iter(_checked))]
    _checked[key] = held
    return marshal.loads(held[0]), held[1]


def host() -> Host:
    """The host, as it was a moment ago at most; its paths as they are now."""
    now = time.monotonic()
    if not _facts or now - _facts[0][0] > MOMENT:
        _facts[:] = [(now, facts())]
    return of_facts(_facts[0][1])


def exec(request: Message) -> tuple[Container, Plan]:
    """The container and the plan of one more process in it. Raises StateError and ConfigError, as executing.found() and
    .planned() do."""
    root, id, heir = request["root"], request["id"], request.get("heir", 0)
    wanted = marshal.dumps([root, id, heir, request["process"]], FORMAT)
    files = identities(root, id)                    # before they are read
    held = _held.pop(wanted, None)
    if held is not None and held[0] == files:
        executing.ready(held[1])
        _held[wanted] = held
        return held[1:]
    container, config = executing.found(root, id)
    own: Any = config.get("process") or {}
    process = executing.completed({"cwd": own.get("cwd", "/"), **request["process"]}, own)
    check_process(process, "the process")
    options = executing.options_of(container, detach=not process.get("terminal"), terminal_taken=True, heir=heir)
    plan = executing.planned(container, config, process, options)
    if len(_held) >= MOST:
        del _held[next(iter(_held))]
    _held[wanted] = files, container, plan
    return container, plan


def identities(root: str, id: str) -> list[File]:
    """What tells a container's files from those that take their place; nothing of those that are not there."""
    found: list[File] = []
    for name in (store.STATE, store.CONFIG):
        try:
            one = posix.lstat(f"{root}/{id}/{name}")
        except OSError:                             # whoever reads them says what is wrong
            continue
        found.append((one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns))
    return found
