"""What a worker can do: one operation on one container, as the library asks for it.

Each gets the request, plain values, the descriptors that came with it, which it may keep, and who notes what plans
have to say; it gives the answer and the descriptors that go with it. A worker ends afterwards, so what an operation
changes of its process (directory, namespaces, descriptors) needs no undoing.
"""
from __future__ import annotations

import posix

from .. import plan
from ..config.check import check, check_process
from ..config.load import load
from ..engine.observer import Observer
from ..engine.run import execute
from ..errors import UsageError, describe
from ..host import probe
from ..kernel.linux import Kernel
from ..kernel.posix import Files
from ..options import Options
from ..runtime import exec as runtime_exec
from ..runtime import freeze
from ..state import store
from ..state.container import Container

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
    """

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


def create(request: Message, fds: list[int], told: Told) -> Answer:
    """Make a container. With process.terminal the terminal's master end goes with the answer, after the pidfd."""
    standard_streams(fds)
    bundle = request["bundle"]
    store.check_id(request["id"])
    try:
        posix.chdir(bundle)
    except OSError as fault:
        raise UsageError(f"chdir {describe(fault)}") from None
    config = request["config"] if request["config"] is not None else load(bundle)
    check(config)
    options = Options(id=request["id"], root=request["root"], bundle=bundle,
                      detach=not config.get("process", {}).get("terminal"), **request["options"])
    facts = execute(plan.create(config, options, probe()), Kernel(), [told])
    return {"pid": facts.pid}, given(facts)


def exec(request: Message, fds: list[int], told: Told) -> Answer:
    """One more process in a container; the terminal's master end as with create."""
    standard_streams(fds)
    container, config = runtime_exec.found(request["root"], request["id"])
    own: Any = config.get("process") or {}
    process = runtime_exec.completed({"cwd": own.get("cwd", "/"), **request["process"]}, own)
    check_process(process, "the process")
    options = runtime_exec.options_of(container, detach=not process.get("terminal"))
    facts = runtime_exec.exec(container, config, process, options, [told])
    return {"pid": facts.pid}, given(facts)


def start(request: Message, fds: list[int], told: Told) -> Answer:
    """Let a created container run its program."""
    from ..runtime.start import start as let_go
    let_go(request["root"], request["id"], [told])
    return {}, []


def kill(request: Message, fds: list[int], told: Told) -> Answer:
    """Send a signal to the init, or to every process of the container."""
    execute(plan.kill(loaded(request), request["signal"], request["all"]), Files(), [told])
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
    from ..runtime.update import update as change
    change(request["root"], request["id"], request["resources"], [told])
    return {}, []


def delete(request: Message, fds: list[int], told: Told) -> Answer:
    """Remove a container that has stopped or never started; with force, kill it first."""
    from ..runtime.delete import delete as remove
    remove(request["root"], request["id"], request["force"], [told])
    return {}, []


OPERATIONS: dict[str, Callable[[Message, list[int], Told], Answer]] = {
    "create": create, "start": start, "exec": exec, "kill": kill, "pause": pause, "resume": resume, "update": update,
    "delete": delete}


def given(facts: Facts) -> list[int]:
    """The descriptors that go with an answer: the process's pidfd, and the master end of its terminal if it has one."""
    return [facts.pidfd] + ([facts.console_fd] if facts.console_fd >= 0 else [])


def loaded(request: Message) -> Container:
    """The container that a request is about."""
    return Container.load(request["root"], request["id"])


def standard_streams(fds: list[int]) -> None:
    """Make the three descriptors of a request 0, 1 and 2 of this process."""
    above = [posix.dup2(fd, 10 + index) if fd < 3 else fd for index, fd in enumerate(fds)]
    for number, fd in enumerate(above[:3]):
        posix.dup2(fd, number, True)
    for fd in {*fds, *above}:
        if fd > 2:
            posix.close(fd)
