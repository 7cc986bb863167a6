"""Creating a container: for the command line, the library and the shim."""
from __future__ import annotations

import posix

from .. import plan
from ..config.check import check
from ..config.load import load
from ..engine.facts import Facts
from ..engine.run import execute
from ..errors import UsageError, describe
from ..host import probe
from ..kernel.linux import Kernel
from ..state.store import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config.types import Config
    from ..engine.observer import Observer
    from ..engine.step import Plan
    from ..host import Host
    from ..options import Options


def enter(bundle: str) -> None:
    """Make the bundle this process's directory, as hooks and relative paths expect. UsageError."""
    try:
        posix.chdir(bundle)
    except OSError as fault:
        raise UsageError(f"chdir {describe(fault)}") from None


def read(id: str, bundle: str, file: str = "config.json", start: bool = False, config: Config | None = None,
         odd: list[str] | None = None) -> Config:
    """The config, checked. No effects.

    file     counts from the bundle
    start    its program is run at once, so there has to be one
    config   instead of the file
    odd      gets what is worth a line in a log (check.check)
    Raises UsageError for what is no id, ConfigError.
    """
    check_id(id)
    found = load(bundle, file) if config is None else config
    told = check(found, start)
    if odd is not None:
        odd += told
    return found


def create(config: Config, options: Options, observers: Sequence[Observer] = (), host: Host | None = None) -> Facts:
    """Run the plan of create. The container is `created` afterwards; facts.pid and facts.pidfd are its init's, which
    is a child of the caller. The lock and the reader of the fifo stay with the caller (run.let_go).

    config      from read(); options.bundle is absolute and the present directory
    host        if the caller knows it already
    The process must have one thread: clone3(2) of one with more fails with EDEADLK (_native/module/clone.c).
    Raises ConfigError, StateError, StepError or engine.Interrupted, with everything undone.
    """
    return execute(planned(config, options, host), Kernel(), observers)


def planned(config: Config, options: Options, host: Host | None = None) -> Plan:
    """The plan of create, here and now; host: not on this one. Raises ConfigError; no effects."""
    return plan.create(config, options, host or probe())
