"""The modules of steps: plan.py names them all, and a plan imports those that it needs."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

    from ..request import Request
    from .step import Step


class Later:
    """Stands for a module of pyrunc/steps that is imported when one of its planner functions is asked for."""
    __slots__ = ("loaded", "module")

    def __init__(self, module: str) -> None:
        self.module = module
        self.loaded: ModuleType | None = None

    def __getattr__(self, planner: str) -> Callable[..., Iterable[Step]]:
        plan: Callable[..., Iterable[Step]] = getattr(self.load(), planner)
        return plan

    def load(self) -> ModuleType:
        """The module itself."""
        if self.loaded is None:          # __import__ of what is there already takes 10 us, and a plan asks 70 times
            self.loaded = __import__(f"pyrunc.steps.{self.module}", None, None, ["*"])
        return self.loaded


class Seldom(Later):
    """Stands for a module of pyrunc/steps, whose planner functions plan nothing without one of its properties.

    properties   paths such as "linux.sysctl" in the planner's first argument, which is a Request or a state: of
                 config.json, of state.json, or an attribute of the Options
    """
    __slots__ = ("properties",)

    def __init__(self, module: str, *properties: str) -> None:
        super().__init__(module)
        self.properties = properties

    def __getattr__(self, planner: str) -> Callable[..., Iterable[Step]]:
        def plan(asked: Request | dict[str, Any], *more: object) -> Iterable[Step]:
            if not any(given(asked, path) for path in self.properties):
                return ()
            steps: Iterable[Step] = getattr(self.load(), planner)(asked, *more)
            return steps
        return plan


def given(asked: Request | dict[str, Any], path: str) -> bool:
    """Whether the property is there; null, "" and 0 are as good as nothing."""
    if isinstance(asked, dict):
        return found(asked, path)
    return found(asked.config, path) or found(asked.options.__dict__, path)      # an error for what is neither


def found(document: Any, path: str) -> bool:
    """Whether a document has this property."""
    for name in path.split("."):
        document = document.get(name) if type(document) is dict else None
    return document is not None and document != "" and document != 0
