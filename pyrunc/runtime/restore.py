"""Making a container again from the images of a checkpoint: what `restore` does."""
from __future__ import annotations

from .. import plan
from ..engine.run import execute
from ..host import probe
from ..kernel.linux import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config.types import Config
    from ..criu.options import Choices
    from ..engine.facts import Facts
    from ..engine.observer import Observer
    from ..options import Options


def restore(config: Config, options: Options, choices: Choices, observers: Sequence[Observer] = ()) -> Facts:
    """Run the plan of restore. The processes run afterwards; facts.pid and facts.pidfd are their init's.

    Raises ConfigError, StateError, StepError, Interrupted with everything undone, and PyruncError without criu.
    """
    return execute(plan.restore(config, options, probe(), choices), Kernel(), observers)
