"""How long a case waits for what a runtime does. The seconds in cases are for an ordinary machine; `--timeout`
stretches them all, for a slow one. What goes on for longer is said, with what it is doing."""
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

USUAL = 60          # seconds that a case may take when nothing else is said
_factor = 1.0


def stretch(limit: float) -> None:
    """From now on, in this process, wait as long as goes with cases of `limit` seconds; never less than usual."""
    global _factor
    _factor = max(1.0, limit / USUAL)


def stretched(seconds: float) -> float:
    return seconds * _factor


def deadline(seconds: float) -> float:
    """Of time.monotonic()."""
    return time.monotonic() + stretched(seconds)


def until(there: Callable[[], object], seconds: float) -> bool:
    """Wait until this is so; False when the time is over before."""
    end = deadline(seconds)
    while not there():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def doing(pid: int, most: int = 12) -> str:
    """A process and those below it, for people: name, state, the kernel's function that it waits in, system call."""
    found: list[str] = []
    todo = [pid]
    while todo and len(found) < most:
        place = Path("/proc", str(todo.pop(0)))
        try:
            for task in (place / "task").iterdir():
                todo += map(int, (task / "children").read_text().split())
            name, state, waits, call = ((place / file).read_text() for file in ("comm", "stat", "wchan", "syscall"))
            found.append(f"{place.name} {name.strip()}: {state.rpartition(')')[2].split()[0]}, {waits}, "
                         f"system call {call.split()[0]}")
        except OSError:
            continue
    return "; ".join(found)
