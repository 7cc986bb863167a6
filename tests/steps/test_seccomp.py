"""The steps of the filter on the Recorder. The program: tests/seccomp; from inside: tests/container/test_seccomp.py."""
from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.step import CHILD, PARENT, Barrier
from pyrunc.host import Host
from pyrunc.kernel.last_stage import OP_SECCOMP
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import PID
from pyrunc.seccomp import cache
from pyrunc.steps import seccomp

from .planned import applied, config, facts, plan, story

RULE = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
PROFILE: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [RULE]}
ASKING: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "listenerMetadata": "words",
                          "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}


def filtered(profile: dict[str, Any], nnp: bool = True) -> dict[str, Any]:
    return config(process={"noNewPrivileges": nnp}, linux={"seccomp": profile})


def test_compiled_once_and_found_again_afterwards() -> None:
    [step] = plan(seccomp.compile, filtered(PROFILE))
    assert story([step]) == [("seccomp.compile", "linux.seccomp",
                              "compile the system call filter: SCMP_ACT_ALLOW, rules for 2 calls")]
    empty: dict[str, int | None] = {f"/state/{cache.DIRECTORY}/{number}": None for number in range(cache.SLOTS)}
    kernel, known = Recorder(modes=empty), facts()
    calls = applied(step, kernel, known)
    assert len(known.seccomp) % 8 == 0 and known.seccomp
    written = calls[-1]
    assert written[0] == "write_new" and written[2].endswith(known.seccomp) and written[3] == 0o600
    assert ("mkdir", f"/state/{cache.DIRECTORY}", 0o700, -100) in calls


def test_a_hit_compiles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyrunc.kernel.posix import PosixKernel
    entry = cache.Entry(PosixKernel(), str(tmp_path), PROFILE)  # type: ignore[arg-type]
    entry.keep(b"12345678")
    [step] = plan(seccomp.compile, filtered(PROFILE), root=str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "pyrunc.seccomp.compile", None)      # an import would fail
    known = facts()
    step.apply(PosixKernel(), known)  # type: ignore[arg-type]
    assert known.seccomp == b"12345678"


def test_nothing_without_a_profile() -> None:
    for planner in (seccomp.compile, seccomp.load_early, seccomp.load_late):
        assert plan(planner, config()) == plan(planner, config(process=None)) == []


# seccomp(2): "the calling thread must either have CAP_SYS_ADMIN …, or the thread must already have the no_new_privs bit
# set."
@pytest.mark.parametrize("nnp", [True, False])
def test_early_or_late(nnp: bool) -> None:
    late, early = plan(seccomp.load_late, filtered(PROFILE, nnp)), plan(seccomp.load_early, filtered(PROFILE, nnp))
    assert ([step.name for step in late], [step.name for step in early]) == (
        (["seccomp.load"], []) if nnp else ([], ["seccomp.load"]))


@pytest.mark.parametrize("flags, number, text", [
    (None, 4, " (SPEC_ALLOW)"), ([], 0, ""), (["LOG", "TSYNC"], 2, " (LOG)"),
    (["SPEC_ALLOW", "LOG"], 6, " (LOG, SPEC_ALLOW)"), (["WAIT_KILLABLE_RECV"], 0, "")])
def test_flags(flags: list[str] | None, number: int, text: str) -> None:
    profile = PROFILE if flags is None else {**PROFILE, "flags": [f"SECCOMP_FILTER_FLAG_{flag}" for flag in flags]}
    [step] = plan(seccomp.load_late, filtered(profile))
    assert step.describe() == f"load the system call filter{text}"
    known = facts()
    known.seccomp = b"12345678"
    assert applied(step, known=known) == [("last", OP_SECCOMP, number, 0, 0, b"12345678")]


