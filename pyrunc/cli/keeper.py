"""keeper: what the library starts, and nobody by hand: it serves operations on a descriptor (pyrunc/keeper)."""
from __future__ import annotations

import _socket
import posix

from ..errors import UsageError
from .flags import Command, integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

COMMAND = Command("keeper", "run operations for a program that uses pyrunc as a library",
                  arguments="<descriptor> [<directory>]", least=1, most=2)

NAME = "pyrunc-keeper"


def run(call: Call) -> int:
    """Serve until the other end is closed. UsageError when the descriptor is no socket of the library's.

    With a directory the descriptor is a socket that listens, and the keeper outlives whoever connects to it.
    """
    number = integer("descriptor", call.arguments[0])
    try:
        socket = _socket.socket(fileno=number)
        kind = socket.type
    except (OSError, ValueError, OverflowError):
        raise UsageError(f"descriptor {number} is not a socket: the library starts the keeper") from None
    if kind != _socket.SOCK_SEQPACKET:
        raise UsageError(f"descriptor {number} is not the library's socket")
    socket.setblocking(True)
    posix.set_inheritable(number, False)
    warm()
    from ..keeper.operations import OPERATIONS
    if len(call.arguments) > 1:
        from ..keeper.lasting import Lasting
        Lasting(socket, call.arguments[1], OPERATIONS).run()
        return 0
    from ..keeper.channel import Channel
    from ..keeper.keeper import Keeper
    Keeper(Channel(socket), OPERATIONS).run()
    return 0


def warm() -> None:
    """Become what a keeper is, and import what its workers need, so that each finds it there."""
    import gc

    import prctl

    from .. import plan  # noqa: F401
    from ..kernel import linux  # noqa: F401
    prctl.set_child_subreaper(True)
    prctl.set_name(NAME)
    gc.collect()
    gc.enable()
    gc.freeze()                              # what is there is no garbage; a worker's collector need not touch it
