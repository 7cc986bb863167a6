"""Making a container again from the images of a checkpoint: for the command line, the library and the shim."""
from __future__ import annotations

from .. import plan
from ..engine.run import execute
from ..host import probe
from ..kernel.linux import Kernel
from .checkpoint import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config.types import Config
    from ..criu.options import Choices
    from ..engine.facts import Facts
    from ..engine.observer import Observer
    from ..engine.step import Plan
    from ..host import Host
    from ..options import Options


def restore(config: Config, options: Options, choices: Choices, observers: Sequence[Observer] = ()) -> Facts:
    """Run the plan of restore. The processes run afterwards; facts.pid and facts.pidfd are their init's.

    Raises UsageError, ConfigError, StateError, StepError, Interrupted with everything undone, and PyruncError without
    criu.
    """
    return execute(planned(config, options, choices), Kernel(), observers)


def planned(config: Config, options: Options, choices: Choices, host: Host | None = None) -> Plan:
    """The plan of restore, here and now; host: not on this one. Raises UsageError, ConfigError; no effects."""
    check(choices)
    return plan.restore(config, options, host or probe(), choices)
