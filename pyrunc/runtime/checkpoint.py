"""Writing a container to image files: for the command line, the library and the shim."""
from __future__ import annotations

import posix

from .. import plan
from ..criu.messages import CGROUP_MODES
from ..engine.observer import warn
from ..engine.run import execute
from ..errors import PyruncError, StateError, UsageError, describe
from ..kernel.linux import Kernel
from ..paths import absolute
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

    Raises UsageError, StateError unless it runs or is paused, StepError, and PyruncError without criu.
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
    """The plan for a container. UsageError."""
    check(choices)
    config = store.read_config(container.root, container.id)
    return plan.checkpoint(config, intact.options_of(container.state), container.state, choices)


def check(choices: Choices) -> None:
    """Paths and words of a checkpoint or a restore. UsageError; no effects.

    parent_path names images that are there, seen from where these will be: CRIU puts a link to them.
    """
    if choices.manage_cgroups_mode not in CGROUP_MODES:
        raise UsageError(f"cgroups mode {choices.manage_cgroups_mode}: must be one of {', '.join(CGROUP_MODES)}")
    for path in (choices.image_path, choices.work_path):
        if path and not path.startswith("/"):
            raise UsageError(f"{path} is not an absolute path")
    if choices.parent_path.startswith("/"):
        raise UsageError("parent-path must be relative")
    if choices.parent_path:
        try:
            posix.listdir(absolute(choices.parent_path, choices.image_path))
        except OSError as fault:
            raise UsageError(f"invalid parent-path: {describe(fault)}") from None
