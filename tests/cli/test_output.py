"""What state, list and ps print, to the letter."""
from __future__ import annotations

import json
import os
import posix
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrunc.cli.list import table
from pyrunc.cli.main import main
from pyrunc.cli.ps import only
from pyrunc.errors import UsageError
from pyrunc.kernel import small_file
from pyrunc.state import process_id
from tests.bundles import minimal
from tests.traceview.samples import record, write

from ..state.made import World


@pytest.mark.spec("runtime.md#state", "annotations", "id", "bundle")
@pytest.mark.spec("runtime.md#query-state", "state says the container's state")
def test_state(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    made.running("c", annotations={"a": "ü"})
    assert main(["--root", str(made.root), "state", "c"]) == 0
    assert capfd.readouterr().out == (
        f'{{\n  "ociVersion": "1.3.0",\n  "id": "c",\n  "pid": {made.processes[0].pid},\n  "status": "running",\n'
        '  "bundle": "/bundle",\n'
        '  "rootfs": "/bundle/rootfs",\n  "created": "2026-01-02T03:04:05.123456789Z",\n  "annotations": {\n'
        '    "a": "\\u00fc"\n  },\n  "owner": ""\n}')


def test_state_of_a_stopped_one(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    made.stopped("c")
    main(["--root", str(made.root), "state", "c"])
    state = json.loads(capfd.readouterr().out)
    assert (state["pid"], state["status"]) == (0, "stopped") and "annotations" not in state


@pytest.mark.spec("runtime.md#state", "status")
def test_state_while_it_is_created(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    """buildah polls `state` and accepts this; other runtimes say that the container does not exist."""
    made.intent("c", creator=made.sleeper())
    assert main(["--root", str(made.root), "state", "c"]) == 0
    state = json.loads(capfd.readouterr().out)
    assert (state["pid"], state["status"]) == (0, "creating")


@pytest.fixture
def user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def test_list(made: World, capfd: pytest.CaptureFixture[str], user: str) -> None:
    made.running("long-enough-to-widen-the-column")
    made.stopped("b")
    (made.root / "trace").touch()                  # neither the switch file nor the cache is a container
    (made.root / "@seccomp").mkdir()
    (made.root / "empty").mkdir()
    pid = made.processes[0].pid
    assert main(["--root", str(made.root), "list"]) == 0
    when = "2026-01-02T03:04:05.123456789Z"
    assert capfd.readouterr() == (
        "ID                                PID         STATUS      BUNDLE      CREATED                          OWNER\n"
        f"b                                 0           stopped     /bundle     {when}   {user}\n"
        f"long-enough-to-widen-the-column   {pid:<11} running     /bundle     {when}   {user}\n", "")
    assert main(["--root", str(made.root), "list", "-q"]) == 0
    assert capfd.readouterr().out == "b\nlong-enough-to-widen-the-column\n"
    assert main(["--root", str(made.root), "list", "--format", "json"]) == 0
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    assert [(c["id"], c["status"], c["owner"]) for c in json.loads(out)] == [
        ("b", "stopped", user), ("long-enough-to-widen-the-column", "running", user)]


def test_a_list_asks_the_host_once(made: World, capfd: pytest.CaptureFixture[str],
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """For each container it asked for the boot two times, searched /etc/passwd for the owner, and opened the root."""
    for number in range(3):
        made.running(f"c{number}")
    asked: list[str] = []

    def read(path: str) -> str:
        asked.append(path)
        return small_file.read(path)

    def getpwuid(uid: int, find: Callable[[int], pwd.struct_passwd] = pwd.getpwuid) -> pwd.struct_passwd:
        asked.append("owner")
        return find(uid)

    def opened(path: str, *how: int, dir_fd: int | None = None, open: Callable[..., int] = posix.open) -> int:
        asked.append(path)
        return open(path, *how, dir_fd=dir_fd)
    monkeypatch.setattr(process_id, "read", read)
    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    monkeypatch.setattr(posix, "open", opened)
    before = os.listdir("/proc/self/fd")
    for _ in range(2):                             # what it has found out is not kept for the next
        asked.clear()
        assert main(["--root", str(made.root), "list"]) == 0
        assert capfd.readouterr().out.count(" running ") == 3
        assert asked.count("owner") == asked.count(str(made.root)) == 1
        assert asked.count("/proc/sys/kernel/random/boot_id") == 2      # to be read, and by its path
    assert os.listdir("/proc/self/fd") == before


def test_an_empty_list(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    main(["--root", str(made.root), "list"])
    assert capfd.readouterr().out == "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
    main(["--root", str(made.root), "list", "-f", "json"])
    assert capfd.readouterr().out == "null\n"
    main(["--root", str(made.root), "list", "-q"])
    assert capfd.readouterr().out == ""


def test_one_broken_container_does_not_hide_the_others(made: World, capfd: pytest.CaptureFixture[str],
                                                       tmp_path: Path) -> None:
    made.stopped("a")
    (made.stopped("b") / "state.json").write_text("{")
    log = tmp_path / "log"
    assert main(["--log", str(log), "--root", str(made.root), "list", "-q"]) == 0
    assert capfd.readouterr().out == "a\n"
    assert "level=warning" in log.read_text() and "load container b: " in log.read_text()


def test_a_reader_that_has_seen_enough_gets_no_error(tmp_path: Path) -> None:
    """`pyrunc explain | head`: the end is SIGPIPE's, without a word."""
    mounts = [{"destination": f"/tmp/{number}", "type": "tmpfs", "source": "tmpfs"} for number in range(2000)]
    (tmp_path / "config.json").write_text(json.dumps(minimal(mounts=mounts)))
    trace = write(tmp_path / "t", [record(f"a.step{number}", number, 1.0) for number in range(4000)])
    for words in (["explain", "--no-check", "--bundle", tmp_path], ["trace", "show", trace]):
        with subprocess.Popen([sys.executable, "-m", "pyrunc", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as command:
            assert command.stdout is not None and command.stderr is not None
            assert command.stdout.readline()
            command.stdout.close()
            assert command.stderr.read() == b""
        assert command.returncode == -signal.SIGPIPE


def test_table() -> None:
    assert table([("A", "B"), ("x" * 9, "y"), ("x" * 10, "")]) == (
        "A            B\nxxxxxxxxx    y\nxxxxxxxxxx   \n")


def test_ps_keeps_the_lines_of_the_container() -> None:
    output = "UID  PID PPID CMD\nroot 1 0 init\nroot 42 1 sh -c 43\nroot 43 1 sleep 42\n"
    assert only([42, 99], output) == "UID  PID PPID CMD\nroot 42 1 sh -c 43\n"
    assert only([], output) == "UID  PID PPID CMD\n"
    with pytest.raises(UsageError, match="couldn't find PID field in ps output"):
        only([42], "USER CMD\n")
