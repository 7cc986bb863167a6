"""Which containers are traced when the switch file names an annotation: those that have it.

The administrator says by the file's content that an annotation may switch the trace on, and the file that is written
to is his as well; whoever makes containers only gets to say which of them.
"""
from __future__ import annotations

import posix

from ..errors import PyruncError, UsageError, strerror
from ..kernel.own_files import REGULAR, TYPE
from ..state.container import Container
from ..state.store import check_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .flags import Call

#: Beside the containers' directories, and "@" is in no container's id.
SWITCH, FILE = "@trace", "@trace.jsonl"
LIMIT = 4096
OFF = ("", "0", "false")


def switched(root: str) -> tuple[str, str]:
    """(file for the trace, annotation that a traced container has): what <root>/@trace asks for; "" for none."""
    text = read_switch(root, SWITCH)
    return ("", "") if text is None else (f"{root}/{FILE}", text)


def read_switch(root: str, name: str) -> str | None:
    """What stands in a switch file of the state root; None without one.

    The state root has to be the caller's own: what the switch is for is the administrator's to say.
    """
    try:
        found = posix.lstat(f"{root}/{name}")
        check_root(root)
        if found.st_mode & TYPE != REGULAR:
            return None
        fd = posix.open(f"{root}/{name}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except (OSError, PyruncError):       # the command itself will say what is wrong with the root
        return None
    try:
        return posix.read(fd, LIMIT).decode(errors="replace").strip()
    finally:
        posix.close(fd)


def hold(call: Call, path: str) -> None:
    """Open the file for the trace, and keep it open to the command's end: whoever reads a FIFO reads on between plans.

    One that the caller names has to be there. For the one beside the containers, which engines cannot help, a warning
    is enough, and there is no trace.
    """
    from ..engine.trace import open_to_append
    try:
        open_to_append(path)
    except OSError as fault:
        told = f"open the trace {path}: {strerror(fault.errno or 0)}"
        if path != f"{call.root}/{FILE}":
            raise UsageError(told) from None
        call.log.warning(told)
        call.trace = ""


def narrow(call: Call, annotations: Mapping[str, str] | None = None) -> None:
    """Take the trace from a call whose container has not the annotation, or has it say false.

    annotations   of the config; None: of the container that is there, if one is
    """
    if annotations is None:
        if not call.arguments:
            return
        try:
            annotations = Container.load(call.root, call.id).state["annotations"]
        except PyruncError:          # create: it looks again when it has read the config
            return
    if annotations.get(call.settings["trace-annotation"], "") in OFF:
        call.trace = ""
