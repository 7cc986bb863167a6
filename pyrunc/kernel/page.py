"""The journal page as Python sees it: page_t of _native/native.h, mapped, read from its file, or stood in for.

Whoever maps the page (Kernel.map_page) gets the C struct with these very members. tests/native/test_page.py compares
the layout here with the compiler's.
"""
from __future__ import annotations

from ..errors import shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: How far the init has come.
PHASE_NONE, PHASE_CHILD, PHASE_LAST, PHASE_WAITING, PHASE_EXEC, PHASE_FAILED = range(6)
#: page_t's members up to its text, in order; each is an int of four bytes, and none of those read here is so large that
#: its sign would matter.
MEMBERS = ("magic", "version", "steps", "parent_step", "child_step", "phase", "error", "child_pid", "listener_fd")
TEXT, TEXT_SIZE = 4 * len(MEMBERS), 2048
#: In the text, between a step's place in config.json and the rest of the child's last words.
PLACE = "\x01"
#: So many letters of them, before a hint; the rest is for letters of more than one byte, and the hint.
MOST_WORDS = 1200


class Page:
    """Stands in for the mapped page until there is one; needs no native module.

    steps   how many the plan has; times: of the child's
    """

    def __init__(self, steps: int = 0) -> None:
        self.steps = steps
        self.parent_step = self.child_step = self.listener_fd = -1
        self.phase = self.error = self.child_pid = 0
        self.text = b""
        self.times: list[Any] = []


def read(data: bytes) -> Page:
    """The page in the bytes of a journal file, up to the end of its text; what is missing there is 0."""
    page = Page()
    page.__dict__.update(zip(MEMBERS, memoryview(data[:TEXT].ljust(TEXT, b"\0")).cast("i")))
    page.text = data[TEXT:TEXT + TEXT_SIZE]
    return page


def text_of(where: str, what: str, hint: str = "") -> bytes:
    """What a child that fails leaves in the page's text; the hint stands behind a NUL, as C has it."""
    text = f"{where}{PLACE}{shortened(what, MOST_WORDS)}".encode(errors="replace")[:TEXT_SIZE - 1]
    return text + b"\0" + hint.encode(errors="replace")[:TEXT_SIZE - 2 - len(text)] if hint else text


def last_words(page: Any) -> tuple[str, str, str]:
    """What the child has left, each on one line, "" for what is not there: the place in config.json if that is not its
    step's, what it was doing, and the clause of a hint (C has looked at the file, say)."""
    raw = page.text
    if not isinstance(raw, bytes):
        from .._native import ffi
        raw = bytes(ffi.buffer(raw))
    text, _, rest = raw.partition(b"\0")
    where, _, what = text.decode(errors="replace").rpartition(PLACE)
    hint = rest.partition(b"\0")[0].decode(errors="replace")
    return where, " ".join(what.split()), hint
