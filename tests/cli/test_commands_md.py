"""docs/commands.md against the tables that the command line is parsed by."""
from __future__ import annotations

import importlib
import re
from pathlib import Path

from pyrunc.cli import main
from pyrunc.cli.flags import Command

DOCUMENT = Path(__file__).parents[2] / "docs/commands.md"
ROW = re.compile(r"\| `(?:--)?([a-z0-9-]+)`(?:, `-(\w)`)? \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")


def tables() -> dict[str, dict[str, tuple[str, ...]]]:
    """Section -> first cell's name -> (short name, runc, crun, pyrunc); every row of a table must be one."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("## "):
            rows = found.setdefault(line[3:], {})
        elif line.startswith("|") and not line.startswith(("|---", "| flag", "| command")):
            match = ROW.fullmatch(line)
            assert match and all(cell.strip() for cell in match.groups()[2:]), f"an empty cell: {line}"
            assert match[1] not in rows, f"twice: {line}"
            rows[match[1]] = (match[2] or "", match[3], match[4], match[5])
    return found


def command(name: str) -> Command:
    found: Command = importlib.import_module(f"pyrunc.cli.{name}").COMMAND if name else main.PYRUNC
    return found


def test_every_command_is_in_the_table() -> None:
    rows = tables()["Commands"]
    have = {name for name, row in rows.items() if row[3].startswith("yes")}
    assert have == {*main.COMMANDS, "help"}
    assert {name for name, row in rows.items() if row[1] == "yes"} <= have, "a command of runc's is missing"


def test_every_flag_is_in_the_table() -> None:
    found = tables()
    for name in ("", *main.COMMANDS):
        rows = found.get(name or "Before the command", {})
        missing = {flag for flag, row in rows.items() if row[3].startswith(("no:", "as `"))}
        shorts = {flag: row[0] for flag, row in rows.items() if flag not in missing}
        assert shorts == {flag.name: flag.short for flag in command(name).flags}, f"the flags of {name or 'pyrunc'}"
        assert not {flag for flag in missing if rows[flag][1] == "yes"}, "a flag of runc's is missing"


def test_hidden_flags_are_told_as_such() -> None:
    found = tables()
    for name in main.COMMANDS:
        for flag in command(name).flags:
            if flag.hidden:
                assert "hidden" in found[name][flag.name][3]
