"""The end of a container: whatever create made, found and removed, as often as it takes.

Each thing is removed before the record of it is, so a delete that is killed anywhere is simply run again. A
failing or killed create ends here as well.
"""
from __future__ import annotations

import posix

from ..errors import DOES_NOT_EXIST, PyruncError, StateError
from . import identity, store
from .container import CREATED, CREATING, STOPPED, Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PATIENCE = 10.0           # seconds for a killed process to be gone, and for another command to finish
SIGKILL = 9
POSTSTOP = "poststop"     # how many poststop hooks a killed delete had already run


def delete(root: str, id: str, force: bool, warn: Callable[[str], None]) -> None:
    """Delete a container; with force kill it first, and be content when there is none.

    Without force only a stopped or created one: as runc, and unlike the letter of runtime.md#delete, because
    containerd deletes created containers. warn gets what goes wrong with poststop hooks. Raises StateError.
    """
    store.check_id(id)
    if not store.exists(root, id):
        if force:
            return
        raise StateError(DOES_NOT_EXIST)
    try:
        lock = store.lock(root, id, 0, True)
    except BlockingIOError:
        lock = _interrupt(root, id, force)
    except StateError:
        if force:             # another delete was faster
            return
        raise
    try:
        container = _load(root, id, force)
        if container is None:
            store.remove(root, id)
            return
        status = container.status()
        if not force and status not in (STOPPED, CREATED, CREATING):
            raise StateError(f"cannot delete container {id} that is not stopped: {status}")
        destroy(container, warn)
    finally:
        posix.close(lock)


def _interrupt(root: str, id: str, force: bool) -> int:
    """Somebody works on the container: end a create or whatever hangs on its init (force), or wait a while."""
    try:
        container = _load(root, id, force)
        if container is not None:
            creating = not container.made
            if creating and not force:
                raise StateError(f"cannot delete container {id} that is not stopped: {CREATING}")
            if force:
                _kill(container.state["creator"] if creating else container.state)
        return store.lock(root, id, PATIENCE, True)
    except BlockingIOError:
        raise StateError(f"cannot delete container {id}: another command works on it") from None


def _load(root: str, id: str, force: bool) -> Container | None:
    """The container; None when nothing was made, or when force is to get rid of what cannot be read."""
    try:
        return Container.load(root, id)
    except StateError as fault:
        if force or str(fault) == DOES_NOT_EXIST:
            return None
        raise
    except PyruncError:
        if force:
            return None
        raise


def _kill(who: dict[str, Any]) -> None:
    """SIGKILL a process, if it is still that one, and wait for its end. StateError when it does not end."""
    import _signal
    try:
        fd = identity.open_pidfd(who)
    except (ProcessLookupError, KeyError):
        return
    try:
        _signal.pidfd_send_signal(fd, SIGKILL)
        if not identity.wait_end(fd, PATIENCE):
            raise StateError("container init still running")
    except ProcessLookupError:
        pass
    finally:
        posix.close(fd)


def destroy(container: Container, warn: Callable[[str], None]) -> None:
    """Kill every process of the container, remove its cgroup, run its poststop hooks, forget it.

    The caller holds the lock. Raises StateError or OSError with the record kept, so that it can be repeated.
    """
    state = container.state
    if state["cgroup"]:
        from ..cgroups.v2 import Cgroup
        from ..files import Files
        cgroup = Cgroup(state["cgroup"], state["mark"], Files())
        cgroup.kill()
        _kill(state)
        cgroup.remove()
    else:
        _kill(state)
    hooks = state["hooks"].get("poststop")
    if hooks:
        _poststop(container, hooks, warn)
    store.remove(container.root, container.id)


def _poststop(container: Container, hooks: list[Any], warn: Callable[[str], None]) -> None:
    """runtime.md#lifecycle 13: a failing poststop hook is a warning, and the others run all the same."""
    from ..kernel import Kernel
    from ..steps.hooks import run_one
    kernel = Kernel()
    done = store.read_count(container.root, container.id, POSTSTOP)
    for index in range(done, len(hooks)):
        try:
            run_one(kernel, hooks[index], f"hooks.poststop[{index}]", container.oci_state(STOPPED))
        except (PyruncError, OSError) as fault:
            warn(f"poststop hook {index} failed: {fault}")
        store.write(container.root, container.id, POSTSTOP, index + 1)
