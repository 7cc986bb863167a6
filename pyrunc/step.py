"""A step: one named, explainable, traceable thing that container setup does.

The plan (plan.py) is a list of steps and barriers. A step knows its name, the chapter of the
runtime-spec it serves, its place in config.json and the process that runs it; only the kernel
object it is handed has effects, so the same step explains itself, runs for real, or is recorded.
"""
from __future__ import annotations

from .fields import Fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from .facts import Facts
    from .kernel import Kernel

#: The runtime process, in the namespaces of the caller.
PARENT = "parent"
#: The container process before its root is switched: Python, in the new namespaces, on the host's files.
CHILD = "child"
#: The container process from pivot_root to execve: the step queues an operation, C runs it (last_stage.c).
LAST = "last"


class Step(Fields):
    """One thing a sentence can name. Subclasses declare their fields as annotations and are made with keywords.

    A step stays as it was planned: what is found out while it runs goes into the facts of that run.

    where     JSON path in config.json ("mounts[1].options"), "" when the step comes from no property
    side      PARENT, CHILD or LAST
    """
    name: ClassVar[str] = ""
    spec: ClassVar[str] = ""
    forks: ClassVar[bool] = False        # afterwards a second process walks the plan (namespaces.clone)
    side: str = PARENT
    where: str = ""

    if not TYPE_CHECKING:
        def __setattr__(self, field: str, value: object) -> None:
            raise AttributeError(f"{self!r} is planned: {field} cannot be changed any more")

    def __repr__(self) -> str:
        place = f" {self.where}" if self.where else ""
        return f"<{self.side} {self.name}{place}: {self.describe()}>"

    def describe(self) -> str:
        """One line, no effects: what apply() will do."""
        raise NotImplementedError(self.name)

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        """Do it. Every effect goes through kernel; OSError is turned into a StepError by the engine."""
        raise NotImplementedError(self.name)

    def failure(self, fault: OSError) -> str:
        """What the error line begins with when apply() failed; engines and users match some of these texts."""
        return self.describe()

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        """Take back what apply() left behind outside the container's own namespaces. Must be repeatable."""


class Barrier(Step):
    """Where the two processes meet: `waits` is the side that stops until the other one has come this far."""
    name = "barrier"
    label: str = ""
    waits: str = PARENT
    parting: bool = False            # the child closes its end instead of telling: they do not meet again
    by_exec: bool = False            # ... or leaves that to execve, which closes it only when it succeeds
    in_last: bool = False            # C meets it in the last stage, even as the first thing there

    def describe(self) -> str:
        return f"{self.waits} waits: {self.label}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        """The engine meets barriers itself (engine.py)."""
