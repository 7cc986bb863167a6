"""explain: the plan of any command, by the command's own flags; and its numbers are those that the command stops at."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.cli.main import main
from pyrunc.engine.step import Plan
from tests import bundles
from tests.bundles import docker_like

from ..state.made import World


def explained(capfd: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capfd.readouterr()
    assert main(list(words)) == 0
    steps: list[dict[str, Any]] = json.loads(capfd.readouterr().out)
    return steps


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.bundle(tmp_path / "bundle", docker_like(process={"args": ["true"]}))


@pytest.mark.parametrize("words", [(), ("--pid-file", "/p"), ("--pidfd-socket", "/s"), ("--no-new-keyring",),
                                   ("--no-pivot",), ("--preserve-fds", "0"), ("NOTIFY_SOCKET=/n",),
                                   ("--pid-file", "/p", "--pidfd-socket", "/s", "NOTIFY_SOCKET=/n")])
@pytest.mark.parametrize("command", ["create", "run"])
def test_its_numbers_are_the_commands(command: str, words: tuple[str, ...], bundle: Path, tmp_path: Path,
                                      capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes a plan besides config.json: the caller's notify socket, the pidfd socket, the pid file."""
    flags = [word for word in words if "=" not in word]
    for name, _, value in (word.partition("=") for word in words if "=" in word):
        monkeypatch.setenv(name, value)
        monkeypatch.setitem(os.environb, name.encode(), value.encode())
        import posix
        monkeypatch.setitem(posix.environ, name.encode(), value.encode())
    ran: list[Plan] = []

    def execute(plan: Plan, *_: object) -> None:
        ran.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr("pyrunc.runtime.create.execute", execute)
    root = ["--root", str(tmp_path / "root")]
    terminal = [] if command == "create" else ["--detach"]
    main([*root, command, *terminal, *flags, "--bundle", str(bundle), "ID"])
    [plan] = ran
    for asked in ([command, *terminal, *flags, "--bundle", str(bundle), "--format", "json", "ID"],
                  *([[*flags, "--bundle", str(bundle), "--format", "json", "ID"]] if command == "create" else [])):
        found = explained(capfd, *root, "explain", *asked)
        assert [(step["index"], step["id"]) for step in found] == list(enumerate(plan.ids))


def test_the_plans_of_a_containers_commands(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    made.created("c", hooks={"poststart": [{"path": "/bin/true"}], "poststop": [{"path": "/bin/true"}]})
    root = ["--root", str(made.root)]
    for words, ids in ((["start", "c"], ["start.release", "start.unlock", "hooks.poststart"]),
                       (["kill", "c", "KILL"], ["kill.send"]), (["pause", "c"], ["pause.freeze"]),
                       (["resume", "c"], ["resume.thaw"]), (["update", "--pids-limit", "7", "c"],
                                                            ["update.open", "update.limit"]),
                       (["delete", "--force", "c"], ["delete.kill", "hooks.poststop", "delete.forget"])):
        command, *rest = words
        assert [step["id"] for step in explained(capfd, *root, "explain", command, "--format", "json", *rest)] == ids
    assert [process.poll() for process in made.processes] == [None]         # and nothing has been done


def test_exec_by_its_own_flags(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    directory = made.running("c")
    (directory / "config.json").write_text(json.dumps(docker_like(process={"args": ["true"]})))
    words = ["explain", "exec", "--format", "json", "-t", "-d", "c", "ls", "-t"]
    found = explained(capfd, "--root", str(made.root), *words)
    assert [step["what"] for step in found if step["id"] == "process.exec"] == ["execute ls -t"]
    assert "terminal.open" in [step["id"] for step in found]


@pytest.mark.parametrize(("words", "why"), [
    (["explain", "list"], "list has no plan"), (["explain", "start", "none"], "container does not exist"),
    (["explain", "start"], "requires exactly 1 argument"),
    (["explain", "kill", "--nonesuch"], "not defined: -nonesuch"),
    (["explain", "create", "--format", "xml", "c"], "for flag -format: one of text, json")])
def test_what_cannot_be_explained(words: list[str], why: str, tmp_path: Path,
                                  capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "root").mkdir(0o700)
    assert main(["--root", str(tmp_path / "root"), *words]) == 1
    assert why in capfd.readouterr().err
