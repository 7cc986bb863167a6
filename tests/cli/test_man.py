"""docs/pyrunc.8 is what the tables of the commands say, and roff has nothing to complain about."""
from __future__ import annotations

import re
import subprocess

from pyrunc.cli import main

from . import man


def test_the_page_is_up_to_date() -> None:
    assert man.PAGE.read_text() == man.page(), "python -m tests.cli.man"


def test_every_command_and_flag_is_in_it() -> None:
    text = man.page().replace("\\-", "-")
    for name in main.COMMANDS:
        command = main.module(name).COMMAND
        section = re.split(r"(?m)^\.S[SH] ", text[text.index(f".SS {name}"):])[1]
        for flag in command.flags:
            assert (f"--{flag.name}\\fR" in section) is not flag.hidden, f"{name} --{flag.name}"


def test_what_roff_would_take_for_its_own_is_escaped() -> None:
    assert man.prose(".so /etc/passwd") == ["\\&.so /etc/passwd"]
    assert man.escaped("a\\b-c") == "a\\eb\\-c"


def test_roff_sets_it_without_a_warning() -> None:
    done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", man.PAGE], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    shown = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)
    assert "--console-socket SOCKET" in shown and "EXIT STATUS" in shown
