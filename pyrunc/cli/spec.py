"""spec: write a config.json to begin with."""
from __future__ import annotations

import posix

from ..config.example import example, rootless
from ..errors import UsageError, describe, strerror
from ..formats.json_text import dumps
from ..paths import absolute
from .flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

COMMAND = Command(
    "spec", "write an example config.json",
    (Flag("bundle", str, "the bundle's directory (default: the current one)", short="b", value="DIR"),
     Flag("config", str, "write to this file instead", short="f", value="FILE", default="config.json"),
     Flag("rootless", bool, "write one that an ordinary user can run")),
    arguments="", least=0, most=0)


def run(call: Call) -> int:
    """Write the file into the bundle, indented by tabs; an existing one is left alone."""
    name = call.text("config")
    path = absolute(name, absolute(call.text("bundle")) if call.text("bundle") else "")
    config = rootless(example()) if call.on("rootless") else example()
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise UsageError(f"File {name} exists. Remove it first") from None
    except OSError as fault:
        raise UsageError(f"open {describe(fault)}") from None
    data = (dumps(config, "\t") + "\n").encode()
    try:
        while data:
            data = data[posix.write(fd, data):]
    except OSError as fault:             # half a config.json would be in the way of the next try
        posix.unlink(path)
        raise UsageError(f"write {path}: {strerror(fault.errno or 0)}") from None
    finally:
        posix.close(fd)
    return 0
