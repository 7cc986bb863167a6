"""Stops: what `--break` puts into a plan, so that container setup can be looked at between two steps.

A stop is itself a step. Before a step of the runtime it stands alone; before one of the init's, which the runtime
cannot see, it stands between two barriers: the init comes so far and waits, the runtime stops, and when it goes on it
lets the init go on. That holds up to the system calls of the last stage, so one can look into a container whose root
is switched and whose program has not begun.

As one may say `next` at a stop, there is one before every step from the first that could be wanted; most are passed
at once. Behind the filter, which may kill for what a barrier does, there are only those that were asked for.
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
    from typing import Protocol

    from ..errors import PyruncError
    from ..kernel.linux import Kernel
    from .facts import Facts
    from .run import Engine

    class Notices(Protocol):
        """What a stop is told to: a Log, say."""

        def notice(self, message: str) -> None: ...

#: Words for every step, and for a step that has failed, before anything is undone.
EVERY, ERROR = "*", "error"
#: What may be answered at a stop: go on to the next step, or to the next one that was asked for; undo everything.
NEXT, CONTINUE, ABORT = "next", "continue", "abort"
FILTER = "seccomp.load"
#: The ids of what is put into a plan begin so.
OURS = ("stop.", "debug.")


class Stop(Step):
    """Hand over to the breakpoints' observer, with the runtime between two steps."""
    name = "stop.here"
    id: str                   # of the step before which it stands
    number: int               # the other step's, as `explain` counts
    before: Step
    wanted: bool              # False: only for whoever says `next` at the one before
    breakpoints: Breakpoints

    def describe(self) -> str:
        return f"stop before step {self.number}, {self.id}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if self.breakpoints.stands(self):
            self.breakpoints.reached(self, facts)


