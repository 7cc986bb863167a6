"""The shim that serves: set up after `start` has answered, ends when containerd says so."""
from __future__ import annotations

import posix

from ..kernel.loop import Loop
from ..ttrpc.messages.task import TASK, TASK_SERVICE
from ..ttrpc.server import Server
from .events import Publisher
from .service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

#: The same methods and messages have another name from containerd 2.0 on.
TASK_SERVICE_3 = TASK_SERVICE.replace(".v2.", ".v3.")
NAME = b"pyrunc-shim"


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
    loop = Loop()
    publisher = Publisher(loop, ttrpc_address, namespace, program)

    def shutdown() -> None:
        try:
            posix.unlink(path)
        except FileNotFoundError:
            pass
        publisher.flush(loop.stop)

    service = Service(loop, publisher, namespace, shutdown)
    server = Server(loop, listener)
    for version in (TASK_SERVICE, TASK_SERVICE_3):
        server.register(version, TASK, service.handlers())
    loop.run()
