"""Every way out of a command: its status, what it prints, and exactly one error record in the log."""
from __future__ import annotations

import datetime
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyrunc.cli import main as cli
from pyrunc.state import store

from ..state.made import World


def records(log: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


FAILURES = [
    (["state", "none"], 1, "container does not exist: none in "),
    (["state"], 1, 'pyrunc: "state" requires exactly 1 argument(s)'),
    (["state", "a", "b"], 1, 'pyrunc: "state" requires exactly 1 argument(s)'),
    (["kill", "a", "b", "c"], 1, 'pyrunc: "kill" requires a maximum of 2 argument(s)'),
    (["state", ""], 1, "container id cannot be empty"),
    (["state", "a/b"], 1, "invalid container ID format"),
    (["state", "--no-such", "a"], 1, "flag provided but not defined: -no-such"),
    (["nothing"], 1, "No help topic for 'nothing'"),
    (["exlpain"], 1, "No help topic for 'exlpain'; did you mean explain?"),
    (["create", "--bundel", "/", "c"], 1, "flag provided but not defined: -bundel; did you mean --bundle?"),
    (["list", "--format", "xml"], 1, "invalid format option"),
    (["ps", "--format", "xml", "none"], 1, "invalid format option"),
    (["kill", "none", "NOPE"], 1, 'unknown signal "NOPE"'),
    (["create", "--bundle", "/nonexistent", "c"], 1,
     "pyrunc create failed: chdir /nonexistent: no such file or directory"),
    (["create", "--bundle", "/", "c"], 1, "pyrunc create failed: JSON specification file config.json not found in /"),
    (["create", "--bundle", "/", ""], 1, "pyrunc create failed: container id cannot be empty"),
    (["run", "--bundle", "/", "c"], 1, "pyrunc run failed: JSON specification file config.json not found in /"),
    (["explain", "--bundle", "/"], 1, "JSON specification file config.json not found in /"),
    (["explain", "--format", "xml"], 1, 'invalid value "xml" for flag -format: one of text, json, lines'),
]


@pytest.mark.parametrize(("words", "status", "message"), FAILURES, ids=lambda value: " ".join(value)
                         if isinstance(value, list) else "")
def test_a_failure(tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], status: int,
                   message: str) -> None:
    log = tmp_path / "log.json"
    (tmp_path / "state").mkdir()
    found = cli.main(["--root", str(tmp_path / "state"), "--log", str(log), "--log-format", "json", *words])
    message += f"{tmp_path}/state" if message.endswith(" in ") else ""
    assert (found, capfd.readouterr().err) == (status, f"{message}\n")
    [record] = records(log)
    assert list(record) == ["level", "msg", "time"]
    assert (record["level"], record["msg"]) == ("error", message)
    # Go's time.Time, which containerd decodes it into, takes RFC 3339 only
    when = datetime.datetime.strptime(record["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    assert abs((datetime.datetime.now(datetime.UTC) - when).total_seconds()) < 60


@pytest.mark.parametrize(("flags", "message"), [
    (["--log-format", "xml"], "invalid log-format: xml"),
    (["--root", "/"], "Option --root argument should not be set to /"),
    (["--root", ""], "Option --root argument should not be set to /"),
    (["--root", "/tmp/.."], "Option --root argument should not be set to /"),
    (["--rootless", "perhaps"], 'invalid value "perhaps" for flag -rootless: one of auto, true, false'),
    (["--cgroup-manager", "x"], 'invalid value "x" for flag -cgroup-manager: one of cgroupfs, systemd, disabled'),
    (["--no-such"], "flag provided but not defined: -no-such"),
    (["--log"], "flag needs an argument: --log"),
])
def test_a_bad_global_flag_is_logged_where_it_can_be(tmp_path: Path, capfd: pytest.CaptureFixture[str],
                                                     flags: list[str], message: str) -> None:
    log = tmp_path / "log.json"
    assert cli.main(["--log", str(log), *flags, "state", "c"] if flags != ["--log"] else ["--log"]) == 1
    assert message in capfd.readouterr().err
    if flags != ["--log"]:
        text = log.read_text()
        assert text.count("level=error") == 1 and text.count("\n") == 1


def test_a_log_that_cannot_be_opened(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--log", "/nonexistent/log", "state", "c"]) == 1
    assert "open /nonexistent/log: no such file or directory" in capfd.readouterr().err


def test_the_log_is_there_before_anything_can_fail(tmp_path: Path) -> None:
    """Without it containerd says "unable to retrieve OCI runtime error (open log.json: no such file or directory)"."""
    log = tmp_path / "log.json"
    cli.main(["--log", str(log), "--root", str(tmp_path), "list"])
    assert log.read_text() == ""
    log.write_text("before\n")
    cli.main(["--log", str(log), "--log-format=json", "state", "none"])
    assert log.read_text().startswith("before\n{")


def test_text_on_stderr_is_logrus(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--root", "/nonexistent", "state", "c"]) == 1
    assert re.fullmatch(r'time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=error '
                        r'msg="container does not exist: c in /nonexistent"\n', capfd.readouterr().err)
    cli.main(["--root", "/nonexistent", "--log-format", "json", "state", "c"])
    assert json.loads(capfd.readouterr().err)["msg"] == "container does not exist: c in /nonexistent"


def test_a_misuse_shows_the_command_s_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["kill"]) == 1
    out = capfd.readouterr().out
    assert out.startswith("Incorrect Usage.\n\npyrunc kill: ") and "--all, -a" in out
    assert cli.main(["kill", "--nope", "c"]) == 1
    out, err = capfd.readouterr()
    assert out.startswith("Incorrect Usage: flag provided but not defined: -nope\n\npyrunc kill: ")
    assert "--all, -a" in out and err.count("\n") == 1
    assert cli.main(["--log"]) == 1
    assert capfd.readouterr().out.startswith("Incorrect Usage: flag needs an argument: --log\n\npyrunc: ")


class Exotic(BaseException):
    pass


@pytest.mark.parametrize("fault", [ValueError("odd\nlines"), RecursionError("deep"), SystemError(), Exotic("x"),
                                   SystemExit(0), AssertionError()])
def test_an_unforeseen_exception(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
                                 fault: BaseException) -> None:
    from pyrunc.cli import state

    def run(call: object) -> int:
        raise fault

    monkeypatch.setattr(state, "run", run)
    log = tmp_path / "log.json"
    assert cli.main(["--log", str(log), "--log-format", "json", "state", "c"]) == 1
    [record] = records(log)
    assert record["msg"].startswith(f"internal error: {type(fault).__name__}: ")
    assert re.search(r"cli/main\.py:\d+ > .*test_main\.py:\d+$", record["msg"])
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err


def test_an_os_error_that_no_step_explains(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--root", str(tmp_path / "none"), "list"]) == 1
    assert f"{tmp_path}/none: no such file or directory" in capfd.readouterr().err


PYRUNC = [sys.executable, "-m", "pyrunc"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal(tmp_path: Path, made: World, number: int) -> None:
    """Interrupted while it waits for another command: one record, and 128 and the signal's number."""
    from ..state.test_store import hold
    made.stopped("c")
    hold(made, "c")
    log = tmp_path / "log.json"
    process = subprocess.Popen([*PYRUNC, "--root", str(made.root), "--log", str(log), "--log-format", "json",
                                "delete", "c"], stderr=subprocess.DEVNULL)
    while not log.exists():
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(number)
    assert process.wait() == 128 + number
    [record] = records(log)
    assert record["msg"] == f"interrupted by signal {int(number)}"


def test_stdout_that_nobody_reads(made: World) -> None:
    made.stopped("c")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*PYRUNC, "--root", str(made.root), "state", "c"], stdout=writer, stderr=subprocess.PIPE,
                          text=True)
    os.close(writer)
    assert done.returncode == 1
    assert "broken pipe" in done.stderr and "Traceback" not in done.stderr


def test_the_state_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "environ", {})
    import posix
    environment: dict[bytes, bytes] = {}
    monkeypatch.setattr(posix, "environ", environment)
    assert cli.state_root({"root": "/x//y/../z"}) == "/x/z"
    assert cli.state_root({"root": "x"}) == f"{os.getcwd()}/x"
    assert cli.state_root({}) == "/run/pyrunc"
    environment[b"XDG_RUNTIME_DIR"] = b"/run/user/1000"
    for user, foreign, expected in [(1000, False, "/run/user/1000/pyrunc"), (0, False, "/run/pyrunc"),
                                    (0, True, "/run/user/1000/pyrunc")]:
        monkeypatch.setattr(posix, "geteuid", lambda user=user: user)
        monkeypatch.setattr(store, "_foreign_root", lambda foreign=foreign: foreign)
        assert cli.state_root({}) == expected


def test_where_the_trace_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Flags do not get through engines (containerd#124, #2297, cri-o#8940): environment and a file do."""
    import posix
    environment: dict[bytes, bytes] = {}
    monkeypatch.setattr(posix, "environ", environment)
    assert cli.trace_file({}, str(tmp_path)) == ""
    (tmp_path / "@trace").touch()
    assert cli.trace_file({}, str(tmp_path)) == f"{tmp_path}/@trace.jsonl"
    environment[b"PYRUNC_TRACE"] = b"/var/log/trace"
    assert cli.trace_file({}, str(tmp_path)) == "/var/log/trace"
    assert cli.trace_file({"trace": "/t"}, str(tmp_path)) == "/t"


def test_no_command_and_help(capfd: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["help"], ["--help"], ["-h"]):
        assert cli.main(words) == 0
        out, err = capfd.readouterr()
        assert all(f"\n  {name} " in out for name in cli.COMMANDS) and err == ""


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_every_command(capfd: pytest.CaptureFixture[str], name: str) -> None:
    """Podman asks `checkpoint --help` for its exit status."""
    command = cli.module(name).COMMAND
    assert command.name == name
    for words in ([name, "--help"], [name, "-h"], ["help", name]):
        assert cli.main(words) == 0
        out = capfd.readouterr().out
        assert out.startswith(f"pyrunc {name}: ")
        assert all(f"--{flag.name}" in out for flag in command.flags if not flag.hidden)
        assert all(len(line) <= 102 for line in out.splitlines())
