"""What a manager holds of a container that lives: its pidfd, its streams, and what the kernel has to say about it."""
from __future__ import annotations

import os
import signal as signals
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import NOT_RUNNING, StateError
from . import lost, stats
from .cgroup import own_cgroup
from .directory import Record
from .logs import Writer as LogWriter
from .streams import Ends, Reader, Source, Writer
from .values import Log

if TYPE_CHECKING:
    from .manager import Manager


class Held:
    """Owns the descriptors; everything is let go of when the container ends, or the manager."""

    def __init__(self, manager: Manager, record: Record) -> None:
        self.manager, self.record = manager, record
        self.place = manager.directory.of(record.id)
        self.alive = False
        self.cgroup = ""
        self.readers: list[Reader] = []
        self.writer: LogWriter | None = None
        self.stdin: Writer | None = None
        self.stdout: Source | None = None
        self.stderr: Source | None = None
        self.terminal = -1
        self._pidfd = -1
        self._notice = -1
        self._triggers: list[int] = []
        self._oom_kills = 0
        self.killed = False                          # by us, so that no SIGKILL is taken for the kernel's

    def tell(self, kind: str, **details: Any) -> None:
        """An event about it."""
        self.manager.journal.add(kind, self.record.id, **details)

    def signal_process(self, number: int) -> None:
        """Send it to the process that the runtime has named: the init, or the sandbox that it is in."""
        try:
            if not self.alive:
                raise ProcessLookupError
            signals.pidfd_send_signal(self._pidfd, number)
            self.killed = self.killed or number == signals.SIGKILL
        except ProcessLookupError:
            raise StateError(NOT_RUNNING) from None

    @property
    def there(self) -> bool:
        """Its init has not been reaped, so its pid is no other process's."""
        try:
            signals.pidfd_send_signal(self._pidfd, 0)
        except OSError:
            return False
        return True

    # ---- its streams ------------------------------------------------------------------------------------
    def _ends(self) -> Ends:
        stdio, ends = self.record.stdio, Ends()
        try:
            ends.input(stdio.stdin)
            ends.output(1, stdio.stdout, self.place / "stdout")
            ends.output(2, stdio.stderr, self.place / "stderr")
        except BaseException:
            ends.close()
            raise
        return ends

    def _read(self, outputs: dict[int, int]) -> None:
        """Logs are written; the other pipes are the caller's."""
        for number, fd in outputs.items():
            stream = self.record.stdio.stdout if number == 1 else self.record.stdio.stderr
            if isinstance(stream, Log):
                if self.writer is None:
                    self.writer = LogWriter(self.place / "log", stream.size, stream.files)
                name = "stdout" if number == 1 else "stderr"
                self.readers.append(Reader(fd, partial(self.writer.take, name)))
            else:
                setattr(self, "stdout" if number == 1 else "stderr", Source(fd))

    # ---- while it lives ---------------------------------------------------------------------------------
    def _live(self, pidfd: int) -> None:
        self._pidfd, self.alive, self.killed = pidfd, True, False
        self.cgroup = own_cgroup(self.record.pid)
        self._oom_kills = stats.oom_kills(self.cgroup)
        self._notice = self.manager.notices.watch(f"{self.cgroup}/memory.events", self._noticed)
        for kind in ("cpu", "memory", "io"):
            share = getattr(self.record.watch, kind)
            if share:
                self._triggers.append(
                    self.manager.triggers.watch(self.cgroup, kind, share, partial(self._wants, kind)))

    def _let_go(self, goes_on: bool = False) -> None:
        """goes_on: it lives, and another manager will have it."""
        self.alive = False
        self.manager.notices.forget(self._notice)
        while self._triggers:
            self.manager.triggers.forget(self._triggers.pop())
        for reader in self.readers:
            reader.close()
        self.readers = []
        if self.stdin is not None:
            self.stdin.close()
            self.stdin = None
        if self.writer is not None:
            self.writer.close(goes_on)
            self.writer = None
        if self.terminal >= 0:
            os.close(self.terminal)
        if self._pidfd >= 0:
            lost.closed(self._pidfd)
        self.terminal = self._pidfd = self._notice = -1

    def _noticed(self) -> None:
        """Its memory.events has changed."""
        kills = stats.oom_kills(self.cgroup)
        if kills > self._oom_kills:
            self.tell("oom", kills=kills - self._oom_kills)
            self._oom_kills = kills

    def _wants(self, kind: str) -> None:
        """A trigger on its pressure has fired."""
        self.tell("pressure", resource=kind, share=getattr(self.record.watch, kind))
