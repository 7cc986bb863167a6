"""Done once before the program's memory is written down (docs/start.md): what commands do, without any effect.

CPython makes its code quicker while it runs: it notes where attributes are found, and of which type things are. So
each command begins with that done, and does not write it into pages of its own. All that is planned here is for a
made-up host and done on the Recorder; of what is read of this host, nothing is kept.
"""
from __future__ import annotations

import _signal
import gc
import posix
import sys

from .. import plan
from ..config.check import check
from ..config.example import example
from ..config.load import loads
from ..engine.facts import Facts
from ..engine.step import Barrier
from ..errors import PyruncError
from ..formats.json_text import dumps
from ..host import Host
from ..kernel.page import Page
from ..kernel.recorder import Recorder
from ..kernel.stopping import STOPPING
from ..options import Options
from ..request import Request
from ..state.container import Container
from ..state.intent import intent
from .main import main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..engine.step import Plan

#: CPython 3.11 makes a function quicker once it has been called eight times; later releases do so earlier.
ROUNDS = 12
#: proc(5) makes no such directory, and nobody can make one there.
NOWHERE = "/proc/pyrunc/state"
#: More than a kernel gives to a process (PID_MAX_LIMIT).
NOBODY = (1 << 22) + 1


def warm() -> None:
    """Raises what is wrong: then no snapshot is made."""
    if "fcntl" in sys.builtin_module_names:  # (of a file it cannot be in the snapshot)
        __import__("fcntl")
    stderr = posix.dup(2)
    silent = posix.open("/dev/null", posix.O_WRONLY | posix.O_CLOEXEC)
    posix.dup2(silent, 2)                    # commands tell of a container that is not there
    try:
        for _ in range(ROUNDS):
            _once()
            gc.collect()                     # (what refers to itself, such as a plan and its facts)
    finally:
        posix.dup2(stderr, 2)
        posix.close(stderr)
        posix.close(silent)
        for number in STOPPING:              # (main has set them, and does so again)
            _signal.signal(number, _signal.SIG_DFL)


def _once() -> None:
    config = loads(dumps(_config(), 2).encode())
    check(config)
    options = Options(id="ID", bundle=NOWHERE, root=NOWHERE, nonce="NONCE")
    joining = Options(id="ID", bundle=NOWHERE, root=NOWHERE, joins=True, init_pid=NOBODY)
    state = {**intent(Request(config, options, Host())), "pid": NOBODY, "start_time": 1}
    container = Container(NOWHERE, "ID", state, True)
    for made in (plan.create(config, options, Host()), plan.exec(config, joining, Host(), state), plan.start(container),
                 plan.kill(container, 9, False), plan.delete(container)):
        _pretend(made)
    for command in ("state", "kill", "start", "delete"):
        main(["--root", NOWHERE, command, "ID"])


def _config() -> dict[str, Any]:
    config = example()
    config["process"]["terminal"] = False
    config["process"]["oomScoreAdj"] = 0
    config["linux"]["cgroupsPath"] = "/ID"
    return config


def _pretend(made: Plan) -> None:
    """Apply each step to the Recorder, as far as its made-up answers go."""
    kernel, facts = Recorder(), Facts()
    facts.page, facts.plan = Page(len(made)), made
    for number, step in enumerate(made):
        kernel.step = number
        if not isinstance(step, Barrier):
            try:
                step.apply(kernel, facts)
            except (OSError, PyruncError):
                pass
