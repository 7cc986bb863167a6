"""Whoever watches plans run: the trace, the log, breakpoints. What an observer does not want to know costs nothing."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from ..errors import PyruncError
    from ..log import Log
    from .run import Engine
    from .step import Plan


class Observer:
    """All methods are optional. They are called in the runtime's process, between the steps, and must not raise.

    The steps of the container's process are told of in after_plan only: nothing of an observer runs over there, and
    `trace.records(run)` has their times. run.plan has the steps and their ids; index counts in it.
    """

    def planned(self, plan: Plan) -> Plan:
        """The plan that is to be run, before anything is done: breakpoints put steps of their own into it."""
        return plan

    def before_plan(self, run: Engine) -> None: ...

    def before_step(self, run: Engine, index: int) -> None: ...

    def after_step(self, run: Engine, index: int) -> None:
        """It has succeeded."""

    def failed(self, run: Engine, error: PyruncError) -> None:
        """run.failed is the index of the step that failed, on either side; undoing begins now."""

    def undone(self, run: Engine, index: int) -> None: ...

    def warning(self, text: str) -> None:
        """Something went wrong without ending the plan."""

    def note(self, text: str) -> None:
        """A warning of what engines ask for as a matter of course: worth a line in a log, and no more."""

    def after_plan(self, run: Engine) -> None:
        """However it ended: run.error says."""


def watching(observers: Iterable[Observer], method: str) -> list[Callable[..., Any]]:
    """The methods of that name which do something."""
    return [getattr(observer, method) for observer in observers
            if getattr(type(observer), method) is not getattr(Observer, method)]


def warn(observers: Iterable[Observer], texts: Sequence[str], method: str = "warning") -> None:
    """Tell every observer of what went wrong."""
    for text in texts:
        for told in watching(observers, method):
            told(text)


class LogLines(Observer):
    """Warnings, and at the end, if the log is verbose, every step."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def warning(self, text: str) -> None:
        self.log.warning(text)

    def note(self, text: str) -> None:
        self.log.note(text)

    def after_plan(self, run: Engine) -> None:
        if self.log.verbose:
            from .trace import records
            for ran in records(run):
                self.log.debug(f"{ran['side']}: {ran['id']}: {ran['what']}: {ran['outcome']}")
