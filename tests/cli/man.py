"""docs/pyrunc.8, the manual page: written from the tables that the command line is parsed by.

    python -m tests.cli.man
"""
from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from pyrunc import __version__
from pyrunc.cli import main
from pyrunc.cli.flags import Command, Flag

PAGE = Path(__file__).parents[2] / "docs/pyrunc.8"

DESCRIPTION = """\
pyrunc makes, runs and deletes containers as the OCI runtime specification says. Its command line is that of runc(8), so
engines can call it in place of runc. A container is made from a bundle: a directory with a config.json and a root file
system. Each command is a list of named steps. "pyrunc explain" prints the list, and "--trace" measures each step."""

FLAGS = """\
-flag and --flag are the same, and so are "--flag value" and "--flag=value". Global flags stand before the command."""

STATUS = (
    ("0", "the command has succeeded; for run and exec in the foreground: the program has returned 0"),
    ("1", "the command has failed; one line on standard error, and in the log, says why"),
    ("255", "exec has failed"),
    ("other", "for run and exec in the foreground: the status of the program, or 128 plus the number of the signal "
              "that killed it; for every command: 128 plus the number of the signal that interrupted pyrunc"),
)
FILES = (
    ("/run/pyrunc/ID", "the state of a container, and the journal of its creation"),
    ("$XDG_RUNTIME_DIR/pyrunc/ID", "the same for a user who is not root"),
    ("/run/pyrunc/@trace", "while this file exists, every command appends its trace to @trace.jsonl beside it"),
    ("/run/pyrunc/@break", "while this file exists, create, run, exec and restore stop at the steps that it names"),
)
ENVIRONMENT = (
    ("PYRUNC_TRACE", "like --trace"),
    ("PYRUNC_BREAK", "like --break, with commas between the steps"),
    ("XDG_RUNTIME_DIR", "where the state and the bus of a user are"),
    ("DBUS_SESSION_BUS_ADDRESS", "the user's systemd, for --systemd-cgroup without root"),
    ("NOTIFY_SOCKET, LISTEN_FDS, LISTEN_PID", "sd_notify(3) and sd_listen_fds(3), passed to the container"),
)


def page() -> str:
    """The page, for man(7)."""
    return "\n".join([
        f'.TH PYRUNC 8 "" "pyrunc {__version__}" "System administration"',
        ".SH NAME", f"pyrunc \\- {escaped(main.PYRUNC.about)}",
        ".SH SYNOPSIS", ".B pyrunc", "[global flags]", ".I command", "[flags] [arguments]",
        ".SH DESCRIPTION", *prose(DESCRIPTION), ".PP", *prose(FLAGS),
        ".SH GLOBAL FLAGS", *flags(main.GLOBALS),
        ".SH COMMANDS", *(line for name in main.COMMANDS for line in command(main.module(name).COMMAND)),
        ".SH EXIT STATUS", *entries(STATUS),
        ".SH FILES", *entries(FILES),
        ".SH ENVIRONMENT", *entries(ENVIRONMENT),
        ".SH SEE ALSO", ".BR runc (8),", ".BR criu (8),", ".BR cgroups (7),", ".BR namespaces (7)", ""])


def command(told: Command) -> Iterator[str]:
    """One command: its line, what it is for, its flags."""
    synopsis = " ".join(part for part in (told.name, "[flags]" if shown(told.flags) else "", told.arguments.strip())
                        if part)
    yield f".SS {escaped(synopsis)}"
    yield from prose(f"{told.about[0].upper()}{told.about[1:]}.")
    yield from flags(told.flags)


def shown(told: Iterable[Flag]) -> list[Flag]:
    return [flag for flag in told if not flag.hidden]


def flags(told: Iterable[Flag]) -> Iterator[str]:
    for flag in shown(told):
        names = f"\\fB\\-\\-{escaped(flag.name)}\\fR" + (f", \\fB\\-{flag.short}\\fR" if flag.short else "")
        value = "" if flag.kind is bool else f" \\fI{escaped(flag.value or 'VALUE')}\\fR"
        about = flag.help + (" (may be repeated)" if flag.kind is list else "")
        if flag.default and flag.kind is not bool:
            about += f" (default: {flag.default})"
        yield from (".TP", names + value, *prose(about))


def entries(told: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, about in told:
        yield from (".TP", f"\\fB{escaped(name)}\\fR", *prose(about))


def prose(text: str) -> list[str]:
    """Lines of filled text. One that began with a dot or a quote would be a request to roff."""
    return [("\\&" if line[0] in ".'" else "") + escaped(line) for line in textwrap.wrap(" ".join(text.split()), 100)]


def escaped(text: str) -> str:
    """A backslash begins an escape, and a bare hyphen may be set as another sign than the one to be typed."""
    return text.replace("\\", "\\e").replace("-", "\\-")


if __name__ == "__main__":
    PAGE.write_text(page())
