"""The library's front door: create a container from a config, without a command line.

    from pyrunc import runtime
    from pyrunc.options import Options
    facts = runtime.create(config, Options(id="c1", bundle="/bundle"))

The caller's process must have one thread at the time of the call (clone3 of a threaded process deadlocks; the
native module refuses with EDEADLK) and become the parent of the container's init.
"""
from __future__ import annotations

from .. import plan
from ..engine.facts import Facts
from ..engine.run import execute
from ..host import probe
from ..kernel.linux import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config.types import Config
    from ..engine.observer import Observer
    from ..host import Host
    from ..options import Options


def create(config: Config, options: Options, host: Host | None = None, observers: Sequence[Observer] = (),
           kernel: Kernel | None = None) -> Facts:
    """Run the plan of create. The container is `created` afterwards; facts.pid and facts.pidfd are its init's.

    config      checked (config/check.py); options.bundle absolute
    observers   whoever watches (observer.py): trace.TraceFile, stops.Breakpoints
    Raises ConfigError, StateError, StepError or engine.Interrupted, with everything undone.
    """
    return execute(plan.create(config, options, host or probe()), kernel or Kernel(), observers)
