"""The steps of an init that waits, on the Recorder. What a process of its container can do to it meanwhile:
tests/security/test_init_is_seized.py; signals: tests/container/test_signals_before_start.py."""
from __future__ import annotations

from typing import Any

import pytest

from pyrunc.host import Host
from pyrunc.kernel import last_stage as last
from pyrunc.steps import init

from .planned import config, done, facts, plan, story
from .test_process import queued

HOOKS = {"startContainer": [{"path": "/bin/hook"}]}
LITTLE = {"resources": {"memory": {"limit": 4 << 20}}}
REFUSING = {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
    {"names": ["execve"], "action": "SCMP_ACT_ALLOW"}]}}


def test_waiting_for_start() -> None:
    assert story(plan(init.wait_start, config())) == [("init.wait_start", "", "wait for start")]
    assert done(init.wait_start, config()) == [queued(last.OP_WAIT_START, facts().fifo_fd)]


# runtime.md#kill: "Attempting to send a signal to a container that is neither `created` nor `running` MUST have no
# effect on the container and MUST generate an error." So a created one takes it.
def test_signals_end_it() -> None:
    assert done(init.signals, config()) == [queued(last.OP_SIGNALS)]


@pytest.mark.parametrize("uid, options, dumpable", [
    (0, {}, False), (1000, {}, True), (1000, {"joins": True}, False)])
def test_a_users_exec_can_open_its_namespaces(uid: int, options: dict[str, Any], dumpable: bool) -> None:
    assert done(init.dumpable, config(), host=Host(euid=uid), **options) == [queued(last.OP_DUMPABLE)] * dumpable


@pytest.mark.parametrize("parts, door, hooks, text", [
    ({}, 0, 0, "unmap the host's libraries"),
    ({"hooks": HOOKS}, 0, 1, "unmap the host's libraries, but for a copy of the C library"),
    ({"linux": REFUSING}, 1, 0, "unmap the host's libraries, through an exception in the filter"),
    ({"linux": LITTLE}, 0, 0, "unmap the host's libraries")])
def test_it_lets_go_of_the_hosts_files(parts: dict[str, Any], door: int, hooks: int, text: str) -> None:
    wanted = config(**parts)
    assert story(plan(init.let_go, wanted)) == [("init.let_go", "", text)]
    assert done(init.let_go, wanted) == [("last", last.OP_LET_GO, 0, door, hooks, b"")]


def test_a_copy_of_the_library_does_not_go_into_little_memory() -> None:
    assert plan(init.let_go, config(hooks=HOOKS, linux=LITTLE)) == []
