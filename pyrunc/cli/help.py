"""`--help`: made from the same tables that the parser uses."""
from __future__ import annotations

from .flags import Command, Flag
from .main import COMMANDS, GLOBALS, module
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 100


def print_help(command: Command) -> int:
    emit(text(command))
    return 0


def print_misuse(command: Command, wrong_flag: str = "") -> None:
    """What runc prints before an error about the number of arguments, or about a flag."""
    emit(f"Incorrect Usage{f': {wrong_flag}' if wrong_flag else '.'}\n\n{text(command)}")


def text(command: Command) -> str:
    """The help of one command, or of pyrunc itself, whose name is empty."""
    if not command.name:
        lines = [f"pyrunc: {command.about}", "", "Usage: pyrunc [global flags] COMMAND [flags] [arguments]", "",
                 "Commands:"]
        lines += [f"  {name:<12} {module(name).COMMAND.about}" for name in COMMANDS]
        lines += ["", "Global flags (before the command):", *_flags(GLOBALS)]
        return "\n".join([*lines, "", "pyrunc COMMAND --help tells more.", ""])
    shown = _flags(command.flags)
    usage = f"Usage: pyrunc {command.name} {'[flags] ' if shown else ''}{command.arguments}".rstrip()
    lines = [f"pyrunc {command.name}: {command.about}", "", usage]
    if shown:
        lines += ["", "Flags:", *shown]
    return "\n".join([*lines, ""])


def _flags(flags: Sequence[Flag]) -> list[str]:
    lines = []
    for flag in flags:
        if flag.hidden:
            continue
        name = f"--{flag.name}" + (f", -{flag.short}" if flag.short else "")
        if flag.kind is not bool:
            name += " " + (flag.value or "VALUE")
        about = flag.help + (" (may be repeated)" if flag.kind is list else "")
        if flag.default:
            about += f" (default: {flag.default})"
        lines += _wrapped(f"  {name:<28} ", about)
    return lines


def _wrapped(head: str, about: str) -> list[str]:
    if len(head) > 31:
        lines, line = [head.rstrip()], " " * 31
    else:
        lines, line = [], head
    start = len(line)
    for word in about.split():
        if len(line) + len(word) > WIDTH and len(line) > start:
            lines.append(line.rstrip())
            line = " " * 31
            start = len(line)
        line += word + " "
    return [*lines, line.rstrip()]
