"""Stops: what `--break` puts into a plan, so that container setup can be looked at between two steps.

A stop is itself a step. Before a step of the runtime it stands alone; before one of the init's, which the runtime
cannot see, it stands between two barriers: the init comes so far and waits, the runtime stops, and when it goes on it
lets the init go on. That holds up to the system calls of the last stage, so one can look into a container whose root
is switched and whose program has not begun.
"""
from __future__ import annotations

import _signal
import posix

from ..errors import UsageError
from .nsenter import command
from .observer import Observer
from .step import CHILD, PARENT, Barrier, Plan, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel.linux import Kernel
    from ..log import Log
    from .facts import Facts


class Stop(Step):
    """Hand over to the breakpoints' observer, with the runtime between two steps."""
    name = "stop.here"
    id: str                   # of the step before which it stands
    number: int               # the other step's, as `explain` counts
    before: Step
    breakpoints: Breakpoints

    def describe(self) -> str:
        return f"stop before step {self.number}, {self.id}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        self.breakpoints.reached(self, facts)


class Breakpoints(Observer):
    """Stops before the steps that a word of --break names, at a terminal: SIGSTOP, so that a shell answers with its
    prompt, and SIGCONT or `fg` goes on. Another observer may do something else when a step is reached.

    words   a step's id, its name, the part of that before the dot, its number in `explain`, or its place in config.json
    """

    def __init__(self, words: Sequence[str], log: Log) -> None:
        self.words, self.log = words, log

    def planned(self, plan: Plan) -> Plan:
        """The plan with a stop before every step that a word names. UsageError where that cannot be."""
        if posix.getpid() == 1:
            raise UsageError("--break: pid 1 of a pid namespace cannot stop itself (signal(7))")
        steps: list[Step] = []
        ids: list[str] = []
        parted = False
        for number, (id, step) in enumerate(zip(plan.ids, plan.steps)):
            if not isinstance(step, Barrier) and self.chosen(step, id, number):
                stop = Stop(before=step, id=id, number=number, breakpoints=self, where=step.where)
                if step.side == PARENT:
                    steps.append(stop)
                    ids.append(f"stop.here:{id}")
                elif parted:
                    raise UsageError(f"--break: it cannot stop before {id}: the runtime has ended by then")
                else:
                    label = f"before {id}"
                    steps += (Barrier(label=label, waits=PARENT), stop, Barrier(label=label, waits=CHILD))
                    ids += (f"stop.begin:{id}", f"stop.here:{id}", f"stop.end:{id}")
            steps.append(step)
            ids.append(id)
            parted = parted or (isinstance(step, Barrier) and step.parting)
        if len(steps) == len(plan):
            raise UsageError(f"--break: this plan has no step {' or '.join(self.words)} (pyrunc explain lists them)")
        return Plan(plan.command, steps, ids)

    def chosen(self, step: Step, id: str, number: int) -> bool:
        names = (id, step.name, step.name.partition(".")[0], str(number))
        return any(word in names or (step.where and word == step.where) for word in self.words)

    def reached(self, stop: Stop, facts: Facts) -> None:
        """Called in the runtime's process; the step comes when it returns."""
        place = f" ({stop.before.where})" if stop.before.where else ""
        init = f"; look around: {command(facts.pid)}, /proc/{facts.pid}" if facts.pid else ""
        what = f"stopped before step {stop.number}, {stop.id}{place}: {stop.before.describe()}"
        self.log.notice(f"{what}{init}; go on: fg or kill -CONT {posix.getpid()}")
        posix.kill(posix.getpid(), _signal.SIGSTOP)
