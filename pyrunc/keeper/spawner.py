"""A worker that stays: it runs one operation after another, each in a process as clean as a new one's.

A new worker pays for its copy of every page that it touches, which is most of what a small operation costs. So one that
has done well is asked again. What an operation has changed of its process (descriptors, directory, mappings, children)
is put back; a worker whose operation failed, or whose namespaces or CPUs are not what they were, ends.
"""
from __future__ import annotations

import _socket
import gc
import posix

from .._native import ffi, lib
from ..errors import strerror
from ..kernel.page import Page
from ..kernel.posix import PosixKernel
from . import errors
from .channel import Channel
from .operations import Told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..engine.run import Engine
    from .channel import Message
    from .nursery import Operation

#: Operations of whose failures a report is kept.
KEPT = ("create", "start", "exec", "restore")
#: Operations after which a worker ends however well it does, and between two collections of garbage: what is left of a
#: plan refers to itself. Python's own collector would come in the middle of one, and in the init, which would copy each
#: page that is looked at.
MOST, TIDY = 1000, 20
#: Its descriptors besides the standard ones: the channel, and what takes the place of a process's streams.
CHANNEL, NULL, FREE = 3, 4, 5
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid_for_children", "time_for_children", "user", "uts")


class Unmapping(Told):
    """What plans have to say; and the page of each is unmapped when it is over.

    whole   one has had a kernel that can change this process's namespaces
    """
    whole = False

    def after_plan(self, run: Engine) -> None:
        super().after_plan(run)
        self.whole = self.whole or type(run.kernel) is not PosixKernel
        page, run.facts.page = run.facts.page, None
        if not isinstance(page, Page):                    # (its own word for its size is not to be trusted)
            lib.pr_page_unmap(page, len(run.steps))


def answer_of(operation: Operation, request: Message, fds: list[int], told: Told) -> tuple[Message, list[int]]:
    """Run an operation: the message that tells of it, and the descriptors that go with that."""
    message: Message
    given: list[int] = []
    try:
        answer, given = operation(request, fds, told)
        message = {"answer": answer}
    except BaseException as fault:                        # also a fault of ours: the caller is told, we live
        message = {"error": errors.pack(fault)}
        if "namespace" in request and request.get("operation") in KEPT:      # of an engine; the library gets it all
            from ..checks.failures import keep
            keep(request.get("root", ""), request.get("id", ""), request["operation"], fault,
                 bundle=request.get("bundle", ""), config=request.get("config"), ran=told.ran, look=False)
    return {**message, "warnings": told.warnings, "records": told.records}, given


def serve(channel: Channel, operations: Mapping[str, Operation], early: Callable[[], None] | None = None) -> None:
    """Run what comes until the channel closes, an operation fails, or this process is not what it was.

    The parent adopts what is made (Options.heir), so that it learns of every end whatever becomes of this process.
    early   what is done first: nothing is asked for yet, so it costs no time
    """
    gc.disable()
    channel = keep_only(channel)
    heir, before = posix.getppid(), own()
    if early is not None:
        early()
    for number in range(1, MOST + 1):
        received = channel.receive()
        if received is None:
            return
        request, fds = received
        told = Unmapping(request.get("traced", False))
        message, given = answer_of(operations[request["operation"]], {**request, "heir": heir}, fds, told)
        spent = number == MOST or "error" in message or (told.whole and own() != before)
        channel.send({**message, "spent": spent}, given)
        if spent:
            return
        put_back()
        if not number % TIDY:
            gc.collect()


def keep_only(channel: Channel) -> Channel:
    """Let go of all that the parent has open but this channel. Whoever reads a FIFO of which an end stayed open here
    would wait for ever for its end."""
    place(channel.fileno(), CHANNEL)
    place(posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC), NULL)
    put_back()
    return Channel(_socket.socket(fileno=CHANNEL))


def place(fd: int, number: int) -> None:
    """Give a descriptor a number, where dup3(2) refuses the one that it has already."""
    if fd != number:
        posix.dup2(fd, number, False)


def put_back() -> None:
    """Streams, descriptors, directory and children as they were."""
    for fd in range(3):
        posix.dup2(NULL, fd, True)
    if lib.pr_close_range(FREE, (1 << 32) - 1, 0) < 0:
        raise OSError(ffi.errno, strerror(ffi.errno), "close_range")
    posix.chdir("/")
    try:
        while posix.waitpid(-1, posix.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def own() -> tuple[Any, ...]:
    """What operations change of their process, and must have put back themselves: namespaces and CPUs."""
    return *map(_namespace, NAMESPACES), posix.sched_getaffinity(0)


def _namespace(name: str) -> int:
    try:
        return posix.stat(f"/proc/self/ns/{name}").st_ino
    except FileNotFoundError:                             # a kernel without this kind
        return 0
