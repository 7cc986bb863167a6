"""step: at which step a command has stopped, and go on from another terminal."""
from __future__ import annotations

import _signal
import posix
import time

from ..engine.breakpoints import ABORT, CONTINUE, NEXT
from ..errors import StateError, UsageError
from ..kernel import small_file
from ..log import visible
from ..runtime.stopped import ORDER, PREFIX, stopped
from ..state import process_id
from ..state.store import check_id, check_root
from .flags import Command, Flag
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .flags import Call

WORDS = (NEXT, CONTINUE, ABORT, "shell")
PATIENCE = 10.0                  # seconds for a step
AFTER = 0.5                      # seconds in which one that nothing stops any more may end
COMMAND = Command(
    "step", "tell where --break has stopped a command, and let it go on",
    (Flag("pid", int, "the command's process, if several have stopped", value="PID"),),
    arguments="<container-id> [next|continue|abort|shell]", most=2)


def run(call: Call) -> int:
    """next: to the following step; continue: to the next one that --break names; abort: undo everything; shell: in the
    namespaces of the init. Without a word it only says where it is."""
    word = call.arguments[1] if len(call.arguments) > 1 else ""
    if word and word not in WORDS:
        raise UsageError(f"step {call.id} {word}: use {', '.join(WORDS[:-1])} or {WORDS[-1]}")
    record = chosen(call)
    if word == "shell":
        shell(record)
    if not word:
        emit(told(record))
        return 0
    order(call, record, word)
    emit(outcome(call, record, word))
    return 0


def chosen(call: Call) -> dict[str, Any]:
    """The command that stands. StateError when there is none, or several and --pid names none of them."""
    check_id(call.id)
    check_root(call.root)
    found = stopped(call.root, call.id)
    if call.given("pid"):
        found = [record for record in found if record["runtime"]["pid"] == call.number("pid")]
    if not found:
        raise StateError(f"no command of container {call.id} has stopped at a step")
    if len(found) > 1:
        pids = ", ".join(f"{record['runtime']['pid']} ({record['command']})" for record in found)
        raise UsageError(f"several commands of container {call.id} have stopped: --pid {pids}")
    return found[0]


def told(record: dict[str, Any]) -> str:
    """Where it is, and how to look around."""
    from ..engine.nsenter import command
    init = f"look around: {command(record['init'])}, /proc/{record['init']}\n" if record["init"] else ""
    return f"{visible(record['command'])} {record['container']}: {visible(record['what'])}\n{init}"


def order(call: Call, record: dict[str, Any], word: str) -> None:
    """Leave the answer, and wake the command. It may be about to stop: SIGCONT before SIGSTOP would be lost."""
    pid = record["runtime"]["pid"]
    fd = process_id.open_pidfd(record["runtime"])
    try:
        deadline = time.monotonic() + PATIENCE
        while not record["prompts"] and process_id.parse_stat(small_file.read(f"/proc/{pid}/stat"))[0] not in "Tt":
            if time.monotonic() > deadline:
                raise StateError(f"process {pid} does not stop")
            time.sleep(0.005)
        path = f"{call.root}/{call.id}/{PREFIX}{pid}{ORDER}"
        file = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600)
        posix.write(file, word.encode())
        posix.close(file)
        _signal.pidfd_send_signal(fd, _signal.SIGCONT)
    finally:
        posix.close(fd)


def outcome(call: Call, before: dict[str, Any], word: str) -> str:
    """Where it has stopped again, that it has ended, or that it goes on."""
    pid, begun = before["runtime"]["pid"], time.monotonic()
    comes = word == ABORT or "error" in before or before.get("ahead", {}).get(word, False)
    left = 0.0
    while time.monotonic() - begun < PATIENCE:
        if not process_id.alive(before["runtime"]):
            return f"{before['command']} {call.id} has ended\n"
        now = [record for record in stopped(call.root, call.id) if record["runtime"]["pid"] == pid]
        if now and now[0]["count"] != before["count"]:
            return told(now[0])
        if not (now or comes):
            left = left or time.monotonic()
            if time.monotonic() - left > AFTER:
                break
        time.sleep(0.01)
    return f"{before['command']} {call.id} goes on\n"


def shell(record: dict[str, Any]) -> NoReturn:
    """In place of this process."""
    import os

    from ..engine.nsenter import words
    if not record["init"]:
        raise StateError(f"container {record['container']} has no init yet")
    shell = words(record["init"])
    os.execvp(shell[0], shell)
