"""Deleting a container: for `delete`, and for `run` once its container has ended."""
from __future__ import annotations

from .. import plan as plans
from ..engine.run import execute
from ..errors import DOES_NOT_EXIST, NoSuchContainer, PyruncError, StateError
from ..kernel.posix import PosixKernel
from ..state import store
from ..state.container import CREATED, CREATING, STOPPED, Container
from ..steps.delete import end

TYPE_CHECKING = False
if TYPE_CHECKING:

    from collections.abc import Sequence

    from ..engine.observer import Observer


def delete(root: str, id: str, force: bool, observers: Sequence[Observer] = ()) -> None:
    """Delete a container; with force kill it first, and be content when there is none.

    Without force only a stopped or created one: as runc, and unlike the letter of runtime.md#delete, because
    containerd deletes created containers. Raises StateError, StepError.
    """
    store.check_id(id)
    if not store.exists(root, id):
        if force:
            return
        raise NoSuchContainer(f"{DOES_NOT_EXIST}: {id} in {root}")
    try:
        lock = _lock(root, id, force)
    except store.Busy:
        raise StateError(f"cannot delete container {id}: another command is working on it") from None
    except NoSuchContainer:
        if force:                                               # another delete was faster
            return
        raise
    with lock:
        container = _load(root, id, force)
        if container is None:
            store.remove(root, id, PosixKernel())
            return
        if not force and (status := container.status()) not in (STOPPED, CREATED, CREATING):
            raise StateError(f"cannot delete container {id} that is not stopped: {status}")
        destroy(container, observers)


def _lock(root: str, id: str, force: bool) -> store.Lock:
    """The lock; with force, from a create that is at work, or from whatever waits for the init, by killing that."""
    try:
        return store.Lock(root, id, 0, make=True)
    except store.Busy:
        container = _load(root, id, force)
        if container is not None and not container.made and not force:
            raise StateError(f"cannot delete container {id} that is not stopped: {CREATING}") from None
        if container is not None and force:
            end(PosixKernel(), container.state if container.made else container.state["creator"])
        return store.Lock(root, id, make=True)


def _load(root: str, id: str, force: bool) -> Container | None:
    """The container; None when nothing was made, or when force is to get rid of what cannot be read.

    When state.json cannot, the intent still has the cgroup and its mark, and so the processes.
    """
    try:
        return Container.load(root, id)
    except NoSuchContainer:
        return None
    except PyruncError:
        if not force:
            raise
    try:
        intent = store.read(root, id, store.INTENT)
    except PyruncError:
        return None
    return Container(root, id, intent, False) if intent is not None else None


def destroy(container: Container, observers: Sequence[Observer] = ()) -> None:
    """Undo what create made, run the poststop hooks, forget the container. The caller holds the lock.

    May be repeated when it was cut short or raised. runtime.md#lifecycle 12 and 13.
    """
    plan = plans.delete(container)
    kernel = PosixKernel()
    if any(step.native for step in plan):
        from ..kernel.linux import Kernel
        kernel = Kernel()
    execute(plan, kernel, observers)
