"""Writing a container to image files: what `checkpoint` does."""
from __future__ import annotations

from .. import plan
from ..engine.observer import warn
from ..engine.run import execute
from ..errors import PyruncError, StateError, describe
from ..kernel.linux import Kernel
from ..state import intact, store
from ..state.container import CREATED, CREATING, STOPPED, Container
from .delete import destroy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..criu.options import Choices
    from ..engine.observer import Observer
    from ..engine.step import Plan


def checkpoint(root: str, id: str, choices: Choices, observers: Sequence[Observer] = ()) -> None:
    """Write the images. The container is deleted when its processes have ended by it.

    Raises StateError unless it runs or is paused, StepError, and PyruncError without criu.
    """
    container = Container.load(root, id)
    with store.Lock(root, id):
        status = container.status()
        if status in (CREATED, CREATING, STOPPED):
            raise StateError(f"Container cannot be checkpointed in {status} state")
        execute(planned(container, choices), Kernel(), observers)
        if not choices.leave_running and not choices.pre_dump:
            try:
                destroy(container, observers)
            except (OSError, PyruncError) as fault:     # the checkpoint is there, and that was asked for
                warn(observers, [f"delete {id}: {describe(fault) if isinstance(fault, OSError) else fault}"])


def planned(container: Container, choices: Choices) -> Plan:
    """The plan for a container."""
    config = store.read_config(container.root, container.id)
    return plan.checkpoint(config, intact.options_of(container.state), container.state, choices)
