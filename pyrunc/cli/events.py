"""events: what a container uses, now and then, and when the OOM killer has been at it; one JSON line each."""
from __future__ import annotations

from ..errors import UsageError
from ..formats.json_text import dumps
from ..runtime.events import usage, watch
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
    events = [("stats", usage(call.root, call.id))] if call.on("stats") else watch(call.root, call.id, interval)
    for kind, data in events:
        event: dict[str, Any] = {"type": kind, "id": call.id}
        if kind == "stats":
            event["data"] = {**data, "intel_rdt": {}, "network_interfaces": None}
        emit(dumps(event) + "\n")
    return 0


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
