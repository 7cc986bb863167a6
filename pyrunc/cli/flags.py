"""Flags as Go programs take them, because engines were written against one.

`-flag` and `--flag` are the same; a value follows as `--flag=value` or `--flag value`; a switch may say
`--flag=true` or `=false`; a repeated flag overrides, or adds when it is a list; nothing splits at commas.
Flags may stand after arguments, unless the command hands the rest to another program (exec, kill, ps).
"""
from __future__ import annotations

from ..errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..engine.observer import Observer
    from ..host import Host
    from ..log import Log

# strconv.ParseBool
TRUE = ("true", "1", "t", "T", "TRUE", "True")
FALSE = ("false", "0", "f", "F", "FALSE", "False")


class Flag:
    """One flag of a command.

    kind      bool: a switch; str, int: one value, the last one counts; list: every value, in order
    value     what `--help` calls the value
    least     the least value of an int; the most is that of a C int, as descriptors and counts of them are
    hidden    accepted, but neither in `--help` nor completed
    """
    __slots__ = ("choices", "default", "help", "hidden", "kind", "least", "name", "short", "value")

    def __init__(self, name: str, kind: type, help: str, short: str = "", value: str = "", default: Any = None,
                 choices: Sequence[str] = (), hidden: bool = False, least: int = 0) -> None:
        self.name, self.kind, self.help, self.short = name, kind, help, short
        self.value, self.choices, self.hidden, self.least = value, choices, hidden, least
        self.default = kind() if default is None else default


class Command:
    """What the command line of one command looks like: from this `--help` and completion are made, too.

    arguments     the arguments as `--help` shows them
    least, most   how many there may be; most -1: any number
    stop          after so many arguments nothing is a flag any more; -1: flags may stand anywhere
    prefix        what an error of this command begins with
    failure       its exit status when it fails
    shares        the container gets the command's standard streams
    """
    __slots__ = ("about", "arguments", "failure", "flags", "least", "most", "name", "prefix", "shares", "stop")

    def __init__(self, name: str, about: str, flags: Sequence[Flag] = (), arguments: str = "<container-id>",
                 least: int = 1, most: int = 1, stop: int = -1, prefix: str = "", failure: int = 1,
                 shares: bool = False) -> None:
        self.name, self.about, self.flags, self.arguments = name, about, flags, arguments
        self.least, self.most, self.stop, self.prefix, self.failure = least, most, stop, prefix, failure
        self.shares = shares


