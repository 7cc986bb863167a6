"""CRIU's log: kept where it is, and what it says about a failure."""
from __future__ import annotations

import posix

#: What CRIU says last whatever it was, and on the way out: consequences, no causes.
GENERAL = ("Dumping FAILED", "Restoring FAILED", "Pre-dumping FAILED", "Couldn't restore", "exited, status=",
           "killed by signal", "Can't wait or bad status", "RESTORE_")
LIMIT = 8 << 20           # the log's end is what matters
MOST = 3


def errors(directory: int, name: str) -> str:
    """The last errors of a log in an open directory, the cause first, on one line; "" when it tells of none."""
    try:
        fd = posix.open(name, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW, dir_fd=directory)
    except OSError:
        return ""
    try:
        size = posix.fstat(fd).st_size
        data = posix.pread(fd, LIMIT, max(0, size - LIMIT))
    finally:
        posix.close(fd)
    return chosen(data.decode(errors="replace"))


def chosen(text: str) -> str:
    """The error lines of a log's text, without their time stamps and without what only follows from others."""
    told: list[str] = []
    for line in text.splitlines():
        _, found, rest = line.partition("Error (")
        if found and (line := " ".join(f"Error ({rest}".split())) not in told:
            told.append(line)
    causes = [line for line in told if not any(word in line for word in GENERAL)]
    return "; ".join((causes or told)[-MOST:])
