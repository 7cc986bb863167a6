"""Being scheduled soon: for processes that mostly wait, and then have little to do for somebody who waits for them."""
from __future__ import annotations

import posix

from .._native import lib
from .last_stage import pack_scheduler

#: Of a turn on the CPU, ns; the least that the kernel takes. It has had the setting since 6.12 (sched(7)).
TURN = 100_000
SCHED_OTHER, RESET_ON_FORK, PRIO_PROCESS = 0, 1, 0


def be_prompt() -> None:
    """Ask for short turns, which come earlier. It is no more of the CPU, and what this process forks has it not."""
    nice = posix.getpriority(PRIO_PROCESS, 0)
    if posix.sched_getscheduler(0) == SCHED_OTHER and nice >= 0:       # a fork would lose what else there is
        lib.pr_sched_setattr(0, pack_scheduler(SCHED_OTHER, RESET_ON_FORK, nice, runtime=TURN))
