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
from sys import byteorder

from .. import plan
from ..config.check import check
from ..config.example import example
from ..config.load import loads
from ..engine.facts import Facts
from ..engine.observer import LogLines
from ..engine.run import execute
from ..engine.step import Barrier
from ..errors import PyruncError
from ..formats.json_text import dumps
from ..host import Host
from ..kernel import small_file
from ..kernel.own_files import check_owner, open_directory
from ..kernel.page import PHASE_EXEC, Page
from ..kernel.recorder import Recorder
from ..kernel.stopping import STOPPING
from ..log import Log
from ..options import Options
from ..request import Request
from ..state.container import Container
from ..state.intact import check as check_record
from ..state.intent import intent
from ..state.process_id import parse_stat
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
    for made in (plan.create(config, options, Host()), plan.exec(config, joining, Host(), state)):
        _pretend(made)
    for made in (plan.start(container), plan.kill(container, 9, False), plan.delete(container)):
        _run(made)
    _look(container)
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


class Unwritten(Recorder):
    """Has no cgroup, and a journal that says that the program runs."""

    def read(self, fd: int, limit: int) -> bytes:
        super().read(fd, limit)
        return b"".join(number.to_bytes(4, byteorder) for number in (0, 1, 1, 0, 0, PHASE_EXEC, 0, 0, 0))


def _run(made: Plan) -> None:
    """Let the engine run a plan that is the runtime's alone."""
    try:
        execute(made, Unwritten(), [LogLines(Log())])
    except (OSError, PyruncError):
        pass


def _look(container: Container) -> None:
    """What commands do before there is a plan, and `state` instead of one, with what they would have read."""
    record = container.state
    check_record(loads(dumps(record).encode(), "", 1 << 20), "ID", "", True)
    container.status()
    dumps(container.described(), 2)
    parse_stat(small_file.read("/proc/self/stat"))
    try:
        posix.close(open_directory("/proc", "self"))
    except (OSError, PyruncError):           # (it is a link)
        pass
    check_owner("", posix.stat_result((0o100600, 1, 1, 1, posix.geteuid(), 0, 0, 0, 0, 0)))
