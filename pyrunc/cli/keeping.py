"""Keeping a report of a command that has failed, once its error has been told (checks/failures.py)."""
from __future__ import annotations

import posix

from ..errors import PyruncError
from ..paths import absolute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .flags import Call

#: Commands whose failures a user will ask about. Those of kill or state are the caller's own.
OF_A_BUNDLE = ("create", "run", "restore")
KEPT = (*OF_A_BUNDLE, "start", "exec")


def keep(call: Call, fault: BaseException, message: str, argv: Sequence[str]) -> None:
    """Never raises, whatever happens: the error has been told."""
    name = call.command.name
    if name not in KEPT:
        return
    try:
        from ..checks import failures
        ran = failures.of_run(fault.run) if isinstance(fault, PyruncError) and fault.run is not None else None
        bundle = file = ""
        if name in OF_A_BUNDLE:
            bundle = posix.getcwd()                              # bundle.prepare() has gone there
            file = absolute(call.text("config")) if call.given("config") else "config.json"
        failures.keep(call.root, call.id, name, fault, message, argv, bundle, file, ran=ran, log=call.log.written,
                      noted=call.log.noted)
    except BaseException:
        return
