"""How text goes to a terminal: as wide as it is, in colour if that is wanted, and through a pager when it is long."""
from __future__ import annotations

import _signal
import posix

from ..log import encoded
from .output import emit

#: less(1): leave if all fits on the screen, show colours, leave the text there.
LESS = "FRX"


def terminal() -> bool:
    """Whether standard output is one that can be steered."""
    return posix.isatty(1) and posix.environ.get(b"TERM", b"dumb") != b"dumb"


def colour() -> bool:
    """On a terminal, unless the caller has said that he wants none (no-color.org)."""
    return terminal() and not posix.environ.get(b"NO_COLOR")


def columns(otherwise: int) -> int:
    """What COLUMNS says, or the terminal's width; otherwise where there is neither."""
    given = posix.environ.get(b"COLUMNS", b"")
    if given.isdigit() and 0 < len(given) < 5:
        return int(given)
    try:
        return posix.get_terminal_size(1).columns or otherwise
    except OSError:
        return otherwise


def page(text: str) -> None:
    """Write the text to standard output; through $PAGER, or less(1), where it is longer than the terminal. When the
    reader is gone (`| head`), the process ends by SIGPIPE without a word, as other programs do."""
    try:
        if not terminal() or text.count("\n") < posix.get_terminal_size(1).lines or not _paged(text):
            emit(text)
    except BrokenPipeError:
        _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
        posix.kill(posix.getpid(), _signal.SIGPIPE)


def _paged(text: str) -> bool:
    """False when there is no pager, or the caller wants none: PAGER= or PAGER=cat."""
    import os
    import shlex
    import shutil
    import subprocess
    command = shlex.split(os.environ.get("PAGER", "less"))
    if not command or command == ["cat"] or shutil.which(command[0]) is None:
        return False
    environment = {"LESS": LESS, **os.environ}
    if "SUDO_UID" in os.environ:
        environment["LESSSECURE"] = "1"          # who may explain as root may not run a shell as root (less(1))
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as pager:
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)      # from here on it is the pager's own matter
        pager.communicate(encoded(text, 1))
    return True
