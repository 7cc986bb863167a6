"""Files in the state root that switch the trace and stops on for what engines call: @trace and @break.

Engines pass neither flags nor their environment on, but a file beside their containers always works. "@" is in no
container's id. What the file says is the administrator's word, and so is where the trace goes; a container's annotation
only says, where the file names it, whether it is meant.
"""
from __future__ import annotations

import posix

from ..errors import PyruncError
from ..kernel.own_files import REGULAR, TYPE
from .store import check_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TRACE, TRACE_FILE, BREAK = "@trace", "@trace.jsonl", "@break"
LIMIT = 4096
OFF = ("", "0", "false")
#: The word of @break before an annotation's name.
ANNOTATION = "annotation"


def read(root: str, name: str) -> str | None:
    """What stands in a switch file; None without one. The state root has to be the caller's own."""
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


def trace(root: str) -> tuple[str, str]:
    """(file for the trace, annotation that a traced container has): what @trace asks for; "" for none."""
    text = read(root, TRACE)
    return ("", "") if text is None else (f"{root}/{TRACE_FILE}", text)


def stops(root: str) -> tuple[list[str], str]:
    """(words of --break, annotation): what @break asks for. Words stand between blanks, lines or commas; the word
    annotation=NAME says that only containers with that annotation stop."""
    asked: list[str] = []
    annotation = ""
    for word in (read(root, BREAK) or "").replace(",", " ").split():
        key, equals, value = word.partition("=")
        if equals and key == ANNOTATION:
            annotation = value
        else:
            asked.append(word)
    return asked, annotation


def traced(annotations: Mapping[str, str], name: str) -> bool:
    """Whether a container with these annotations is meant by a @trace that names one."""
    return annotations.get(name, "") not in OFF


def stops_of(asked: list[str], annotations: Mapping[str, str], name: str) -> list[str]:
    """Where a container with these annotations stops by a @break that names one: at the steps in its value; with "true"
    at those of the file, or at every step if that names none."""
    from ..engine.breakpoints import EVERY
    value = annotations.get(name, "")
    if value in OFF:
        return []
    if value in ("true", "1"):
        return asked or [EVERY]
    return value.replace(",", " ").split()