class Breakpoints(Observer):
    """Stops before the steps that a word of --break names, at a terminal: SIGSTOP, so that a shell answers with its
    prompt, and SIGCONT or `fg` goes on. Another observer may do something else when a step is reached (halt).

    words     a step's id, its name, the part of that before the dot, its number in `explain`, or its place in
              config.json; EVERY; ERROR
    lenient   words that name no step of the plan are no mistake: they are for the plans of many containers
    """

    def __init__(self, words: Sequence[str], log: Notices, lenient: bool = False) -> None:
        self.log, self.lenient = log, lenient
        self.every, self.on_error = EVERY in words, ERROR in words
        self.words = [word for word in words if word not in (EVERY, ERROR)]
        self.next = False
        self.engine: Engine | None = None

    def before_plan(self, run: Engine) -> None:
        self.engine = run
        run.facts.keep("stops", True)        # (trace.py leaves out those that are passed)
        run.facts.hold = self.on_error

    def planned(self, plan: Plan) -> Plan:
        """The plan with the stops. UsageError where what was asked for cannot be."""
        if posix.getpid() == 1:
            if self.lenient:
                return plan
            raise UsageError("--break: pid 1 of a pid namespace cannot stop itself (signal(7))")
        if not (self.words or self.every):
            return plan
        chosen = {number for number, (id, step) in enumerate(zip(plan.ids, plan.steps))
                  if self.chosen(step, id, number)}
        if not chosen:
            if self.lenient:
                return plan
            raise UsageError(f"--break: this plan has no step {' or '.join(self.words)} (pyrunc explain lists them)"
                             + self._barrier(plan))
        return self._stopping(plan, chosen)

    def _stopping(self, plan: Plan, chosen: set[int]) -> Plan:
        steps: list[Step] = []
        ids: list[str] = []
        parted = filtered = False
        for number, (id, step) in enumerate(zip(plan.ids, plan.steps)):
            wanted = number in chosen
            stop = Stop(before=step, id=id, number=number, wanted=wanted, breakpoints=self, where=step.where)
            if isinstance(step, Barrier):
                parted = parted or step.parting
            elif step.side == PARENT:
                steps.append(stop)
                ids.append(f"stop.here:{id}")
            elif parted:
                if wanted and not (self.every or self.lenient):
                    raise UsageError(f"--break: it cannot stop before {id}: the runtime has ended by then")
            elif wanted or not filtered:
                label = f"before {id}"
                steps += (Barrier(label=label, waits=PARENT), stop, Barrier(label=label, waits=CHILD))
                ids += (f"stop.begin:{id}", f"stop.here:{id}", f"stop.end:{id}")
            steps.append(step)
            ids.append(id)
            filtered = filtered or step.name == FILTER
        return Plan(plan.command, steps, ids)

    def chosen(self, step: Step, id: str, number: int) -> bool:
        if isinstance(step, Barrier):
            return False
        return self.every or self._named(step, id, number)

    def _named(self, step: Step, id: str, number: int) -> bool:
        names = (id, step.name, step.name.partition(".")[0], str(number))
        return any(word in names or (step.where and word == step.where) for word in self.words)

    def _barrier(self, plan: Plan) -> str:
        for word in self.words:
            if word.isascii() and word.isdigit() and len(word) < 9 and int(word) < len(plan):
                return f": {word} is a barrier, where the processes wait for each other"
        return ""

    def stands(self, stop: Stop) -> bool:
        """Whether a stop here was asked for."""
        return self.next or (stop.wanted and (self.every or self._named(stop.before, stop.id, stop.number)))

    def reached(self, stop: Stop, facts: Facts) -> None:
        """Called in the runtime's process; the step comes when it returns. Raises run.Interrupted for ABORT."""
        facts.keep(("stopped", stop.id), True)
        place = f" ({stop.before.where})" if stop.before.where else ""
        order = self.halt(f"stopped before step {stop.number}, {stop.id}{place}: {stop.before.describe()}", facts,
                          {"step": stop.id, "number": stop.number, "where": stop.before.where,
                           "ahead": self._ahead(stop)})
        self.next = order == NEXT
        if order == CONTINUE:
            self.every = False               # of --step: from here on only what --break names
        elif order == ABORT:
            from .run import Interrupted
            raise Interrupted(_signal.SIGTERM)

    def _ahead(self, stop: Stop) -> dict[str, bool]:
        """For each order, whether a stop comes after it unless the plan fails."""
        steps = self.engine.steps if self.engine else []
        later = [step for step in steps[steps.index(stop) + 1:] if isinstance(step, Stop)]
        return {NEXT: bool(later), ABORT: False,
                CONTINUE: any(step.wanted and self._named(step.before, step.id, step.number) for step in later)}

    def failed(self, run: Engine, error: PyruncError) -> None:
        from .run import Interrupted
        if not self.on_error or isinstance(error, Interrupted) or run.failed < 0:
            return
        id, step = run.plan.ids[run.failed], run.steps[run.failed]
        number = sum(not other.startswith(OURS) for other in run.plan.ids[:run.failed])
        self.halt(f"step {number}, {id}, has failed, and nothing is undone yet: {error}", run.facts,
                  {"step": id, "number": number, "where": step.where, "error": str(error)})

    def halt(self, what: str, facts: Facts, about: dict[str, object]) -> str:
        """Say where it is, and wait. The answer is NEXT, CONTINUE or ABORT; "" for the next one that was asked for."""
        pid = init_of(facts)
        init = f"; look around: {command(pid)}, /proc/{pid}" if pid else ""
        self.log.notice(f"{what}{init}; go on: fg or kill -CONT {posix.getpid()}")
        posix.kill(posix.getpid(), _signal.SIGSTOP)
        return ""


def init_of(facts: Facts) -> int:
    """The process that can be looked into: the child, or the one that it has cloned in its place; 0: none yet."""
    other = facts.page.child_pid if facts.pid else 0
    return int(other) if other > 0 else facts.pid
