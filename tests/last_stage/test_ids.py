"""Ids and capabilities, set, seen from inside, and read back."""
from __future__ import annotations

import errno
import os
import struct
import threading
import time
from pathlib import Path

import pytest

from pyrunc.kernel.last_stage import (
    OP_AMBIENT,
    OP_CAPSET,
    OP_CHOWN_STDIO,
    OP_NO_NEW_PRIVS,
    OP_SECCOMP,
    OP_SETGROUPS,
    OP_VERIFY,
    pack_groups,
    pack_verify,
)

from .stage import CAP_KILL, CAP_NET_RAW, CAP_SYS_ADMIN, OWN_CAPABILITIES, Op, become, execute, op, run, shell


def test_identity_as_seen_from_inside() -> None:
    told = run([*become(1234, 2345, [30, 20], CAP_KILL | CAP_NET_RAW, CAP_NET_RAW),
                *execute("/bin/grep", "-E", "Uid|Gid|Groups|Cap", "/proc/self/status")])
    status = {key: value.split() for key, _, value in (line.partition(":") for line in told.out.splitlines())}
    assert status["Uid"] == ["1234"] * 4
    assert status["Gid"] == ["2345"] * 4
    assert status["Groups"] == ["20", "30"]
    sets = {key: int(value[0], 16) for key, value in status.items() if key.startswith("Cap")}
    assert sets == {"CapInh": CAP_NET_RAW, "CapPrm": CAP_NET_RAW, "CapEff": CAP_NET_RAW, "CapAmb": CAP_NET_RAW,
                    "CapBnd": CAP_KILL | CAP_NET_RAW}


def test_no_capability_is_left_to_a_user_without_ambient() -> None:
    told = run([*become(1000, 1000, [], CAP_KILL), *execute("/bin/grep", "-E", "Cap(Eff|Prm|Amb)",
                                                                    "/proc/self/status")])
    assert [int(line.split()[1], 16) for line in told.out.splitlines()] == [0, 0, 0]


def test_ambient_that_is_refused_is_no_error() -> None:
    """Raising needs the inheritable set too; runc warns only."""
    told = run([op(OP_CAPSET, OWN_CAPABILITIES, OWN_CAPABILITIES, 0), op(OP_AMBIENT, CAP_KILL),
                *execute("/bin/grep", "CapAmb", "/proc/self/status")])
    assert int(told.out.split()[1], 16) == 0


def test_capabilities_beyond_ones_own_are_an_error() -> None:
    told = run([op(OP_CAPSET, CAP_KILL, CAP_KILL, 0), op(OP_CAPSET, CAP_SYS_ADMIN, CAP_SYS_ADMIN, 0), *shell("true")])
    assert told.failure == ("set capabilities", errno.EPERM)
    assert told.page.child_step == 1


# The last stage reads back what it has set, and refuses to go on where it differs.
@pytest.mark.parametrize(("wanted", "text"), [
    (pack_verify(1, 0), "refusing to start: user id is 0, not 1"),
    (pack_verify(0, 7), "refusing to start: group id is 0, not 7"),
    (pack_verify(groups=[5, 6]), "refusing to start: number of groups is 1, not 2"),
    (pack_verify(groups=[6]), "refusing to start: one group is 5, not 6"),
    (pack_verify(effective=0, permitted=CAP_KILL, inheritable=CAP_NET_RAW, bounding=OWN_CAPABILITIES),
     "refusing to start: effective capabilities are 0x20, not 0x0"),
    (pack_verify(effective=CAP_KILL, permitted=0, inheritable=CAP_NET_RAW, bounding=OWN_CAPABILITIES),
     "refusing to start: permitted capabilities are 0x20, not 0x0"),
    (pack_verify(effective=CAP_KILL, permitted=CAP_KILL, inheritable=0, bounding=OWN_CAPABILITIES),
     "refusing to start: inheritable capabilities are 0x2000, not 0x0"),
    (pack_verify(effective=CAP_KILL, permitted=CAP_KILL, inheritable=CAP_NET_RAW, bounding=CAP_KILL),
     "refusing to start: bounding capabilities are"),
    (pack_verify(no_new_privs=True), "refusing to start: no_new_privs is 0, not 1"),
    (pack_verify(seccomp=True), "refusing to start: seccomp mode is 0, not 2"),
], ids=["uid", "gid", "count", "groups", "effective", "permitted", "inheritable", "bounding", "nnp", "seccomp"])
def test_post_condition_that_does_not_hold(wanted: bytes, text: str) -> None:
    told = run([op(OP_SETGROUPS, data=pack_groups([5])), op(OP_CAPSET, CAP_KILL, CAP_KILL, CAP_NET_RAW),
                op(OP_VERIFY, data=wanted), *shell("true")])
    assert told.failure[0].startswith(text)
    assert told.failure[1] == errno.EPERM
    assert told.page.child_step == 2


def test_ambient_capability_too_many_is_refused() -> None:
    told = run([op(OP_CAPSET, CAP_KILL, CAP_KILL, CAP_KILL), op(OP_AMBIENT, CAP_KILL),
                op(OP_VERIFY, data=pack_verify(effective=CAP_KILL, permitted=CAP_KILL, inheritable=CAP_KILL,
                                               bounding=OWN_CAPABILITIES)), *shell("true")])
    assert told.failure[0] == "refusing to start: ambient capabilities are 0x20, not 0x0"


def test_post_conditions_that_hold() -> None:
    groups = list(range(5000, 5300))
    allow_all = struct.pack("HBBI", 6, 0, 0, 0x7fff0000)
    told = run([op(OP_SETGROUPS, data=pack_groups(groups)), op(OP_NO_NEW_PRIVS), op(OP_SECCOMP, data=allow_all),
                op(OP_VERIFY, data=pack_verify(0, 0, groups[::-1], OWN_CAPABILITIES, OWN_CAPABILITIES, 0,
                                               OWN_CAPABILITIES, 0, True, True)), *shell("echo ran")])
    assert told.out == "ran\n", told.text


def test_second_thread_is_refused() -> None:
    def act() -> list[Op]:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        return [op(OP_VERIFY, data=pack_verify()), *shell("true")]
    assert run(act).failure == ("refusing to start: there is more than one thread", errno.EPERM)


def test_standard_streams_belong_to_the_user(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("")
    null = os.stat("/dev/null").st_uid

    def act() -> list[Op]:
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(os.open(file, os.O_WRONLY), 1)
        os.dup2(os.open("/proc/version", os.O_RDONLY), 2)        # EPERM or so: left alone
        return [op(OP_CHOWN_STDIO, 4321), *shell("true")]
    assert run(act).status == 0
    assert (file.stat().st_uid, file.stat().st_gid, os.stat("/dev/null").st_uid) == (4321, 0, null)
