"""How much CPU time a piece of work takes by itself."""
from __future__ import annotations

import gc
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """CPU time in seconds of `work` in this thread, without the collector: thousands of tests have left objects behind,
    and to look through them all takes longer than what is measured."""
    collects = gc.isenabled()
    gc.disable()
    try:
        began = time.thread_time()
        work()
        return time.thread_time() - began
    finally:
        if collects:
            gc.enable()
