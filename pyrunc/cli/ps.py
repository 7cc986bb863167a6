"""ps: the processes of a container, as host pids or as lines of ps(1)."""
from __future__ import annotations

from .. import programs
from ..errors import NOT_FOUND_IN_PATH, UsageError
from ..formats.json_text import dumps
from ..kernel.posix import lines
from ..runtime.ps import processes
from .flags import Command, Flag
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

FORMATS = ("table", "json")
OF_CALLER = ("LANG", "LC_ALL", "LC_CTYPE", "LC_TIME", "COLUMNS")     # how ps writes, and no more
COMMAND = Command(
    "ps", "show the processes of a container",
    (Flag("format", str, "table or json", short="f", value="FORMAT", default="table"),),
    arguments="<container-id> [ps options]", most=-1, stop=1)


def run(call: Call) -> int:
    """json: the pids on one line. table: what ps prints with the options given (-ef), less all that is not of it."""
    format = call.text("format")
    if format not in FORMATS:
        raise UsageError("invalid format option")
    pids = processes(call.root, call.id)
    if format == "json":
        emit(dumps(pids) + "\n")
        return 0
    emit(only(pids, _ps(call.arguments[1:] or ["-ef"])))
    return 0


def _ps(options: list[str]) -> str:
    import os
    import subprocess
    program = programs.find("ps")
    if not program:
        raise UsageError(f'exec: "ps": {NOT_FOUND_IN_PATH}: looked for in {programs.PATH}')
    environment = {name: os.environ[name] for name in OF_CALLER if name in os.environ} | {"PATH": programs.PATH}
    done = subprocess.run([program, *options], capture_output=True, text=True, errors="replace", env=environment)
    if done.returncode:
        raise UsageError(f"ps: exit status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def only(pids: list[int], output: str) -> str:
    """The heading of ps' output and the lines of those pids. UsageError when the options leave out the pid."""
    heading, *rows = lines(output)
    columns = heading.split()
    if "PID" not in columns:
        raise UsageError("couldn't find PID field in ps output")
    column = columns.index("PID")
    wanted = {str(pid) for pid in pids}
    chosen = [row for row in rows if (fields := row.split()) and fields[column] in wanted]
    return "\n".join([heading, *chosen]) + "\n"
