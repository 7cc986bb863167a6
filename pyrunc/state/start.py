"""Starting a created container: for `start`, and for `run`, which created it itself."""
from __future__ import annotations

from ..engine import execute
from ..errors import PyruncError, StateError, StepError, describe
from ..files import Files
from ..observer import warn
from ..step import Plan
from ..steps.start import Release
from .container import CREATED, RUNNING, STOPPED, Container
from .store import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..notify import Proxy
    from ..observer import Observer
    from ..step import Step

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
    failed: StepError | None = None
    with Lock(root, id):
        status = container.status()
        if status != CREATED:
            raise StateError(REFUSALS.get(status) or f"cannot start a container in the {status} state")
        if not container.state["process"]:
            raise StateError("cannot start a container without a process: process is not set in config.json")
        if notify is not None:
            notify.listen()
        try:
            execute(Plan("start", [Release(container=container)]), Files(), observers)
        except StepError as fault:
            if not fault.step.startswith("hooks."):
                raise                   # the program cannot be executed: the container is `stopped`
            failed = fault
    if failed is not None:
        _destroy(container, observers)
        raise failed
    hooks = container.state["hooks"].get("poststart")
    if hooks:
        _poststart(container, hooks, observers)
    return container


def _poststart(container: Container, hooks: list[Any], observers: Sequence[Observer]) -> None:
    from ..facts import Facts
    from ..kernel import Kernel
    from ..steps.hooks import Output, Run, output_paths
    facts = Facts()
    facts.pid = container.pid
    state = container.oci_state(RUNNING)
    paths = output_paths(container.state["annotations"], container.state["bundle"])
    steps: list[Step] = [Output(paths=paths, where="annotations")] if any(paths) else []
    steps += [Run(name="hooks.poststart", hook=hook, state=state, where=f"hooks.poststart[{index}]")
              for index, hook in enumerate(hooks)]
    try:
        execute(Plan("start", steps), Kernel(), observers, facts)
    except PyruncError:
        _destroy(container, observers)
        raise


def _destroy(container: Container, observers: Sequence[Observer]) -> None:
    """End a container whose hook failed; what goes wrong then must not hide why."""
    from .destroy import destroy
    try:
        with Lock(container.root, container.id):
            destroy(container, observers)
    except (OSError, PyruncError) as fault:
        warn(observers, [f"while removing the container: {describe(fault) if isinstance(fault, OSError) else fault}"])
