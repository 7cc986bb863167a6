"""Whether a container is made again after an exit, and when: the policies and the pauses of Docker."""
from __future__ import annotations

from .directory import Record
from .values import Exit

#: Seconds: the first pause, which doubles with each restart, the longest, and the life that resets it.
FIRST, LONGEST, LONG_LIFE = 0.1, 60.0, 10.0


def after(record: Record, exit: Exit, lived: float | None = None) -> float | None:
    """Seconds until it is made again; None when it is not. Counts the restarts in a row in the record.

    lived   for how long; 0.0 of one that could not be made again
    """
    policy = record.restart
    if policy.mode == "no" or record.stopped_on_purpose or not record.started:
        return None
    if policy.mode == "on-failure" and (exit.status == 0 or (policy.limit and record.restarts >= policy.limit)):
        return None
    lived = exit.time - record.started if lived is None else lived
    record.in_a_row = 0 if lived >= LONG_LIFE else record.in_a_row + 1
    return float(min(LONGEST, FIRST * 2 ** max(0, min(record.in_a_row, 32) - 1)))


def at_start(record: Record) -> bool:
    """Whether a manager that begins makes it again although it was stopped on purpose: `always` means so. What never
    ran is not run, nor what was checkpointed: it may have been restored elsewhere."""
    return record.restart.mode == "always" and record.phase == "stopped" and bool(record.started) \
        and record.absent != "checkpointed"
