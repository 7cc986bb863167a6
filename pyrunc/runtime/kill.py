"""Sending a signal to a container: for the command line, the library and the shim."""
from __future__ import annotations

from ..state.container import Container
from ..steps.kill import by_cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.observer import Observer


def kill(root: str, id: str, number: int, all: bool = False, observers: Sequence[Observer] = ()) -> None:
    """Send a signal to the init, or with all to every process of the container.

    No lock is taken: a signal must get through whatever other commands are doing.
    Where nobody watches and all there is to do is to signal the init, the plan's one step is done without the engine,
    whose import would be a third of the command's time (docs/tour.md).
    Raises StateError when it does not run.
    """
    container = Container.load(root, id)
    if not observers and not all and not by_cgroup(container, number, all):
        container.signal(number)
        return
    from .. import plan
    from ..engine.run import execute
    from ..kernel.posix import Files
    execute(plan.kill(container, number, all), Files(), observers)
