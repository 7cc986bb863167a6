"""Where --break, --step and --break-on-error stop at a terminal of the command's own: there it asks what to do."""
from __future__ import annotations

import _signal
import posix

from ..engine.breakpoints import ABORT, CONTINUE, NEXT
from ..engine.nsenter import words
from ..runtime.stopped import Halts
from ..state import switches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .flags import Call

TICK = 100                       # ms between two looks for an answer from elsewhere
#: What may be typed at the prompt, also its first letter.
SHELL, SUSPEND = "shell", "z"
PROMPT = "next, continue, shell, abort, z (to the shell that called)> "


class Asks(Halts):
    """Breakpoints of a command line: a prompt on its terminal, or SIGSTOP where it has none of its own."""

    def prompts(self) -> bool:
        return on_own_terminal()

    def ask(self, pid: int, file: str) -> str:
        """Ask on the terminal, until it or another terminal has answered, or a signal ends the command."""
        import select
        poll = select.poll()
        poll.register(0, select.POLLIN)
        posix.write(2, PROMPT.encode())
        while True:
            ready = poll.poll(TICK)
            order = self.order(file)
            if not order and self.engine is not None and self.engine.signal:
                order = ABORT
            if not order and ready:
                word = posix.read(0, 4096).decode(errors="replace").strip()
                known = (NEXT, CONTINUE, ABORT, SHELL, SUSPEND)
                order = next((name for name in known if name.startswith(word)), "")     # nothing is the first of them
            elif not order:
                continue
            if order == SHELL:
                look_around(pid)
            elif order == SUSPEND:
                posix.kill(posix.getpid(), _signal.SIGSTOP)
            elif order:
                return order
            posix.write(2, PROMPT.encode())


def on_own_terminal() -> bool:
    """Whether a person at a terminal waits for this very command."""
    try:
        return posix.isatty(0) and posix.isatty(2) and posix.tcgetpgrp(0) == posix.getpgrp()
    except OSError:
        return False


def look_around(pid: int) -> None:
    """A shell in the namespaces of the init, and wait for its end."""
    import subprocess
    if not pid:
        posix.write(2, b"there is no init yet\n")
        return
    try:
        subprocess.run(words(pid), check=False)
    except OSError as fault:
        posix.write(2, f"nsenter: {fault}\n".encode())
    before = _signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)        # a shell with job control keeps the terminal
    posix.tcsetpgrp(0, posix.getpgrp())
    _signal.signal(_signal.SIGTTOU, before)


def narrow(call: Call, annotations: Mapping[str, str]) -> None:
    """Take the stops of the switch from a call whose container has not the annotation, or make them those that it
    names."""
    call.stops = switches.stops_of(call.stops, annotations, call.settings["break-annotation"])
