"""The library's front door: create a container from a config, without a command line.

    from pyrunc import runtime
    from pyrunc.options import Options
    facts = runtime.create(config, Options(id="c1", bundle="/bundle"))

The caller's process must have one thread at the time of the call (clone3 of a threaded process deadlocks; the
native module refuses with EDEADLK) and become the parent of the container's init.
"""
from __future__ import annotations

import _signal

from . import plan
from .engine import Engine
from .facts import Facts
from .host import probe
from .kernel import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .config.types import Config
    from .host import Host
    from .options import Options
    from .step import Step

#: What an operator or an engine sends to a runtime that takes too long.
STOPPING = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)


def create(config: Config, options: Options, host: Host | None = None, trace: str = "",
           kernel: Kernel | None = None) -> Facts:
    """Run the plan of create. The container is `created` afterwards; facts.pid and facts.pidfd are its init's.

    config   checked (config/check.py); options.bundle absolute
    trace    file that gets one JSON line per step, also when a step fails; "" for none
    Raises ConfigError, StateError, StepError or engine.Interrupted, with everything undone.
    """
    return execute(plan.create(config, options, host or probe()), trace, kernel)


def execute(steps: Sequence[Step], trace: str = "", kernel: Kernel | None = None, facts: Facts | None = None) -> Facts:
    """Run any plan: signals that ask the runtime to stop undo it, and the trace is written however it ends."""
    engine = Engine(steps, kernel or Kernel(), facts)
    before = [(number, _signal.signal(number, engine.on_signal)) for number in STOPPING]
    try:
        engine.run()
    finally:
        for number, handler in before:
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
        if trace:
            from .trace import write
            write(trace, engine)
    return engine.facts
