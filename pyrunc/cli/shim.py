"""shim: what the program does under the name containerd-shim-pyrunc-v2, and nobody calls by hand (docs/shim.md)."""
from __future__ import annotations

import posix

from .flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

COMMAND = Command(
    "shim", "serve containerd",
    (Flag("namespace", str, "containerd's namespace", value="NAME"),
     Flag("id", str, "the container's id", value="ID"),
     Flag("address", str, "containerd's own socket", value="SOCKET"),
     Flag("publish-binary", str, "program that publishes events", value="FILE"),
     Flag("bundle", str, "the container's bundle, of delete", value="DIR"),
     Flag("zygote", str, "the zygote's socket, of start: the program itself gives it", value="SOCKET"),
     Flag("debug", bool, "say more"),
     Flag("v", bool, "print the version"),
     Flag("info", bool, "print what this shim can do, as a RuntimeInfo")),
    arguments="<start|delete>", least=0, most=1)


def run(call: Call) -> int:
    """Write what containerd wants to read."""
    from ..shim import command
    if call.on("v"):
        from .. import __version__
        from ..version import commit
        data = f"containerd-shim-pyrunc-v2:\n  Version:  {__version__}\n  Revision: {commit()}\n".encode()
    elif call.on("info"):
        data = command.info()
    else:
        from .main import main
        given = command.Given(call.text("id"), call.text("namespace"), call.text("address"), call.text("bundle"),
                              call.text("publish-binary"), call.text("zygote"), main)
        data = command.run(call.arguments[0] if call.arguments else "", given)
    while data:
        data = data[posix.write(1, data):]
    return 0
