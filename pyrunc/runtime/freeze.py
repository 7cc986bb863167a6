"""Pausing a container and letting it go on: for the command line and for the library."""
from __future__ import annotations

from .. import plan
from ..engine.run import execute
from ..errors import NOT_PAUSED, NOT_RUNNING, StateError
from ..kernel.posix import PosixKernel
from ..state.container import CREATED, PAUSED, RUNNING, Container
from ..state.store import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.observer import Observer


def pause(root: str, id: str, observers: Sequence[Observer] = ()) -> None:
    """Stop every process of the container. StateError unless it is created or running."""
    container = Container.load(root, id)
    with Lock(root, id):
        if container.status() not in (CREATED, RUNNING):
            raise StateError(NOT_RUNNING)
        execute(plan.pause(container), PosixKernel(), observers)


def resume(root: str, id: str, observers: Sequence[Observer] = ()) -> None:
    """Let them go on. StateError unless the container is paused."""
    container = Container.load(root, id)
    with Lock(root, id):
        if container.status() != PAUSED:
            raise StateError(NOT_PAUSED)
        execute(plan.resume(container), PosixKernel(), observers)
