"""main: global flags, one lazily imported module per command, and one error record however it ends."""
from __future__ import annotations

import _signal
import errno
import posix
import sys

from ..errors import PyruncError, UsageError, describe, strerror
from ..kernel.stopping import STOPPING, hand_on
from ..log import Log
from ..paths import absolute
from .flags import Call, Command, Flag, check_arguments, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType, TracebackType
    from typing import Any

#: Each is pyrunc/cli/<name>.py with COMMAND (flags.Command) and run(call) -> exit status.
COMMANDS = ("check", "checkpoint", "completion", "create", "delete", "doctor", "events", "exec", "explain", "features",
            "kill", "list", "pause", "ps", "report", "restore", "resume", "run", "spec", "start", "state", "step",
            "trace", "update", "why")
#: Commands that no person calls.
HIDDEN = ("keeper", "shim")
GLOBALS = (
    Flag("root", str, "directory of the containers' state, on a tmpfs (default: /run/pyrunc)", value="DIR"),
    Flag("log", str, "append log records to this file (default: stderr)", value="FILE"),
    Flag("log-format", str, "text or json", value="FORMAT", default="text", choices=("text", "json")),
    Flag("debug", bool, "also log each step, not only failures"),
    Flag("trace", str, "append one JSON line for each step to this file (also: PYRUNC_TRACE)", value="FILE"),
    Flag("break", list, "stop before this step of create, run, exec or restore: its id, its name, the part before the "
         "dot, its number in explain, or its place in config.json (also: PYRUNC_BREAK)", value="STEP"),
    Flag("step", bool, "stop before every step of create, run, exec or restore"),
    Flag("break-on-error", bool, "stop when a step has failed, before anything is undone"),
    Flag("pdb", list, "open Python's debugger in the process of this step, before it: a step as of --break",
         value="STEP"),
    Flag("systemd-cgroup", bool, "make cgroups through systemd; cgroupsPath is then read as slice:prefix:name"),
    Flag("cgroup-manager", str, "how cgroups are made: cgroupfs, systemd or disabled", value="NAME", default="cgroupfs",
         choices=("cgroupfs", "systemd", "disabled")),
    Flag("rootless", str, "go on without a cgroup where making one is not permitted: auto, true or false", value="WHEN",
         default="auto", choices=("auto", "true", "false")),
    Flag("version", bool, "print the versions", short="v"),
    Flag("help", bool, "print this help", short="h"),
)
HELP = (Flag("help", bool, "print this help", short="h"),)
PYRUNC = Command("", "run containers as the OCI runtime specification says", GLOBALS, "COMMAND [arguments]", 1, -1, 1)


class Stopped(BaseException):
    """SIGINT, SIGTERM or SIGHUP while no plan is running (one that is undoes itself)."""


def main(argv: list[str]) -> int:
    """Run one command line, without the program's name, and return the exit status. Never raises."""
    settings: dict[str, Any] = {}
    reporter = Reporter(settings)
    try:
        for number in STOPPING:
            _signal.signal(number, _stop)
        return _main(argv, settings, reporter)
    except PyruncError as fault:
        number = getattr(fault, "number", 0)       # engine.Interrupted
        status = reporter.report(str(fault), 128 + number if number else 0)
        reporter.keep(fault, argv)
        return status
    except OSError as fault:
        status = reporter.report(describe(fault))
        reporter.keep(fault, argv)
        return status
    except Stopped as stop:
        return reporter.report(f"interrupted by signal {stop.args[0]}", 128 + stop.args[0])
    except MemoryError:
        return reporter.report(strerror(errno.ENOMEM))
    except ImportError as fault:
        if fault.path is None:           # not in a file: then it is missing, which is a fault of ours
            return reporter.report(f"internal error: {fault}: {_place(fault.__traceback__)}")
        return reporter.report(f"load a library: {fault}")         # dlopen(3) says which, and why: no memory, mostly
    except BaseException as fault:
        status = reporter.report(f"internal error: {type(fault).__name__}: {fault}: {_place(fault.__traceback__)}")
        reporter.keep(fault, argv)
        return status


def _main(argv: list[str], settings: dict[str, Any], reporter: Reporter) -> int:
    words = _parse(PYRUNC, argv, settings)
    log = reporter.open_log()
    if "version" in settings:
        from .version import print_version
        return print_version()
    if "help" in settings or not words or words[0] in ("help", "h"):
        from .help import print_help
        return print_help(module(words[1]).COMMAND if len(words) > 1 else PYRUNC)
    _check_choices(GLOBALS, settings)
    chosen = module(words[0])
    command: Command = chosen.COMMAND
    if command.shares:
        log.held = []
    values: dict[str, Any] = {}
    arguments = _parse(command, words[1:], values)
    if "help" in values:
        from .help import print_help
        return print_help(command)
    _check_choices(command.flags, values)
    try:
        check_arguments(command, arguments)
    except UsageError:
        from .help import print_misuse
        print_misuse(command)
        raise
    root = state_root(settings)
    reporter.command = command
    call = Call(command, values, arguments, settings, root, log, trace_file(settings, root),
                stops(settings, root if command.shares else ""))
    reporter.call = call
    if "trace-annotation" in settings:
        from .tracing import narrow
        narrow(call)
    status: int = chosen.run(call)
    log.settle()
    return status


