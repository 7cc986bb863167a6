"""Where --break, --step and --break-on-error stop at a terminal, how `pyrunc step` finds that, and the switch file.

While a command stands, <root>/<id>/stopped.PID says where, once the container has a directory. An answer of another
terminal is the file stopped.PID.order, and SIGCONT. On a terminal of its own the command asks there.
"""
from __future__ import annotations

import _signal
import posix

from ..engine.breakpoints import ABORT, CONTINUE, EVERY, NEXT, Breakpoints, init_of
from ..engine.nsenter import command, words
from ..formats.json_text import dumps
from ..kernel.posix import Files
from ..state import process_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from ..engine.facts import Facts
    from ..log import Log
    from .flags import Call

SWITCH = "@break"
PREFIX, ORDER = "stopped.", ".order"
TICK = 100                       # ms between two looks for an answer from elsewhere
#: What may be typed at the prompt, also its first letter.
SHELL, SUSPEND = "shell", "z"
PROMPT = "next, continue, shell, abort, z (to the shell that called)> "


class Halts(Breakpoints):
    """Breakpoints of a command line: a prompt on its terminal, or SIGSTOP where it has none of its own."""

    def __init__(self, asked: Sequence[str], log: Log, lenient: bool, root: str, id: str, name: str) -> None:
        super().__init__(asked, log, lenient)
        self.directory, self.id, self.name, self.count = f"{root}/{id}", id, name, 0

    def halt(self, what: str, facts: Facts, about: dict[str, object]) -> str:
        self.count += 1
        prompts = on_own_terminal()
        pid = init_of(facts)
        init = f"; look around: {command(pid)}, /proc/{pid}" if pid else ""
        on = f"pyrunc step {self.id}" if prompts else f"fg or kill -CONT {posix.getpid()}"
        self.log.notice(f"{what}{init}; go on: {on}")
        file = f"{PREFIX}{posix.getpid()}"
        record = {"container": self.id, "command": self.name, **about, "what": what, "init": pid,
                  "runtime": process_id.own(), "prompts": prompts, "count": self.count}
        told = self._write(file, record)
        try:
            return self._prompt(pid, file) if prompts else self._stop(file)
        finally:
            if told:
                _unlink(f"{self.directory}/{file}")

    def _write(self, file: str, record: Mapping[str, Any]) -> bool:
        """False where the container has no directory (yet): then only the terminal knows."""
        try:
            fd = posix.open(self.directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
        except OSError:
            return False
        try:
            Files().write_new(file, dumps(record).encode(), 0o600, fd)
        except OSError:
            return False
        finally:
            posix.close(fd)
        return True

    def _stop(self, file: str) -> str:
        posix.kill(posix.getpid(), _signal.SIGSTOP)
        return self._order(file)

    def _order(self, file: str) -> str:
        """What `pyrunc step` has left; "" for nothing."""
        path = f"{self.directory}/{file}{ORDER}"
        try:
            order = process_id.read(path, 16)
        except OSError:
            return ""
        _unlink(path)
        return order if order in (NEXT, CONTINUE, ABORT) else ""

    def _prompt(self, pid: int, file: str) -> str:
        """Ask on the terminal, until it or another terminal has answered, or a signal ends the command."""
        import select
        poll = select.poll()
        poll.register(0, select.POLLIN)
        posix.write(2, PROMPT.encode())
        while True:
            ready = poll.poll(TICK)
            order = self._order(file)
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


def _unlink(path: str) -> None:
    try:
        posix.unlink(path)
    except OSError:
        pass


def stopped(root: str, id: str) -> list[dict[str, Any]]:
    """The commands that stand at a step of this container, as Halts has written it. Those that were killed are not."""
    try:
        names = posix.listdir(f"{root}/{id}")
    except OSError:
        return []
    found = [name for name in names if name.startswith(PREFIX) and not name.endswith(ORDER)]
    return [record for name in sorted(found) for record in _read(root, id, name)]


def _read(root: str, id: str, name: str) -> Iterator[dict[str, Any]]:
    from ..config.load import loads
    from ..errors import PyruncError
    from ..kernel.own_files import open_file
    try:
        fd = open_file(root, id, name)
        try:
            record = loads(posix.read(fd, 1 << 16), name)
        finally:
            posix.close(fd)
        if process_id.alive(record["runtime"]):
            yield record
    except (OSError, PyruncError, KeyError, TypeError):       # it went on meanwhile
        return


def shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """For `state`."""
    about = {key: record[key] for key in ("command", "step", "number", "where", "error") if key in record}
    return {**about, "runtime": record["runtime"]["pid"], "init": record["init"]}


# ---- the switch ------------------------------------------------------------------------------------------------------
def switched(root: str) -> tuple[list[str], str]:
    """(words of --break, annotation): what <root>/@break asks for. Words stand between blanks, lines or commas; the
    word annotation=NAME says that only containers with that annotation stop, at the steps that its value names."""
    from .tracing import read_switch
    asked: list[str] = []
    annotation = ""
    for word in (read_switch(root, SWITCH) or "").replace(",", " ").split():
        key, equals, value = word.partition("=")
        if equals and key == "annotation":
            annotation = value
        else:
            asked.append(word)
    return asked, annotation


def narrow(call: Call, annotations: Mapping[str, str]) -> None:
    """Take the stops of the switch from a call whose container has not the annotation, or make them those that it
    names: "true" for those of the switch, or every step if that names none."""
    from .tracing import OFF
    value = annotations.get(call.settings["break-annotation"], "")
    if value in OFF:
        call.stops = []
    elif value in ("true", "1"):
        call.stops = call.stops or [EVERY]
    else:
        call.stops = value.replace(",", " ").split()
