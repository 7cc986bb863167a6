"""User and groups on the Recorder. From inside a container: tests/container/test_inside.py."""
from __future__ import annotations

from typing import Any

import pytest

from pyrunc.errors import ConfigError
from pyrunc.host import Host
from pyrunc.kernel import last_stage as last
from pyrunc.kernel.last_stage import pack_groups, pack_strings, pack_verify
from pyrunc.steps import identity

from .planned import config, done, plan, story

USER = {"uid": 1000, "gid": 1001, "additionalGids": [7, 5, 7]}
ROOTLESS: dict[str, Any] = {"linux": {"namespaces": [{"type": "user"}],
                                      "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]}}
SECCOMP = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}


def queued(code: int, a: int = 0, data: bytes = b"") -> tuple[object, ...]:
    return ("last", code, a, 0, 0, data)


# config.md#posix-platform-user: "uid (int, REQUIRED) specifies the user ID in the container namespace." "gid (int,
# REQUIRED) specifies the group ID in the container namespace." "additionalGids (array of ints, OPTIONAL) specifies
# additional group IDs in the container namespace to be added to the process."
def test_groups_before_gid_before_uid_and_the_directory_once_more() -> None:
    wanted = config(process={"user": USER, "cwd": "/srv"})
    assert story(plan(identity.become, wanted)) == [
        ("identity.stdio_owner", "process.user.uid", "make uid 1000 the owner of the standard streams"),
        ("identity.groups", "process.user.additionalGids", "set supplementary groups: 5, 7"),
        ("identity.gid", "process.user.gid", "become gid 1001"),
        ("identity.uid", "process.user.uid", "become uid 1000"),
        ("process.cwd", "process.cwd", "change directory to /srv, as the container's user if root may not"),
        ("process.verify_cwd", "process.cwd", "check that the working directory is in the container")]
    assert done(identity.become, wanted) == [
        queued(last.OP_CHOWN_STDIO, 1000), queued(last.OP_SETGROUPS, 0, pack_groups([5, 7])),
        queued(last.OP_SETGID, 1001), queued(last.OP_SETUID, 1000),
        queued(last.OP_CHDIR, 0, pack_strings(["/srv"])), queued(last.OP_VERIFY_CWD)]


def test_nobody_in_particular_is_root_without_groups() -> None:
    codes = [(call[1], call[2], call[5]) for call in done(identity.become, config())][:4]
    assert codes == [(last.OP_CHOWN_STDIO, 0, b""), (last.OP_SETGROUPS, 0, b""), (last.OP_SETGID, 0, b""),
                     (last.OP_SETUID, 0, b"")]


def test_without_setgroups_there_is_no_such_step_and_groups_are_an_error() -> None:
    host = Host(euid=1000)
    assert "identity.groups" not in [step.name for step in plan(identity.become, config(**ROOTLESS), host=host)]
    with pytest.raises(ConfigError, match="setgroups is denied: at process"):
        plan(identity.become, config(process={"user": USER}, **ROOTLESS), host=host)


def test_everything_is_read_back() -> None:
    wanted = config(process={"user": USER, "noNewPrivileges": True,
                             "capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL"]}})
    assert story(plan(identity.verify, wanted)) == [
        ("identity.verify", "process", "read back ids, groups, capabilities, no_new_privs")]
    assert done(identity.verify, wanted) == [queued(last.OP_VERIFY, 0, pack_verify(
        1000, 1001, [5, 7], effective=0, permitted=1 << 5, inheritable=0, bounding=1 << 5 | 1, ambient=0,
        no_new_privs=True))]


def test_only_what_was_set_is_read_back() -> None:
    assert done(identity.verify, config()) == [queued(last.OP_VERIFY, 0, pack_verify(0, 0, []))]
    rootless = done(identity.verify, config(**ROOTLESS), host=Host(euid=1000))
    assert rootless == [queued(last.OP_VERIFY, 0, pack_verify(0, 0))]


@pytest.mark.parametrize("nnp, default, allowed, names", [
    (True, "ERRNO", [], ["identity.verify"]),            # the filter comes later
    (False, "ERRNO", [], []),                            # it refuses the asking
    (False, "KILL", ["capget", "getgroups", "prctl"], []),
    (False, "ERRNO", [*identity.VERIFY_CALLS], ["identity.verify"]),
    (False, "ALLOW", [], ["identity.verify"]),
])
def test_a_filter_that_is_loaded_already_must_allow_the_asking(nnp: bool, default: str, allowed: list[str],
                                                               names: list[str]) -> None:
    rules = [{"names": allowed, "action": "SCMP_ACT_ALLOW"}] if allowed else []
    wanted = config(process={"noNewPrivileges": nnp},
                    linux={"seccomp": {"defaultAction": f"SCMP_ACT_{default}", "syscalls": rules}})
    steps = plan(identity.verify, wanted)
    assert [step.name for step in steps] == names
    assert all(("the filter" in step.describe()) != nnp for step in steps)


def test_an_allowing_default_does_not_help_a_call_that_a_rule_refuses() -> None:
    refusing = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["capget"], "action": "SCMP_ACT_KILL"}]}
    assert plan(identity.verify, config(linux={"seccomp": refusing})) == []


def test_no_process() -> None:
    assert plan(identity.become, config(process=None)) == plan(identity.verify, config(process=None)) == []
