"""pyrunc: an OCI runtime whose container setup is a readable list of named steps (docs/tour.md).

As a library (docs/library.md):

    with pyrunc.Runtime() as runtime, runtime.create("c1", bundle="/bundle") as container:
        container.start()
        container.wait()

The names below are imported when they are first used (PEP 562): the command line, which uses none, pays nothing.
"""
from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine.step import Plan as Plan
    from .errors import ConfigError as ConfigError
    from .errors import PyruncError as PyruncError
    from .errors import StateError as StateError
    from .errors import StepError as StepError
    from .errors import UsageError as UsageError
    from .library.container import Container as Container
    from .library.observer import Observer as Observer
    from .library.planning import check as check
    from .library.planning import explain as explain
    from .library.planning import plan as plan
    from .library.planning import spec as spec
    from .library.process import PIPE as PIPE
    from .library.process import Process as Process
    from .library.runtime import Runtime as Runtime

#: module -> the public names that are in it
_PUBLIC = {
    "engine.step": ("Plan",),
    "errors": ("ConfigError", "PyruncError", "StateError", "StepError", "UsageError"),
    "library.container": ("Container",),
    "library.observer": ("Observer",),
    "library.planning": ("check", "explain", "spec"),
    "library.process": ("PIPE", "Process"),
    "library.runtime": ("Runtime",),
}
__all__ = ["PIPE", "ConfigError", "Container", "Observer", "Plan", "Process", "PyruncError", "Runtime", "StateError",
           "StepError", "UsageError", "check", "explain", "plan", "spec"]


if not TYPE_CHECKING:                # else any name would do for mypy
    def __getattr__(name: str) -> object:
        if name == "plan":               # the module that has every order, which can be called, too
            return __import__("pyrunc.plan", None, None, ["*"])
        for module, names in _PUBLIC.items():
            if name in names:
                value: object = getattr(__import__(f"pyrunc.{module}", None, None, ["*"]), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module 'pyrunc' has no attribute {name!r}")
