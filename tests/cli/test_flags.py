"""Flags as Go programs take them."""
from __future__ import annotations

from typing import Any

import pytest

from pyrunc.cli.flags import Call, Command, Flag, check_arguments, parse
from pyrunc.errors import UsageError
from pyrunc.log import Log

FLAGS = (
    Flag("force", bool, "", short="f"), Flag("bundle", str, "", short="b"), Flag("env", list, "", short="e"),
    Flag("preserve-fds", int, ""), Flag("status-fd", int, "", least=-1), Flag("no-subreaper", bool, ""),
)


def parsed(*words: str, stop: int = -1) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    return values, parse(FLAGS, words, values, stop)


@pytest.mark.parametrize(("words", "values", "arguments"), [
    (["c"], {}, ["c"]),
    (["--force", "c"], {"force": True}, ["c"]),
    (["-force", "c"], {"force": True}, ["c"]),                        # containerd: restore -no-subreaper
    (["-f", "c"], {"force": True}, ["c"]),
    (["--f", "c"], {"force": True}, ["c"]),
    (["--force=false", "c"], {"force": False}, ["c"]),
    (["--force=", "c"], {"force": True}, ["c"]),
    (["-f=0", "c"], {"force": False}, ["c"]),
    (["--force", "false"], {"force": True}, ["false"]),               # a switch does not take the next word
    (["c", "--force"], {"force": True}, ["c"]),                       # after arguments, too
    (["--bundle", "/b", "c"], {"bundle": "/b"}, ["c"]),
    (["--bundle=/b", "c"], {"bundle": "/b"}, ["c"]),
    (["-b=/b=c", "c"], {"bundle": "/b=c"}, ["c"]),
    (["--bundle=", "c"], {"bundle": ""}, ["c"]),
    (["--bundle", "--force", "c"], {"bundle": "--force"}, ["c"]),     # a value may look like a flag
    (["--bundle", "/a", "--bundle", "/b"], {"bundle": "/b"}, []),
    (["-e", "A=1,2", "--env=B", "-e", ""], {"env": ["A=1,2", "B", ""]}, []),
    (["--preserve-fds", "2147483647"], {"preserve-fds": 2147483647}, []),
    (["--status-fd", "-1"], {"status-fd": -1}, []),
    (["--preserve-fds=+2"], {"preserve-fds": 2}, []),
    (["--", "--force", "c"], {}, ["--force", "c"]),
    (["c", "--", "--force"], {}, ["c", "--force"]),
    (["", "-", "c"], {}, ["", "-", "c"]),
    (["c", "-9", "--force"], {}, ["c", "-9", "--force"]),             # no flag begins with a digit
])
def test_parsing(words: list[str], values: dict[str, Any], arguments: list[str]) -> None:
    assert parsed(*words) == (values, arguments)


@pytest.mark.parametrize(("words", "arguments"), [
    (["c", "ls", "-l"], ["c", "ls", "-l"]),
    (["-f", "c", "--force"], ["c", "--force"]),
    (["c", "--", "ls"], ["c", "--", "ls"]),
])
def test_what_follows_the_container_is_the_program_s(words: list[str], arguments: list[str]) -> None:
    """exec, kill and ps: what comes after the id is not for pyrunc."""
    assert parsed(*words, stop=1)[1] == arguments


@pytest.mark.parametrize(("words", "error"), [
    (["--no-such"], "flag provided but not defined: -no-such"),
    (["-x"], "flag provided but not defined: -x"),
    (["-fb"], "flag provided but not defined: -fb"),
    (["--bundle"], "flag needs an argument: --bundle"),
    (["-b"], "flag needs an argument: -b"),
    (["--force=maybe"], 'invalid boolean value "maybe" for -force: parse error'),
    *[([f"--preserve-fds={value}"], f'invalid value "{value}" for flag -preserve-fds: not an integer')
      for value in ("", "x", "1_0", " 1", "\u0661", "0x1", "1.0", "--1", "9" * 19, "9" * 5000)],
    *[([f"--{name}={value}"], f'invalid value "{value}" for flag -{name}: not in the range {least} to 2147483647')
      for name, least in (("preserve-fds", 0), ("status-fd", -1)) for value in ("-5", "2147483648", "9" * 18)],
])
def test_errors(words: list[str], error: str) -> None:
    with pytest.raises(UsageError) as failed:
        parsed(*words)
    assert str(failed.value) == error


def test_what_was_parsed_before_an_error_is_known() -> None:
    """The log file named before a bad flag gets the record about it."""
    values: dict[str, Any] = {}
    with pytest.raises(UsageError):
        parse(FLAGS, ["--bundle=/b", "--no-such"], values)
    assert values == {"bundle": "/b"}


@pytest.mark.parametrize(("least", "most", "count", "error"), [
    (1, 1, 0, "requires exactly 1 argument(s)"), (1, 1, 2, "requires exactly 1 argument(s)"),
    (1, 2, 0, "requires a minimum of 1 argument(s)"), (1, 2, 3, "requires a maximum of 2 argument(s)"),
    (1, -1, 0, "requires a minimum of 1 argument(s)"), (1, -1, 9, ""), (0, 0, 0, ""), (1, 2, 2, ""),
])
def test_number_of_arguments(least: int, most: int, count: int, error: str) -> None:
    command = Command("state", "", least=least, most=most)
    if not error:
        check_arguments(command, ["x"] * count)
        return
    with pytest.raises(UsageError) as failed:
        check_arguments(command, ["x"] * count)
    assert str(failed.value) == f'pyrunc: "state" {error}'


def test_values_and_defaults() -> None:
    flags = (*FLAGS, Flag("format", str, "", default="table"))
    call = Call(Command("c", "", flags), {"force": True, "env": ["A"]}, ["id"], {}, "/root", Log(), "")
    assert (call.id, call.on("force"), call.on("no-subreaper")) == ("id", True, False)
    assert (call.text("format"), call.text("bundle"), call.list("env")) == ("table", "", ["A"])
    assert (call.number("preserve-fds"), call.given("env"), call.given("format")) == (0, True, False)
