"""A step: one named, explainable, traceable thing that container setup does.

The plan (plan.py) is a list of steps and barriers. A step knows its name, the chapter of the
runtime-spec it serves, its place in config.json and the process that runs it; only the kernel
object it is handed has effects, so the same step explains itself, runs for real, or is recorded.
"""
from __future__ import annotations

from .fields import Fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, ClassVar

    from ..kernel.linux import Kernel
    from .facts import Facts

#: The runtime process, in the namespaces of the caller.
PARENT = "parent"
#: The container process before its root is switched: Python, in the new namespaces, on the host's files.
CHILD = "child"
#: The container process from pivot_root to execve: the step queues an operation, C runs it (last_stage.c).
LAST = "last"
#: In place of a barrier's side, where the steps are sorted by it.
BOTH = "both"


class Step(Fields):
    """One thing a sentence can name. Subclasses declare their fields as annotations and are made with keywords.

    A step stays as it was planned: what is found out while it runs goes into the facts of that run.

    where     JSON path in config.json ("mounts[1].options"), "" when the step comes from no property
    side      PARENT, CHILD or LAST
    """
    name: ClassVar[str] = ""
    spec: ClassVar[str] = ""
    forks: ClassVar[bool] = False        # afterwards a second process walks the plan (namespaces.clone)
    native: ClassVar[bool] = False       # of a plan that else does with PosixKernel: it needs a whole Kernel
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
    by_end: bool = False             # the child, which has cloned another, tells by its end
    in_last: bool = False            # C meets it in the last stage, even as the first thing there

    def describe(self) -> str:
        return f"{self.waits} waits: {self.label}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        """The engine meets barriers itself (run.py)."""


class Plan:
    """What one command will do: its steps in order, and for each an id that stays.

    The id is the step's name; where several have the name, they are numbered: devices.node#3 is the third of them. It
    does not depend on what else is in the plan, and is what trace, journal, errors, --break and explain call the step.

    command   "create", "exec", ...
    ids       given only for a plan that is made of another one
    """
    __slots__ = ("_rows", "command", "ids", "steps")

    def __init__(self, command: str, steps: Iterable[Step], ids: Sequence[str] = ()) -> None:
        self.command, self.steps = command, tuple(steps)
        self.ids = tuple(ids) or _numbered([step.name for step in self.steps])
        self._rows: list[tuple[str, str, str, str, str]] = []

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __getitem__(self, index: int) -> Step:
        return self.steps[index]

    def __repr__(self) -> str:
        return f"<plan of {self.command}: {len(self.steps)} steps>"

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """(id, side, spec, where, what it will do) of each step: described once, for plan.json and the trace."""
        if not self._rows:
            self._rows = [(id, step.side, step.spec, step.where, step.describe())
                          for id, step in zip(self.ids, self.steps)]
        return self._rows

    def records(self) -> Iterator[dict[str, Any]]:
        """Each step in words: index, id, side, step (its name), spec, where, what."""
        for index, (id, step) in enumerate(zip(self.ids, self.steps)):
            yield {"index": index, "id": id, "side": step.side, "step": step.name, "spec": step.spec,
                   "where": step.where, "what": step.describe()}

    def late(self) -> list[tuple[int, str, str, str]]:
        """(index, id, spec, where) of the steps after the last meeting of the two processes: a failure of one of these
        is what `start` has to tell."""
        begin = next((index for index, step in enumerate(self.steps) if isinstance(step, Barrier) and step.parting),
                     len(self.steps))
        return [(index, self.ids[index], step.spec, step.where)
                for index, step in enumerate(self.steps) if index > begin]

    def saved(self) -> dict[str, Any]:
        """What is kept beside a container's state, so that an index in its journal has a meaning later."""
        return {"version": 1, "command": self.command, "steps": self.rows()}


def _numbered(names: Sequence[str]) -> tuple[str, ...]:
    count: dict[str, int] = {}
    for name in names:
        count[name] = count.get(name, 0) + 1
    met: dict[str, int] = {}
    ids = []
    for name in names:
        if count[name] > 1:
            met[name] = met.get(name, 0) + 1
            name = f"{name}#{met[name]}"
        ids.append(name)
    return tuple(ids)
