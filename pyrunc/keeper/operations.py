"""What a worker can do: one operation on one container, as the library asks for it.

Each gets the request, plain values, the descriptors that came with it, which it may keep, and who notes what plans
have to say; it gives the answer and the descriptors that go with it. A worker ends afterwards, so what an operation
changes of its process (directory, namespaces, descriptors) needs no undoing.
"""
from __future__ import annotations

import posix

from ..config.check import check_process
from ..engine.observer import Observer
from ..options import Options
from ..runtime import create as creating
from ..runtime import exec as executing
from ..runtime import freeze
from ..runtime.delete import delete as delete_container
from ..runtime.kill import kill as send_signal
from ..runtime.start import start as start_container
from ..runtime.update import update as update_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..engine.facts import Facts
    from ..engine.run import Engine
    from .channel import Message

    Answer = tuple[Message, list[int]]


class Told(Observer):
    """What plans have to say: part of an operation's answer, however it ends.

    warnings   what went wrong without ending one
    records    of every step that ran (engine/trace.py), if they were asked for
    ran        of a plan that has failed: what a report keeps (checks/failures.py)
    """
    ran: dict[str, Any] | None = None

    def __init__(self, traced: bool) -> None:
        self.traced = traced
        self.warnings: list[str] = []
        self.records: list[dict[str, Any]] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    note = warning

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
    standard_streams(fds)
    bundle = request["bundle"]
    creating.enter(bundle)
    config = creating.read(request["id"], bundle, config=request["config"], odd=told.warnings)
    options = Options(id=request["id"], root=request["root"], bundle=bundle,
                      detach=not config.get("process", {}).get("terminal"), **request["options"])
    facts = creating.create(config, options, [told])
    return {"pid": facts.pid}, given(facts)


def exec(request: Message, fds: list[int], told: Told) -> Answer:
    """One more process in a container; the terminal's master end as with create."""
    standard_streams(fds)
    container, config = executing.found(request["root"], request["id"])
    own: Any = config.get("process") or {}
    process = executing.completed({"cwd": own.get("cwd", "/"), **request["process"]}, own)
    check_process(process, "the process")
    options = executing.options_of(container, detach=not process.get("terminal"), heir=request.get("heir", 0))
    facts = executing.exec(container, config, process, options, [told])
    return {"pid": facts.pid}, given(facts)


def start(request: Message, fds: list[int], told: Told) -> Answer:
    """Let a created container run its program."""
    start_container(request["root"], request["id"], [told])
    return {}, []


def kill(request: Message, fds: list[int], told: Told) -> Answer:
    """Send a signal to the init, or to every process of the container."""
    send_signal(request["root"], request["id"], request["signal"], request["all"], [told])
    return {}, []


def pause(request: Message, fds: list[int], told: Told) -> Answer:
    """Stop every process of the container."""
    freeze.pause(request["root"], request["id"], [told])
    return {}, []


def resume(request: Message, fds: list[int], told: Told) -> Answer:
    """Let them go on."""
    freeze.resume(request["root"], request["id"], [told])
    return {}, []


def update(request: Message, fds: list[int], told: Told) -> Answer:
    """Change the limits: resources is like linux.resources, and what it leaves out stays."""
    update_container(request["root"], request["id"], request["resources"], [told])
    return {}, []


def delete(request: Message, fds: list[int], told: Told) -> Answer:
    """Remove a container that has stopped or never started; with force, kill it first."""
    delete_container(request["root"], request["id"], request["force"], [told])
    return {}, []


def command(request: Message, fds: list[int], told: Told) -> Answer:
    """Run another runtime's program: what came of it (foreign.py)."""
    from . import foreign
    standard_streams(fds)
    return foreign.run(request["argv"], request.get("pid_file", ""))


OPERATIONS: dict[str, Callable[[Message, list[int], Told], Answer]] = {
    "create": create, "start": start, "exec": exec, "kill": kill, "pause": pause, "resume": resume, "update": update,
    "delete": delete, "command": command}


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
