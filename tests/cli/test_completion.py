"""Completion, tried in the shells themselves."""
from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyrunc.cli.completion import bash
from pyrunc.cli.main import COMMANDS, main
from tests import bundles
from tests.bundles import docker_like

from ..state.made import World

TOP = Path(__file__).parents[2]


def complete(tmp_path: Path, *words: str, rest: tuple[str, ...] = ()) -> list[str]:
    """What bash offers for the last word, with the rest of the line behind it; pyrunc itself is asked for ids."""
    pyrunc = f'pyrunc() {{ {shlex.join([sys.executable, "-m", "pyrunc"])} "$@"; }}'
    line = f"COMP_WORDS=({shlex.join(['pyrunc', *words, *rest])}); COMP_CWORD={len(words)}"
    script = f'{pyrunc}\n{bash()}\n{line}\n_pyrunc\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(TOP)})
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


def test_steps_of_the_plan_that_would_run(made: World, tmp_path: Path) -> None:
    """Of the bundle that is named behind the flag, or stood in; without one those of the example."""
    example = set(complete(tmp_path, "--break", ""))
    assert {"mounts", "mounts.proc", "mounts.tmpfs#2", "root.switch", "state.save"} <= example
    assert not {id for id in example if id.startswith("barrier")} and "devices.idmap" not in example
    bundles.bundle(tmp_path / "b", docker_like(linux={"sysctl": {"net.ipv4.ip_forward": "1"}}))
    behind = ("create", "--bundle", str(tmp_path / "b"), "ID")
    for flag in ("--break", "--pdb", "-break"):
        assert complete(tmp_path, flag, "sysct", rest=behind) == ["sysctl.set", "sysctl"]
    assert complete(tmp_path, "--break", "sysct") == [] and "sysctl" not in example
    assert complete(tmp_path / "b", "--break", "sysctl.s") == ["sysctl.set"]
    assert complete(tmp_path, "--break", "=", "sysctl.s", rest=behind) == ["sysctl.set"]
    assert complete(tmp_path, "--break", "sysctl.s", rest=("--debug", "run", "-b", "b", "ID")) == ["sysctl.set"]


def test_steps_of_explain(tmp_path: Path) -> None:
    bundles.bundle(tmp_path / "b")
    assert complete(tmp_path / "b", "explain", "mounts.p") == ["mounts.proc"]
    assert complete(tmp_path, "explain", "--bundle", "b", "mounts.p") == ["mounts.proc"]
    assert complete(tmp_path, "explain", "--bundle", "b", "--select", "mounts.p") == ["mounts.proc"]
    assert {"create", "exec", "mounts"} <= set(complete(tmp_path / "b", "explain", ""))


def test_other_values(made: World, tmp_path: Path) -> None:
    made.stopped("one")
    root = ("--root", str(made.root))
    assert complete(tmp_path, *root, "kill", "one", "TE") == ["TERM"]
    assert complete(tmp_path, *root, "kill", "--all", "one", "KI") == ["KILL"]
    assert complete(tmp_path, *root, "step", "one", "") == ["next", "continue", "abort", "shell"]
    assert complete(tmp_path, *root, "step", "--pid", "7", "") == ["one"]
    assert complete(tmp_path, "list", "--format", "") == ["table", "json"]
    assert complete(tmp_path, "completion", "b") == ["bash"] and complete(tmp_path, "trace", "s") == ["show"]
    assert "CAP_CHOWN" in complete(tmp_path, "exec", "--cap", "CAP_C")
    assert complete(tmp_path, "create", "--preserve-fds", "") == complete(tmp_path, "create", "--pid-file", "x") == []
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert complete(tmp_path, "create", "--bundle", "f") == ["folder"]
    assert set(complete(tmp_path, "trace", "show", "f")) == {"file", "folder"}


def test_kept_failures(made: World, tmp_path: Path) -> None:
    kept = made.root / "@reports"
    kept.mkdir(mode=0o700)
    (kept / "01.json").write_text(json.dumps({"version": 1, "time": "T", "command": "create", "container": "c7",
                                              "host": {}, "error": {"message": "no"}}))
    for command in ("why", "report"):
        assert complete(tmp_path, "--root", str(made.root), command, "") == ["c7"]


def test_shells(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["completion", "fish"]) == 1
    capfd.readouterr()
    for shell in ("bash", "zsh"):
        assert main(["completion", shell]) == 0
        script = tmp_path / shell
        script.write_text(capfd.readouterr().out)
        if shutil.which(shell):
            subprocess.run([shell, "-n", str(script)], check=True)
