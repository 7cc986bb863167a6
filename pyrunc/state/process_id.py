"""Who a process is: its pid, its start time and the boot they belong to. A pid alone is given out again.

All that is needed is in /proc; the pidfd calls are CPython's own, so that `state`, `kill` and `start` do not load
the native module.
"""
from __future__ import annotations

import errno
import posix

from ..kernel import pidfd
from ..kernel.small_file import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DEAD = "ZXx"          # zombie, dead, dead as ps shows it (proc_pid_stat(5))
_known: list[str] = []


def parse_stat(text: str) -> tuple[str, int]:
    """The text of /proc/PID/stat -> (state letter, start time in clock ticks since boot), fields 3 and 22.

    The command name in field 2 may hold spaces and parentheses, so the last ")" is where parsing begins.
    """
    fields = text[text.rindex(")") + 2:].split(" ", 20)
    return fields[0], int(fields[19])


def boot_id() -> str:
    """The kernel's random name for this boot (random(4)); "" where /proc/sys is hidden: procfs mounted with subset=pid
    (proc(5)), or something mounted over it."""
    if _known:
        return _known[-1]
    try:
        return read("/proc/sys/kernel/random/boot_id").rstrip()
    except OSError as fault:
        if fault.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM):
            return ""
        raise


def remember_boot() -> None:
    """Ask for it once, for a command that looks at many containers, until forget_boot(). (At its import no module may
    do so: what is known then is in the program's snapshot, and of the boot in which that was built.)"""
    _known.append(boot_id())


def forget_boot() -> None:
    _known.clear()


def same_boot(who: Mapping[str, Any]) -> bool:
    """Whether it is of this boot. Where that cannot be known, pid and start time decide alone, as in runc and crun."""
    if not who["boot_id"]:
        return True
    return boot_id() in ("", who["boot_id"])


def own() -> dict[str, Any]:
    """The identity of this process, as alive() and open_pidfd() want it."""
    return {"pid": posix.getpid(), "start_time": parse_stat(read("/proc/self/stat"))[1], "boot_id": boot_id()}


def alive(who: Mapping[str, Any]) -> bool:
    """Whether the process with who["pid"], ["start_time"] and ["boot_id"] still runs; a zombie does not."""
    pid = who["pid"]
    if pid <= 0:
        return False
    found = look(pid)
    if found is None:
        fd = pidfd.open_if_there(pid)
        if fd < 0:
            return False
        from . import hidden
        return hidden.alive(who, fd)
    return found[1] == who["start_time"] and found[0] not in DEAD and same_boot(who)


def look(pid: int) -> tuple[str, int] | None:
    """parse_stat() of a process; None when there is none to be seen."""
    try:
        return parse_stat(read(f"/proc/{pid}/stat"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def open_pidfd(who: Mapping[str, Any]) -> int:
    """A pidfd of exactly that process; ProcessLookupError when it is gone."""
    return pidfd.open_exactly(who, alive)
