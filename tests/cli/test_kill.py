"""kill: names of signals, whom they reach, and what is refused."""
from __future__ import annotations

import signal

import pytest

from pyrunc.cli.kill import signal_number
from pyrunc.cli.main import main
from pyrunc.errors import UsageError

from ..state.made import World


@pytest.mark.parametrize(("name", "number"), [
    ("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigkill", 9), ("Term", 15), ("0", 0), ("64", 64), ("010", 10),
    ("SIGRTMIN", 34), ("SIGRTMIN+3", 37), ("rtmin+30", 64), ("RTMAX", 64), ("RTMAX-14", 50), ("CHLD", 17), ("IOT", 6),
    ("0" * 5000 + "9", 9),
    ("WINCH", 28), ("STKFLT", 16),
])
def test_names(name: str, number: int) -> None:
    assert signal_number(name) == number


@pytest.mark.parametrize("name", ["", "SIG", "NOPE", "-9", "65", "99999999999999999999", "1.0", "0x9", "SIGRTMIN+31",
                                  "RTMIN-1", "RTMAX+1", "KILL+1", "RTMIN+", "RTMIN++1", "RTMIN+\u0661", "\u0669",
                                  "_DFL", "SIG_BLOCK", "DFL", "KILL ", "Signals", "9" * 5000,
                                  f"RTMIN+{'9' * 5000}", "RTMAX-999", "RTMAX+0" + "1" * 99])
def test_no_names(name: str) -> None:
    with pytest.raises(UsageError, match=r"^unknown signal "):
        signal_number(name)


def test_the_default_is_sigterm(made: World) -> None:
    made.running("c")
    assert main(["--root", str(made.root), "kill", "c"]) == 0
    assert made.processes[0].wait() == -signal.SIGTERM


def test_a_created_one_can_be_killed(made: World) -> None:
    made.created("c")
    assert main(["--root", str(made.root), "kill", "c", "KILL"]) == 0
    assert made.processes[0].wait() == -signal.SIGKILL


def test_a_stopped_one_cannot(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    made.stopped("c")
    assert main(["--root", str(made.root), "kill", "c", "9"]) == 1
    assert "container not running" in capfd.readouterr().err
    assert main(["--root", str(made.root), "kill", "--all", "c", "9"]) == 0      # as runc: nobody left is success


def test_no_lock_is_waited_for(made: World) -> None:
    from ..state.test_store import hold
    made.running("c")
    hold(made, "c")
    assert main(["--root", str(made.root), "kill", "c", "9"]) == 0
    assert made.processes[0].wait() == -signal.SIGKILL


def test_regex(made: World) -> None:
    made.running("web-1")
    made.running("web-2")
    made.running("db")
    made.stopped("web-3")
    assert main(["--root", str(made.root), "kill", "--regex", "^web-", "9"]) == 0
    assert [made.processes[0].wait(), made.processes[1].wait()] == [-9, -9]
    assert made.processes[2].poll() is None
    assert main(["--root", str(made.root), "delete", "--regex", "--force", "^web-"]) == 0
    assert sorted(path.name for path in made.root.iterdir()) == ["db"]


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(" * 50000 + ")" * 50000])
def test_a_bad_regex(pattern: str, made: World, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(made.root), "kill", "--regex", pattern]) == 1
    assert "invalid regular expression" in capfd.readouterr().err
