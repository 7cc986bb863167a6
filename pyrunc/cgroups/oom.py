"""Watching for OOM kills in a cgroup, until no process is left in it."""
from __future__ import annotations

import errno
import posix
import select
import time

from .stats import flat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..kernel.posix import PosixKernel

LONGEST_POLL = 2**31 - 1         # poll(2) counts milliseconds in an int


def kills(kernel: PosixKernel, fd: int, interval: float = 0) -> Iterator[int]:
    """Yield the number of new OOM kills each time there are some; end when the cgroup is empty or gone.

    interval   seconds after which 0 is yielded, again and again; 0 for never

    Kills from before the first next() do not count. Without the memory controller it only waits for the end. The
    kernel notifies changes of memory.events and cgroup.events to whoever polls them (cgroup-v2.rst).
    """
    files = []
    poll = select.poll()
    try:
        for name in ("cgroup.events", "memory.events"):
            try:
                files.append(kernel.open(name, posix.O_RDONLY, 0, fd))
            except FileNotFoundError:
                continue
            poll.register(files[-1], select.POLLPRI)
        if not files:
            return
        seen = -1
        tick = time.monotonic() + interval
        while True:
            # Whether anything is left is read first: a kill that made it empty is then in the counter already.
            populated = _read(files[0]).get("populated", 0)
            count = _read(files[1]).get("oom_kill", 0) if len(files) > 1 else 0
            if 0 <= seen < count:
                yield count - seen
            if not populated:
                return
            seen = count
            if interval and tick <= time.monotonic():
                yield 0
                tick += interval
                continue
            poll.poll(min(max(0, tick - time.monotonic()) * 1000, LONGEST_POLL) if interval else None)
    finally:
        for file in files:
            kernel.close(file)


def _read(file: int) -> dict[str, int]:
    """The file as it is now; empty when its cgroup has been removed."""
    try:
        return flat(posix.pread(file, 4096, 0).decode())
    except OSError as fault:
        if fault.errno == errno.ENODEV:
            return {}
        raise
