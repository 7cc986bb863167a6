"""Who a process is: its pid, its start time and the boot they belong to. A pid alone is given out again.

All that is needed is in /proc; the pidfd calls are CPython's own, so that `state`, `kill` and `start` do not load
the native module.
"""
from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DEAD = "ZXx"          # zombie, dead, dead as ps shows it (proc_pid_stat(5))


def read(path: str, limit: int = 4096) -> str:
    """What one read(2) of a small file of procfs or cgroupfs gives; a process may have a name that is no UTF-8."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, limit).decode(errors="surrogateescape")
    finally:
        posix.close(fd)


def parse_stat(text: str) -> tuple[str, int]:
    """The text of /proc/PID/stat -> (state letter, start time in clock ticks since boot), fields 3 and 22.

    The command name in field 2 may hold spaces and parentheses, so the last ")" is where parsing begins.
    """
    fields = text[text.rindex(")") + 2:].split(" ", 20)
    return fields[0], int(fields[19])


def boot_id() -> str:
    """The kernel's random name for this boot (random(4))."""
    return read("/proc/sys/kernel/random/boot_id").rstrip()


def own() -> dict[str, Any]:
    """The identity of this process, as alive() and open_pidfd() want it."""
    return {"pid": posix.getpid(), "start_time": parse_stat(read("/proc/self/stat"))[1], "boot_id": boot_id()}


def alive(who: Mapping[str, Any]) -> bool:
    """Whether the process with who["pid"], ["start_time"] and ["boot_id"] still runs; a zombie does not."""
    pid = who["pid"]
    if pid <= 0:
        return False
    try:
        state, start = parse_stat(read(f"/proc/{pid}/stat"))
    except (FileNotFoundError, ProcessLookupError):
        return False
    return start == who["start_time"] and state not in DEAD and who["boot_id"] == boot_id()


def open_pidfd(who: Mapping[str, Any]) -> int:
    """A pidfd of exactly that process; ProcessLookupError when it is gone.

    The pidfd comes first and the look second: once it is open, its pid cannot become somebody else.
    """
    if who["pid"] <= 0:
        raise ProcessLookupError
    try:
        fd = posix.pidfd_open(who["pid"])
    except OSError as fault:     # EINVAL: the number is a thread's by now
        raise ProcessLookupError from fault
    if not alive(who):
        posix.close(fd)
        raise ProcessLookupError
    return fd


def wait_end(pidfd: int, seconds: float) -> bool:
    """Wait until the process behind a pidfd has ended; False when it has not within that time."""
    import select
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
