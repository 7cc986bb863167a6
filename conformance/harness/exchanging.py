"""A process that exchanges two names all the time, as another container with the same volume would."""
from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from types import TracebackType

AT_FDCWD, RENAME_EXCHANGE = -100, 2


class Exchanging:
    """Within its block two names are exchanged without a pause. A process, so that it has a processor of its own."""

    def __init__(self, one: Path, other: Path) -> None:
        self.one, self.other, self.pid = bytes(one), bytes(other), 0

    def __enter__(self) -> Exchanging:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
        self.pid = os.fork()
        if self.pid == 0:
            while True:
                renameat2(AT_FDCWD, self.one, AT_FDCWD, self.other, RENAME_EXCHANGE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
