"""A worker whose shim is killed just after the fork: it does nothing that nobody would clean up after."""
from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, cast

from pyrunc import _native
from pyrunc.keeper import nursery
from pyrunc.kernel.loop import Loop

from .driver import SECONDS


class Late:
    """The native module, whose prctl(2) for the death signal comes when the parent is gone."""

    def __init__(self, lib: Any, parent: int) -> None:
        self.lib, self.parent = lib, parent

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lib, name)

    def pr_prctl(self, option: int, *rest: int) -> Any:
        while option == self.lib.PR_SET_PDEATHSIG and os.getppid() == self.parent:
            time.sleep(0.005)
        return self.lib.pr_prctl(option, *rest)


def test_it_ends_without_a_word(tmp_path: Path) -> None:
    done, ready = tmp_path / "done", tmp_path / "ready"
    shim = os.fork()
    if shim == 0:
        try:
            _native.lib = cast(Any, Late(_native.lib, os.getpid()))

            def operation(request: object, fds: list[int], told: object) -> tuple[dict[str, object], list[int]]:
                done.touch()
                return {}, []
            workers = nursery.Nursery(Loop(), {"create": operation}, lambda *_: None)
            workers.run({"operation": "create"}, [], lambda *_: None)
            ready.write_text(str(next(iter(workers.workers))))
            signal.pause()
        finally:
            os._exit(1)
    end = time.monotonic() + SECONDS
    while not (ready.exists() and ready.read_text()):
        assert time.monotonic() < end
        time.sleep(0.01)
    worker = int(ready.read_text())
    os.kill(shim, signal.SIGKILL)
    os.waitpid(shim, 0)
    while os.path.exists(f"/proc/{worker}") and "zombie" not in Path(f"/proc/{worker}/status").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not done.exists()