def _parse(command: Command, words: list[str], values: dict[str, Any]) -> list[str]:
    """flags.parse, with the help of the command in front of what was wrong."""
    try:
        return parse((*command.flags, *HELP), words, values, command.stop)
    except UsageError as fault:
        from .help import print_misuse
        print_misuse(command, str(fault))
        raise


class Reporter:
    """Where and how a failure is told; complete enough to do so from the first instruction on."""

    call: Call | None

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.log: Log | None = None
        self.command, self.call, self.told = PYRUNC, None, ""

    def open_log(self) -> Log:
        """The log that the flags ask for, as far as they could be parsed."""
        if self.log is None:
            self.log = Log()
            self.log = Log(self.settings.get("log", ""), self.settings.get("debug", False))
            self.log.set_format(self.settings.get("log-format", "text"))
        return self.log

    def report(self, message: str, status: int = 0) -> int:
        """Write the one error record, on one line; the exit status is the command's unless status says another."""
        self.told = message = " ".join(f"{self.command.prefix}{message}".split("\n"))
        try:
            self.open_log().error(message)
        except PyruncError:
            (self.log or Log()).error(message)
        except (ImportError, MemoryError):           # what makes a record cannot be loaded: the bare text is all
            posix.write(2, f"{message}\n".encode(errors="backslashreplace"))
        return status or self.command.failure


    def keep(self, fault: BaseException, argv: Sequence[str]) -> None:
        """Keep a report of the failure for `why`, if the command is one that is asked about. Never raises."""
        if self.call is not None:
            try:
                from .keeping import keep
                keep(self.call, fault, self.told, argv)
            except BaseException:                    # the reason has been told; nothing may come after it
                pass


def state_root(settings: dict[str, Any]) -> str:
    """The state root: --root, or the default one."""
    if "root" in settings:
        root = absolute(settings["root"])
        if root == "/" or not settings["root"]:
            raise UsageError("Option --root argument should not be set to /")
        return root
    from ..state.store import default_root
    return default_root()


def trace_file(settings: dict[str, Any], root: str) -> str:
    """Where the trace goes: --trace, PYRUNC_TRACE, or <root>/@trace.jsonl while there is a switch file <root>/@trace.

    Engines pass neither flags nor their environment on, but a file beside their containers always works. If the file
    names an annotation, only containers that have it are traced: that is noted in settings.
    """
    chosen: str = settings.get("trace") or posix.environ.get(b"PYRUNC_TRACE", b"").decode(errors="surrogateescape")
    if chosen:
        return absolute(chosen)
    try:
        posix.lstat(f"{root}/@trace")
    except OSError:
        return ""
    from ..state.switches import trace
    chosen, annotation = trace(root)
    if annotation:
        settings["trace-annotation"] = annotation
    return chosen


def stops(settings: dict[str, Any], root: str) -> list[str]:
    """Where to stop: the steps of --break, as often as it is given, or PYRUNC_BREAK with commas between them; "*" for
    --step and "error" for --break-on-error. Or what <root>/@break says, for engines; root "": of a command that has
    no stops."""
    asked: list[str] = settings.get("break") or [
        word for word in posix.environ.get(b"PYRUNC_BREAK", b"").decode(errors="surrogateescape").split(",") if word]
    asked = [*asked, *(word for flag, word in (("step", "*"), ("break-on-error", "error")) if settings.get(flag))]
    if asked or not root:
        return asked
    try:
        posix.lstat(f"{root}/@break")
    except OSError:
        return []
    from ..state import switches
    asked, annotation = switches.stops(root)
    settings["break-by-switch"] = True
    if annotation:
        settings["break-annotation"] = annotation
    return asked


def module(name: str) -> ModuleType:
    """The module of a command."""
    if name not in COMMANDS + HIDDEN:
        from .nearly import meant
        raise UsageError(f"No help topic for '{name}'{meant(name, COMMANDS)}")
    path = f"{__package__}.{name}"
    __import__(path)
    return sys.modules[path]


def _check_choices(flags: Sequence[Flag], values: dict[str, Any]) -> None:
    for flag in flags:
        if flag.choices and values.get(flag.name, flag.default) not in flag.choices:
            raise UsageError(f'invalid value "{values[flag.name]}" for flag -{flag.name}: '
                             f'one of {", ".join(flag.choices)}')


def _stop(number: int, _frame: object) -> None:
    if not hand_on(number):
        raise Stopped(number)


def _place(traceback: TracebackType | None) -> str:
    """The calls that led to an unforeseen exception, innermost last, on one line."""
    calls = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        calls.append(f"{code.co_filename.rpartition('/pyrunc/')[2]}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return " > ".join(calls)
