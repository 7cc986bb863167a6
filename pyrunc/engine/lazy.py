"""The modules of steps: plan.py names them all, and a plan imports those that it needs."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

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

    properties   paths such as "linux.sysctl" in a planner's arguments: in dicts as config.json and state.json are, or
                 names of an Options' attributes
    """
    __slots__ = ("properties",)

    def __init__(self, module: str, *properties: str) -> None:
        super().__init__(module)
        self.properties = properties

    def __getattr__(self, planner: str) -> Callable[..., Iterable[Step]]:
        def plan(*arguments: object) -> Iterable[Step]:
            if not any(given(argument, path) for argument in arguments for path in self.properties):
                return ()
            steps: Iterable[Step] = getattr(self.load(), planner)(*arguments)
            return steps
        return plan


def given(argument: object, path: str) -> bool:
    """Whether the property is there; null, "" and 0 are as good as nothing."""
    value: Any = argument if type(argument) is dict else getattr(argument, "__dict__", {})
    for name in path.split("."):
        value = value.get(name) if type(value) is dict else None
    return value is not None and value != "" and value != 0
