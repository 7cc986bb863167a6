"""Completion, tried in the shells themselves."""
from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyrunc.cli.completion import bash
from pyrunc.cli.main import COMMANDS, main

from ..state.made import World


def complete(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers for the last word; pyrunc itself is asked for ids."""
    pyrunc = f'pyrunc() {{ {shlex.join([sys.executable, "-m", "pyrunc"])} "$@"; }}'
    line = f"COMP_WORDS=({shlex.join(['pyrunc', *words])}); COMP_CWORD={len(words)}"
    script = f'{pyrunc}\n{bash()}\n{line}\n_pyrunc\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_flags_and_values(tmp_path: Path) -> None:
    assert complete(tmp_path, "") == list(COMMANDS)
    assert complete(tmp_path, "cre") == ["create"]
    assert "--root" in complete(tmp_path, "--")
    assert complete(tmp_path, "--log-format", "") == ["text", "json"]
    assert complete(tmp_path, "--debug", "--root", "/r", "del") == ["delete"]
    assert complete(tmp_path, "delete", "--f") == ["--force"]
    assert complete(tmp_path, "explain", "--format", "j") == ["json"]
    (tmp_path / "bundle").mkdir()
    assert complete(tmp_path, "run", "--bundle", f"{tmp_path}/b") == [f"{tmp_path}/bundle"]


def test_ids(made: World, tmp_path: Path) -> None:
    made.stopped("one")
    made.stopped("other")
    assert complete(tmp_path, "--root", str(made.root), "state", "o") == ["one", "other"]
    assert complete(tmp_path, "--root", str(made.root), "delete", "--force", "ot") == ["other"]


def test_shells(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["completion", "fish"]) == 1
    capfd.readouterr()
    for shell in ("bash", "zsh"):
        assert main(["completion", shell]) == 0
        script = tmp_path / shell
        script.write_text(capfd.readouterr().out)
        if shutil.which(shell):
            subprocess.run([shell, "-n", str(script)], check=True)