class Call:
    """A parsed command line: the values of the command's flags, its arguments, and the global choices."""
    __slots__ = ("_trace", "arguments", "command", "holds_trace", "host", "log", "root", "settings", "stops", "values",
                 "watched")

    def __init__(self, command: Command, values: dict[str, Any], arguments: list[str], settings: dict[str, Any],
                 root: str, log: Log, trace: str, stops: Sequence[str] = ()) -> None:
        self.command, self.values, self.arguments = command, values, arguments
        self.settings = settings          # the global flags that were given
        self.root = root                  # the state root, absolute
        self.log = log
        self._trace, self.holds_trace = trace, False
        self.stops = list(stops)          # words for steps of create, run, exec and restore to stop before
        self.watched = False              # a plan has been traced already
        self.host: Host | None = None     # of explain: another host, or user, than those that are here

    def observers(self, stops: bool = False) -> list[Observer]:
        """Whoever watches the plans of this command; stops: --break holds for them."""
        from ..engine.observer import LogLines
        found: list[Observer] = [LogLines(self.log)]
        if self.trace:
            from ..engine.trace import TraceFile
            found.append(TraceFile(self.trace, self.id, self.log.noted if not self.watched else ()))
            self.watched = True
        if stops and self.settings.get("pdb"):
            from ..engine.debugger import Debugger
            found.append(Debugger(self.settings["pdb"]))
        if stops and self.stops:
            from .stopping import Asks
            found.append(Asks(self.stops, self.log, bool(self.settings.get("break-by-switch")), self.root, self.id,
                              self.command.name))
        return found

    @property
    def trace(self) -> str:
        """The file for the trace, "" for none. UsageError when the caller names one that cannot be written.

        That is found out when a command asks for the first time: before the first step of its first plan.
        """
        if self._trace and not self.holds_trace:
            from .tracing import hold
            self.holds_trace = True
            hold(self, self._trace)
        return self._trace

    @trace.setter
    def trace(self, path: str) -> None:
        self._trace, self.holds_trace = path, False

    def planned_for(self) -> Host:
        """The host that a plan for `explain` is made for: this one, unless another was asked for."""
        if self.host is None:
            from ..host import probe
            self.host = probe()
        return self.host

    @property
    def id(self) -> str:
        """The container's id, the first argument; not checked yet."""
        return self.arguments[0]

    def _value(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        return next(flag.default for flag in self.command.flags if flag.name == name)

    def on(self, name: str) -> bool:
        """Whether a switch is on."""
        return bool(self._value(name))

    def text(self, name: str) -> str:
        """The value of a str flag."""
        return str(self._value(name))

    def number(self, name: str) -> int:
        """The value of an int flag."""
        return int(self._value(name))

    def list(self, name: str) -> list[str]:
        """The values of a list flag."""
        return list(self._value(name))

    def given(self, name: str) -> bool:
        """Whether the flag was on the command line at all."""
        return name in self.values


def parse(flags: Sequence[Flag], words: Sequence[str], values: dict[str, Any], stop: int = -1) -> list[str]:
    """Sort words into values (by flag name, filled as far as parsing gets) and the arguments that are returned.

    stop: see Command. Raises UsageError in the words of urfave/cli, which Podman looks for.
    """
    known = {flag.name: flag for flag in flags}
    known.update((flag.short, flag) for flag in flags if flag.short)
    arguments: list[str] = []
    rest = iter(enumerate(words, 1))
    for following, word in rest:
        if len(arguments) == stop:
            return arguments + list(words[following - 1:])
        if word == "--":
            return arguments + list(words[following:])
        if len(word) < 2 or word[0] != "-":
            arguments.append(word)
            continue
        if not (word[1] == "-" or word[1].isalpha()):      # "-9", "-1": a number, and no flags after it
            return arguments + list(words[following - 1:])
        name, equals, value = word[2 if word[1] == "-" else 1:].partition("=")
        flag = known.get(name)
        if flag is None:
            from .nearly import meant
            near = meant(name, [flag.name for flag in flags if not flag.hidden], "--")
            raise UsageError(f"flag provided but not defined: -{name}{near}")
        if flag.kind is bool:
            values[flag.name] = _boolean(name, value or "true")
            continue
        if not equals:
            if following == len(words):
                raise UsageError(f"flag needs an argument: {word}")
            _, value = next(rest)
        if flag.kind is list:
            values.setdefault(flag.name, []).append(value)
        else:
            values[flag.name] = within(name, value, flag.least) if flag.kind is int else value
    return arguments


def _boolean(name: str, value: str) -> bool:
    if value not in TRUE and value not in FALSE:
        raise UsageError(f'invalid boolean value "{value}" for -{name}: parse error')
    return value in TRUE


def integer(name: str, value: str) -> int:
    """The value of a flag as a decimal number."""
    digits = value[1:] if value[:1] in ("-", "+") else value
    # int() also takes "1_000", " 1" and the digits of every script (security.md 1b, CVE-2026-30892)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise UsageError(f'invalid value "{value}" for flag -{name}: not an integer')
    return int(value)


def within(name: str, value: str, least: int, most: int = 2**31 - 1) -> int:
    """The value of a flag as a decimal number from least to most."""
    number = integer(name, value)
    if not least <= number <= most:
        raise UsageError(f'invalid value "{value}" for flag -{name}: not in the range {least} to {most}')
    return number


def check_arguments(command: Command, arguments: Sequence[str]) -> None:
    """Raises UsageError when there are too few or too many, with runc's words."""
    count = len(arguments)
    if command.least == command.most:
        if count != command.least:
            raise UsageError(f'pyrunc: "{command.name}" requires exactly {command.least} argument(s)')
    elif count < command.least:
        raise UsageError(f'pyrunc: "{command.name}" requires a minimum of {command.least} argument(s)')
    elif 0 <= command.most < count:
        raise UsageError(f'pyrunc: "{command.name}" requires a maximum of {command.most} argument(s)')
