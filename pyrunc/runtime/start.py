"""Starting a created container: for `start`, and for `run`, which created it itself."""
from __future__ import annotations

from .. import plan as plans
from ..engine.facts import Facts
from ..engine.observer import warn
from ..engine.run import execute
from ..errors import PyruncError, StateError, StepError, describe
from ..kernel.posix import PosixKernel
from ..state.container import CREATED, RUNNING, STOPPED, Container
from ..state.store import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.observer import Observer
    from .sd_notify import Proxy

REFUSALS = {
    STOPPED: "cannot start a container that has stopped",
    RUNNING: "cannot start an already running container",
}


def start(root: str, id: str, observers: Sequence[Observer] = (), notify: Proxy | None = None) -> Container:
    """Let the init of a created container exec its program, and run the poststart hooks.

    The lock is held until the program runs: of two starts one wins. It is not held for the hooks, which may take
    long and call pyrunc themselves. runtime.md#lifecycle 7 and 9: a failing hook ends the container.
    notify begins to listen before the program runs; the caller goes on with it.
    Raises StateError, StepError.
    """
    container = Container.load(root, id)
    lock, facts = Lock(root, id), Facts()
    facts.lock_fd = lock.fd
    try:
        status = container.status()
        if status != CREATED:
            raise StateError(REFUSALS.get(status) or f"cannot start a container in the {status} state")
        if not container.state["process"]:
            raise StateError("cannot start a container without a process: process is not set in config.json")
        if notify is not None:
            notify.listen()
        plan = plans.start(container)
        kernel = PosixKernel()
        if any(step.native for step in plan):
            from ..kernel.linux import Kernel
            kernel = Kernel()
        try:
            execute(plan, kernel, observers, facts)
        except PyruncError as fault:
            # Before the program runs (facts.pid) only a hook ends the container; else it is `stopped`, or waits on.
            hook = isinstance(fault, StepError) and fault.step.startswith("hooks.")
            if facts.pid or hook:
                if facts.lock_fd >= 0:
                    lock.close()
                    facts.lock_fd = -1
                _destroy(container, observers)
            raise
    finally:
        if facts.lock_fd >= 0:
            lock.close()
    return container


def _destroy(container: Container, observers: Sequence[Observer]) -> None:
    """End a container whose hook failed; what goes wrong then must not hide why."""
    from .delete import destroy
    try:
        with Lock(container.root, container.id):
            destroy(container, observers)
    except (OSError, PyruncError) as fault:
        warn(observers, [f"while removing the container: {describe(fault) if isinstance(fault, OSError) else fault}"])
