"""The environment of the container's process, before it is the container's."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.config.environment import Environment, home_in
from pyrunc.engine.facts import Facts
from pyrunc.options import Options

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
# a comment
short:x:7
user:x:1000:1000:A User,,,:/home/user:/bin/sh
again:x:1000:1000::/home/again:/bin/sh
1000:x:0:0::/evil:/bin/sh
strange:x:8:8::/home/stra\xffnge:
empty:x:9:9:::
"""


def entries(env: list[str], home: str = "", **options: object) -> list[str]:
    facts = Facts()
    facts.home = home
    return Environment({"process": {"env": env}}, Options(**options)).complete(facts)  # type: ignore[typeddict-item]


# config.md#process: "env (array of strings, OPTIONAL) with the same semantics as IEEE Std 1003.1-2008's environ."
def test_entries_arrive_as_they_are() -> None:
    assert entries(["PATH=/bin", "HOME=/h", "EMPTY=", "A=b=c"]) == ["PATH=/bin", "HOME=/h", "EMPTY=", "A=b=c"]


def test_of_two_for_a_name_the_last_counts() -> None:
    assert entries(["A=1", "B=2", "A=3", "HOME=/h"]) == ["A=3", "B=2", "HOME=/h"]


@pytest.mark.parametrize("env", [[], ["HOME="], ["HOME=/x", "HOME="]])
def test_home_is_always_there(env: list[str]) -> None:
    assert entries(env, "/home/user") == ["HOME=/home/user"]
    assert entries(env) == ["HOME=/"]
    assert entries([*env, "HOME=/mine"], "/home/user") == ["HOME=/mine"]


def test_nothing_of_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    assert entries(["HOME=/"]) == ["HOME=/"]


def test_systemds_protocols_go_through() -> None:
    assert entries(["HOME=/", "LISTEN_FDS=9"], listen_fds=2, notify_socket="/run/x") == [
        "HOME=/", "LISTEN_FDS=2", "NOTIFY_SOCKET=/run/notify/notify.sock", "LISTEN_PID=1"]


@pytest.mark.parametrize("env, path", [(["PATH=/a:/b"], "/a:/b"), (["PATH=/a", "PATH="], ""), ([], "/bin:/usr/bin")])
def test_path_to_look_the_executable_up_in(env: list[str], path: str) -> None:
    assert Environment({"process": {"env": env}}, Options()).path == path  # type: ignore[typeddict-item]


# CVE-2016-3697: a user *named* 1000 is not the user with that number.
@pytest.mark.parametrize("uid, home", [(0, "/root"), (1000, "/home/user"), (7, ""), (8, "/home/stra�nge"), (9, ""),
                                       (4294967294, "")])
def test_home_in_passwd(uid: int, home: str) -> None:
    assert home_in(PASSWD, uid) == home


@given(st.binary(), st.integers(0, 2**32 - 2))
def test_any_passwd_gives_an_answer_that_fits_into_an_environment(passwd: bytes, uid: int) -> None:
    home = home_in(passwd + f"\nx:x:{uid}:".encode() + passwd, uid)
    assert b"\0" not in home.encode()      # strict UTF-8 as it goes to execve
