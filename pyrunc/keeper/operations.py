"""What a worker can do: one operation on one container, as the library asks for it.

Each gets the request, plain values, and the descriptors that came with it, which it may keep; it gives the answer and
the descriptors that go with it. A worker ends afterwards, so what an operation changes of its process (directory,
namespaces, descriptors) needs no undoing.
"""
from __future__ import annotations

import posix

from ..config.check import check, check_process, check_resources
from ..config.load import load
from ..engine import execute
from ..errors import NOT_RUNNING, StateError, UsageError, describe
from ..files import Files
from ..host import probe
from ..kernel import Kernel
from ..options import Options
from ..state import store
from ..state.container import CREATED, PAUSED, RUNNING, STOPPED, Container
from ..state.store import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .channel import Message

    Answer = tuple[Message, list[int]]


class Warnings:
    """A log for operations: what does not end one is part of its answer."""
    verbose = False

    def __init__(self) -> None:
        self.texts: list[str] = []

    def warning(self, message: str) -> None:
        self.texts.append(message)

    def debug(self, message: str) -> None:
        """Nobody asked for it."""


def create(request: Message, fds: list[int]) -> Answer:
    """Make a container. With process.terminal the terminal's master end goes with the answer, after the pidfd."""
    from .. import plan
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
    log = Warnings()
    facts = execute(plan.create(config, options, probe()), Kernel(), log=log)  # type: ignore[arg-type]
    given = [facts.pidfd] + ([facts.console_fd] if facts.console_fd >= 0 else [])
    return {"pid": facts.pid, "warnings": log.texts}, given


def exec(request: Message, fds: list[int]) -> Answer:
    """One more process in a container; the terminal's master end as with create."""
    from .. import plan
    standard_streams(fds)
    container = loaded(request)
    status = container.status()
    if status == STOPPED or not container.pid:
        raise StateError(f"cannot exec in a stopped container: {NOT_RUNNING}")
    if status == PAUSED:
        raise StateError("cannot exec in a paused container")
    saved: Any = store.read_config(container.root, container.id)
    from ..cli.exec import completed
    containers = saved.get("process") or {}
    process = completed({"cwd": containers.get("cwd", "/"), **request["process"]}, containers)
    check_process(process, "the process")
    options = Options(
        id=container.id, root=container.root, bundle=container.state["bundle"], joins=True, init_pid=container.pid,
        no_new_keyring=container.state["options"].get("no_new_keyring", False), detach=not process.get("terminal"))
    config: Any = {**saved, "process": process}
    log = Warnings()
    facts = execute(plan.exec(config, options, probe(), container.state), Kernel(), log=log)  # type: ignore[arg-type]
    given = [facts.pidfd] + ([facts.console_fd] if facts.console_fd >= 0 else [])
    return {"pid": facts.pid, "warnings": log.texts}, given


def start(request: Message, fds: list[int]) -> Answer:
    """Let a created container run its program."""
    from ..state.start import start as let_go
    log = Warnings()
    let_go(request["root"], request["id"], "", log)  # type: ignore[arg-type]
    return {"warnings": log.texts}, []


def kill(request: Message, fds: list[int]) -> Answer:
    """Send a signal to the init, or to every process of the container."""
    from ..steps.signal import send
    send(loaded(request), request["signal"], request["all"])
    return {}, []


def pause(request: Message, fds: list[int]) -> Answer:
    """Stop every process of the container."""
    from ..steps.signal import Freeze
    container = loaded(request)
    with Lock(container.root, container.id):
        if container.status() not in (CREATED, RUNNING):
            raise StateError(NOT_RUNNING)
        execute([Freeze(container=container)], Files())
    return {}, []


def resume(request: Message, fds: list[int]) -> Answer:
    """Let them go on."""
    from ..errors import NOT_PAUSED
    from ..steps.signal import Thaw
    container = loaded(request)
    with Lock(container.root, container.id):
        if container.status() != PAUSED:
            raise StateError(NOT_PAUSED)
        execute([Thaw(container=container)], Files())
    return {}, []


def update(request: Message, fds: list[int]) -> Answer:
    """Change the limits: resources is like linux.resources, and what it leaves out stays."""
    from ..cgroups.update import merged
    from ..steps.update import plan
    container = loaded(request)
    resources: Any = request["resources"]
    check_resources(resources, "the resources")
    with Lock(container.root, container.id):
        if container.status() == STOPPED:
            raise StateError(NOT_RUNNING)
        config: Any = store.read_config(container.root, container.id)
        state, linux = container.state, config.setdefault("linux", {})
        saved: Any = linux.get("resources") or {}
        execute(plan(resources, saved, probe(), state["cgroup"], state["mark"], state.get("unit", ""),
                     state.get("user_manager", False)), Kernel())
        linux["resources"] = merged(saved, resources)
        store.write(container.root, container.id, store.CONFIG, config)
    return {}, []


def delete(request: Message, fds: list[int]) -> Answer:
    """Remove a container that has stopped or never started; with force, kill it first."""
    from ..state.destroy import delete as remove
    log = Warnings()
    remove(request["root"], request["id"], request["force"], "", log)  # type: ignore[arg-type]
    return {"warnings": log.texts}, []


OPERATIONS: dict[str, Callable[[Message, list[int]], Answer]] = {
    "create": create, "start": start, "exec": exec, "kill": kill, "pause": pause, "resume": resume, "update": update,
    "delete": delete}


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