# config-linux.md#seccomp: "listenerPath … specifies the path of UNIX domain socket over which the runtime will send the
# container process state data structure when the SCMP_ACT_NOTIFY action is used." "listenerMetadata … will be sent as
# the metadata field". config-linux.md#the-container-process-state: "pid (int, REQUIRED) is the container process ID, as
# seen by the runtime." "fds (array, OPTIONAL) is a string array containing the names of the file descriptors passed."
@pytest.mark.parametrize("nnp", [True, False])
def test_listener_goes_to_the_agent_while_the_init_waits(nnp: bool) -> None:
    load, there, notify, has = plan(seccomp.load_late if nnp else seccomp.load_early, filtered(ASKING, nnp))
    assert load.describe() == "load the system call filter (SPEC_ALLOW, NEW_LISTENER)"
    assert applied(load)[0][:4] == ("last", OP_SECCOMP, 4, 1)
    assert isinstance(there, Barrier) and isinstance(has, Barrier) and (there.waits, has.waits) == (PARENT, CHILD)
    assert story([notify]) == [
        ("seccomp.notify", "linux.seccomp.listenerPath", "send the filter's listener to /run/agent")]
    known, kernel = facts(), Recorder()
    known.page = type("page", (), {"listener_fd": 6})
    get, send = applied(notify, kernel, known)
    assert get == ("pidfd_getfd", known.pidfd, 6) and kernel.fds == {}
    assert send[0:2] == ("send_fd", "/run/agent") and send[3] == 100
    assert json.loads(send[2]) == {
        "ociVersion": "1.3.0", "fds": ["seccompFd"], "pid": PID, "metadata": "words",
        "state": {"ociVersion": "1.3.0", "id": "c1", "status": "creating", "bundle": "/bundle", "pid": PID}}


def test_of_exec_the_agent_is_told_both_processes() -> None:
    _, _, notify, _ = plan(seccomp.load_late, filtered(ASKING), joins=True, init_pid=77)
    known = facts()
    known.page = type("page", (), {"listener_fd": 6})
    told = json.loads(applied(notify, known=known)[1][2])
    assert (told["pid"], told["state"]["pid"], told["state"]["status"]) == (PID, 77, "running")


def test_a_runtime_that_may_not_take_the_listener_is_sent_it() -> None:
    """pidfd_getfd(2) wants the right to trace a process that is not dumpable."""
    load, notify, there, has = plan(seccomp.load_late, filtered(ASKING), host=Host(euid=1000))
    assert applied(load)[0][:5] == ("last", OP_SECCOMP, 4, 2, facts().sync_fd)
    assert isinstance(there, Barrier) and isinstance(has, Barrier)
    receive, send = applied(notify)
    assert receive == ("receive_on", facts().sync_fd) and send[:2] == ("send_fd", "/run/agent") and send[3] == 100


def test_an_init_that_died_instead_is_the_barriers_affair() -> None:
    _, notify, _, _ = plan(seccomp.load_late, filtered(ASKING), host=Host(euid=1000))
    assert applied(notify, Recorder(errors={"receive_on": [errno.EPIPE]})) == [("receive_on", facts().sync_fd)]


# config-linux.md#seccomp: "If sending to this socket fails, the runtime MUST generate an error."
def test_an_agent_that_is_not_there_is_an_error_and_the_descriptor_is_closed() -> None:
    _, _, notify, _ = plan(seccomp.load_late, filtered(ASKING))
    known, kernel = facts(), Recorder(errors={"send_fd": [111]})
    known.page = type("page", (), {"listener_fd": 6})
    with pytest.raises(ConnectionRefusedError):
        notify.apply(kernel, known)
    assert kernel.fds == {}


# config-linux.md#seccomp: "If the SCMP_ACT_NOTIFY action is not used this value is ignored."
def test_a_listener_path_that_nobody_needs() -> None:
    steps = plan(seccomp.load_late, filtered({**PROFILE, "listenerPath": "/run/agent"}))
    assert [step.describe() for step in steps] == ["load the system call filter (SPEC_ALLOW)"]
