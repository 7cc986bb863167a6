"""What a worker can do: one operation on one container, as the library asks for it.

Each gets the request, plain values, the descriptors that came with it, which it may keep, and who notes what plans
have to say; it gives the answer and the descriptors that go with it. A worker ends afterwards, so what an operation
changes of its process (directory, namespaces, descriptors) needs no undoing.
"""
from __future__ import annotations

import posix

from ..config.load import load
from ..engine.observer import Observer, warn
from ..errors import StepError
from ..options import Options
from ..runtime import create as creating
from ..runtime import exec as executing
from ..runtime import freeze
from ..runtime.delete import delete as delete_container
from ..runtime.kill import kill as send_signal
from ..runtime.start import start as start_container
from ..runtime.update import update as update_container
from ..state.store import check_id
from . import prepared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..engine.run import Engine
    from .channel import Message

    Answer = tuple[Message, list[int]]


class Told(Observer):
    """What plans have to say: part of an operation's answer, however it ends.

    warnings   what went wrong without ending one
    records    of every step that ran (engine/trace.py), if they were asked for
    ran        of a plan that has failed: what a report keeps (checks/failures.py)
    others     who else watches the operation's plans, and comes first: the page of one may be unmapped by this one
    """
    ran: dict[str, Any] | None = None

    def __init__(self, traced: bool) -> None:
        self.traced = traced
        self.warnings: list[str] = []
        self.records: list[dict[str, Any]] = []
        self.others: list[Observer] = []

    @property
    def observers(self) -> list[Observer]:
        """All who watch."""
        return [*self.others, self]

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    note = notice = warning

    def after_plan(self, run: Engine) -> None:
        if self.traced:
            from ..engine.trace import records
            self.records += records(run)
        if run.error is not None:
            from ..checks.failures import of_run
            try:
                self.ran = of_run(run)
            except Exception:            # no report then: the error is what counts
                pass


def create(request: Message, fds: list[int], told: Told) -> Answer:
    """Make a container. With process.terminal the terminal's master end goes with the answer, after the pidfd."""
    facts = creating.create(*_wanted(request, fds, told), told.observers, prepared.host())
    return {"pid": facts.pid}, given(facts)


def _wanted(request: Message, fds: list[int], told: Told) -> tuple[Config, Options]:
    """What a container is made of, read and checked; this process has its streams and directory from here on."""
    standard_streams(fds)
    bundle = request["bundle"]
    creating.enter(bundle)
    check_id(request["id"])
    wanted = request.get("config")
    config, odd = prepared.config(load(bundle) if wanted is None else wanted)
    warn(told.observers, odd, "note")
    return config, Options(id=request["id"], root=request["root"], bundle=bundle,
                           detach=not config.get("process", {}).get("terminal"), terminal_taken=True,
                           heir=request.get("heir", 0), **request["options"])


def checkpoint(request: Message, fds: list[int], told: Told) -> Answer:
    """Write the images of a container; choices are CRIU's, by the names of criu/options.py."""
    from ..criu.options import Choices
    from ..runtime.checkpoint import checkpoint as write
    write(request["root"], request["id"], Choices(**request["choices"]), told.observers)
    return {}, []


def restore(request: Message, fds: list[int], told: Told) -> Answer:
    """Make a container from images, and let its processes run; the answer is create's."""
    from ..criu.options import Choices
    from ..runtime.restore import restore as make
    facts = make(*_wanted(request, fds, told), Choices(**request["choices"]), told.observers)
    return {"pid": facts.pid}, given(facts)


def exec(request: Message, fds: list[int], told: Told) -> Answer:
    """One more process in a container; the terminal's master end as with create."""
    standard_streams(fds)
    container, plan = prepared.exec(request)
    try:
        facts = executing.run(container, plan, told.observers)
    except StepError as fault:
        raise placed(fault, request["process"]) from None
    return {"pid": facts.pid}, given(facts)


def placed(fault: StepError, process: Message) -> StepError:
    """The error, with its place: what was asked for is in no config.json, and what that leaves out is."""
    name = fault.where.removeprefix("process.").partition(".")[0].partition("[")[0]
    return fault.of("of the exec") if fault.where.startswith("process.") and name in process else fault


def start(request: Message, fds: list[int], told: Told) -> Answer:
    """Let a created container run its program."""
    start_container(request["root"], request["id"], told.observers)
    return {}, []


def kill(request: Message, fds: list[int], told: Told) -> Answer:
    """Send a signal to the init, or to every process of the container."""
    send_signal(request["root"], request["id"], request["signal"], request["all"], told.observers)
    return {}, []


def pause(request: Message, fds: list[int], told: Told) -> Answer:
    """Stop every process of the container."""
    freeze.pause(request["root"], request["id"], told.observers)
    return {}, []


def resume(request: Message, fds: list[int], told: Told) -> Answer:
    """Let them go on."""
    freeze.resume(request["root"], request["id"], told.observers)
    return {}, []


def update(request: Message, fds: list[int], told: Told) -> Answer:
    """Change the limits: resources is like linux.resources, and what it leaves out stays."""
    update_container(request["root"], request["id"], request["resources"], told.observers)
    return {}, []


def delete(request: Message, fds: list[int], told: Told) -> Answer:
    """Remove a container that has stopped or never started; with force, kill it first."""
    delete_container(request["root"], request["id"], request["force"], told.observers)
    return {}, []


def command(request: Message, fds: list[int], told: Told) -> Answer:
    """Run another runtime's program: what came of it (foreign.py)."""
    from . import foreign
    standard_streams(fds)
    return foreign.run(request["argv"], request.get("pid_file", ""))


OPERATIONS: dict[str, Callable[[Message, list[int], Told], Answer]] = {
    "create": create, "start": start, "exec": exec, "kill": kill, "pause": pause, "resume": resume, "update": update,
    "delete": delete, "checkpoint": checkpoint, "restore": restore, "command": command}


def given(facts: Facts) -> list[int]:
    """The descriptors that go with an answer: the process's pidfd, and the master end of its terminal if it has one."""
    return [facts.pidfd] + ([facts.console_fd] if facts.console_fd >= 0 else [])


def standard_streams(fds: list[int]) -> None:
    """Make the three descriptors of a request 0, 1 and 2 of this process."""
    above = [posix.dup2(fd, 10 + index) if fd < 3 else fd for index, fd in enumerate(fds)]
    for number, fd in enumerate(above[:3]):
        posix.dup2(fd, number, True)
    for fd in {*fds, *above}:
        if fd > 2:
            posix.close(fd)
