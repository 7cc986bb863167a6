"""The shim that serves: set up after `start` has answered, ends when containerd says so, or when it is forgotten."""
from __future__ import annotations

import posix

from ..kernel.loop import Loop
from ..kernel.prompt import be_prompt
from ..ttrpc.messages.task import TASK, TASK_SERVICE
from ..ttrpc.server import Server
from .events import Publisher
from .operations import look
from .service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from ..kernel.loop import Timer

#: The same methods and messages have another name from containerd 2.0 on.
TASK_SERVICE_3 = TASK_SERVICE.replace(".v2.", ".v3.")
NAME = b"pyrunc-shim"
#: Seconds after which a shim without a container ends by itself: containerd was killed before it could ask for one, or
#: say Shutdown, and the next one does not know that shim (containerd#6860).
UNUSED = 30.0


def rename(name: bytes) -> None:
    """What ps shows. (python-prctl would have to be read from a file, which a forked process of ours must not.)"""
    from .._native import ffi, lib
    text = ffi.new("char[]", name)
    lib.pr_prctl(lib.PR_SET_NAME, ffi.cast("uintptr_t", text), 0, 0, 0)


def serve(listener: _socket.socket, path: str, namespace: str, ttrpc_address: str, program: list[str]) -> None:
    """Serve on a listening socket, whose path is removed at the end. program: events.Publisher."""
    import gc

    from .._native import lib
    rename(NAME)
    lib.pr_prctl(lib.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    gc.enable()
    be_prompt()
    loop = Loop()
    publisher = Publisher(loop, ttrpc_address, namespace, program)

    def shutdown() -> None:
        if service.leaving:                            # by now the path may be another's
            return
        service.leaving = True
        try:
            posix.unlink(path)                         # before the answer: the next `start` shall not find us
        except FileNotFoundError:
            pass
        loop.later(0.0, lambda: publisher.flush(loop.stop))     # after it

    timers: list[Timer] = []

    def emptied() -> None:
        if timers:
            timers.pop().cancel()
        timers.append(loop.later(UNUSED, unused))

    def unused() -> None:
        if service.creating:
            emptied()                                  # it may fail
        elif not service.tasks:
            shutdown()

    service = Service(loop, publisher, namespace, shutdown, emptied)
    emptied()
    server = Server(loop, listener)
    for version in (TASK_SERVICE, TASK_SERVICE_3):
        server.register(version, TASK, service.handlers())
    bundle = posix.getcwd()
    service.nursery.prepare(lambda: look(bundle))      # for the Create that follows a start
    loop.run()
