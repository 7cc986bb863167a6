"""Lack of memory in a container, told at once: the kernel wakes who polls memory.events (cgroup-v2.rst)."""
from __future__ import annotations

import posix
import select

from ..cgroups.stats import flat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.loop import Loop


class Watch:
    """Watches the cgroups of containers. told is called with a container's id for each new kill."""

    def __init__(self, loop: Loop, told: Callable[[str], None]) -> None:
        self.loop, self.told = loop, told
        self.files: dict[str, int] = {}
        self.seen: dict[str, int] = {}

    def add(self, id: str, cgroup: str) -> None:
        """From now on; without the memory controller there is nothing to watch."""
        if not cgroup:
            return
        try:
            fd = posix.open(f"{cgroup}/memory.events", posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError:
            return
        self.files[id], self.seen[id] = fd, 0
        self.loop.watch(fd, select.POLLPRI, lambda _: self._changed(id))
        self._changed(id)

    def remove(self, id: str) -> None:
        """No more; one that is not watched is no error."""
        fd = self.files.pop(id, -1)
        if fd >= 0:
            self.loop.forget(fd)
            posix.close(fd)

    def _changed(self, id: str) -> None:
        try:
            count = flat(posix.pread(self.files[id], 4096, 0).decode()).get("oom_kill", 0)
        except OSError:                                # the cgroup is gone
            self.remove(id)
            return
        if count > self.seen[id]:
            self.seen[id] = count
            self.told(id)
