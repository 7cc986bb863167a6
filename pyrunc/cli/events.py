"""events: what a container uses, now and then, and when the OOM killer has been at it; one JSON line each."""
from __future__ import annotations

from ..cgroups.oom import kills
from ..cgroups.stats import stats
from ..errors import StateError, UsageError
from ..formats.json_text import dumps
from ..kernel.posix import Files
from ..state.container import STOPPED, Container
from .flags import Command, Flag
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .flags import Call

COMMAND = Command(
    "events", "print the resource usage of a container and its OOM kills, as JSON lines",
    (Flag("interval", str, "time between two records, such as 500ms or 1m30s", value="DURATION", default="5s"),
     Flag("stats", bool, "print the usage once, and end")))

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST = 2**63 / 1e9            # of Go's durations, which count nanoseconds


def run(call: Call) -> int:
    """Until the container has ended, or once with --stats."""
    interval = duration(call.text("interval"))
    if interval <= 0:
        raise UsageError("duration interval must be greater than 0")
    container = Container.load(call.root, call.id)
    if container.status() == STOPPED:
        raise StateError(f"container with id {call.id} is not running")
    cgroup = container.cgroup()
    if not cgroup.exists():
        raise StateError(f"container {call.id} has no cgroup to read stats from")
    if call.on("stats"):
        _stats(container.id, cgroup.fd)
        return 0
    for new in kills(Files(), cgroup.fd, interval):
        if not new:
            _stats(container.id, cgroup.fd)
        for _ in range(new):
            _event({"type": "oom", "id": container.id})
    return 0


def _stats(id: str, fd: int) -> None:
    _event({"type": "stats", "id": id, "data": {**stats(Files(), fd), "intel_rdt": {}, "network_interfaces": None}})


def _event(event: dict[str, Any]) -> None:
    emit(dumps(event) + "\n")


def duration(text: str) -> float:
    """A duration as Go writes it ("1m30.5s", "-1s") in seconds. UsageError for what is none."""
    rest = text.lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    if len(text) - len(rest) > 1 or not rest:
        raise _no_duration(text)
    if rest == "0":
        return 0.0
    seconds = 0.0
    while rest:
        number = rest[:len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number):]
        unit = rest[:len(rest) - len(rest.lstrip("nuµmsh"))]
        rest = rest[len(unit):]
        if unit not in UNITS or number.count(".") > 1 or not number.strip("."):
            raise _no_duration(text)
        seconds += float(number) * UNITS[unit]
    if seconds > LONGEST:
        raise _no_duration(text)
    return sign * seconds


def _no_duration(text: str) -> UsageError:
    return UsageError(f'invalid value "{text}" for flag -interval: parse error')
