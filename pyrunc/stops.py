"""Stops: what `--break` puts into a plan, so that container setup can be looked at between two steps.

A stop is itself a step. Before a step of the runtime it stands alone; before one of the init's, which the runtime
cannot see, it stands between two barriers: the init comes so far and waits, the runtime stops, and when it goes on it
lets the init go on. That holds up to the system calls of the last stage, so one can look into a container whose root
is switched and whose program has not begun.
"""
from __future__ import annotations

import _signal
import posix

from .errors import UsageError
from .step import CHILD, PARENT, Barrier, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .cli.log import Log
    from .facts import Facts
    from .kernel import Kernel


class Stop(Step):
    """The runtime stops itself (SIGSTOP): a shell answers with its prompt, and SIGCONT or `fg` goes on."""
    name = "stop.here"
    before: Step
    number: int               # the other step's, as `explain` counts
    log: Log

    def describe(self) -> str:
        return f"stop before step {self.number}, {self.before.name}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        place = f" ({self.before.where})" if self.before.where else ""
        init = f"; look around: nsenter -a -t {facts.pid}, /proc/{facts.pid}" if facts.pid else ""
        what = f"stopped before step {self.number}, {self.before.name}{place}: {self.before.describe()}"
        self.log.notice(f"{what}{init}; go on: fg or kill -CONT {posix.getpid()}")
        posix.kill(posix.getpid(), _signal.SIGSTOP)


def chosen(step: Step, number: int, words: Sequence[str]) -> bool:
    """Whether a word is the step's name, the part of it before the dot, its number, or its place in config.json."""
    return any(word in (step.name, step.name.partition(".")[0], str(number)) or (step.where and word == step.where)
               for word in words)


def insert(steps: Sequence[Step], words: Sequence[str], log: Log) -> list[Step]:
    """The plan with a stop before every step that a word names. UsageError where that cannot be."""
    if posix.getpid() == 1:
        raise UsageError("--break: pid 1 of a pid namespace cannot stop itself (signal(7))")
    found: list[Step] = []
    parted = False
    for number, step in enumerate(steps):
        if not isinstance(step, Barrier) and chosen(step, number, words):
            stop = Stop(before=step, number=number, log=log, where=step.where)
            if step.side == PARENT:
                found.append(stop)
            elif parted:
                raise UsageError(f"--break: when the init comes to {step.name} it waits for start, and nobody for it")
            else:
                label = f"before {step.name}"
                found += (Barrier(label=label, waits=PARENT), stop, Barrier(label=label, waits=CHILD))
        found.append(step)
        parted = parted or (isinstance(step, Barrier) and step.parting)
    if len(found) == len(steps):
        raise UsageError(f"--break: this plan has no step {' or '.join(words)} (pyrunc explain has them all)")
    return found
