"""--pdb: Python's debugger in the process that does a step, stopped at the first line of what the step does.

Pdb has no threads, so it may be in a process that clones. It is imported by the runtime, before there is another
process; in the init it reads its sources from the host's files, which is what there is until C takes over.
"""
from __future__ import annotations

from ..errors import UsageError
from .breakpoints import OURS
from .observer import Observer
from .step import LAST, Barrier, Plan, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel.linux import Kernel
    from .facts import Facts


class Debug(Step):
    """Open the debugger."""
    name = "debug.here"
    id: str                   # of the step before which it stands
    before: Step

    def describe(self) -> str:
        return f"open the debugger before {self.id}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        from .terminal_pdb import TerminalPdb
        TerminalPdb().until(type(self.before).apply.__code__)


class Debugger(Observer):
    """words: a step's id, its name, the part of that before the dot, its number in `explain`, or its place."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    def planned(self, plan: Plan) -> Plan:
        """The plan with the debugger before each of the steps. UsageError for a step of C's, or none."""
        from . import terminal_pdb  # noqa: F401  (imported here, while there is one process)
        steps: list[Step] = []
        ids: list[str] = []
        number = -1
        for id, step in zip(plan.ids, plan.steps):
            number += not id.startswith(OURS)
            names = (id, step.name, step.name.partition(".")[0], str(number), step.where or id)
            if not isinstance(step, Barrier) and any(word in names for word in self.words):
                if step.side == LAST:
                    raise UsageError(f"--pdb: {id} is done in C: use gdb (docs/tracing.md)")
                steps.append(Debug(id=id, before=step, side=step.side, where=step.where))
                ids.append(f"debug.here:{id}")
            steps.append(step)
            ids.append(id)
        if len(steps) == len(plan):
            raise UsageError(f"--pdb: this plan has no step {' or '.join(self.words)} (pyrunc explain lists them)")
        return Plan(plan.command, steps, ids)
