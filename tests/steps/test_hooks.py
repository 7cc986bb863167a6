"""Hooks on the Recorder, and single ones for real. Their order and namespaces: tests/container/test_hooks.py."""
from __future__ import annotations

import json
import os
import signal
import struct
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.step import Step
from pyrunc.errors import Refused
from pyrunc.kernel import last_stage
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import PID
from pyrunc.steps import hooks

from .planned import applied, config, facts, plan, story

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststop")
STATE = {"ociVersion": "1.3.0", "id": "c1", "status": "creating", "bundle": "/bundle"}


def hook(kind: str = "createRuntime", **fields: Any) -> Step:
    """The one step of a hook."""
    planner = {"createContainer": hooks.create_container, "startContainer": hooks.start_container,
               "poststop": hooks.poststop_after_failure}.get(kind, hooks.create_runtime)
    [step] = [step for step in plan(planner, config(hooks={kind: [{"path": "/bin/x", **fields}]}))
              if step.name != "barrier"]
    return step


# config.md#posix-platform-hooks: "Hooks MUST be called in the listed order." config.md#prestart: "The prestart hooks
# MUST be called before the createRuntime hooks."
def test_order_between_barriers() -> None:
    wanted = config(hooks={"createRuntime": [{"path": "/c"}, {"path": "/d"}],
                           "prestart": [{"path": "/a"}, {"path": "/b"}],
                           "createContainer": [{"path": "/e", "timeout": 3}]})
    assert story(plan(hooks.create_runtime, wanted)) == [
        ("barrier", "", "the container's mounts are made"),
        ("hooks.prestart", "hooks.prestart[0]", "run /a"), ("hooks.prestart", "hooks.prestart[1]", "run /b"),
        ("hooks.create_runtime", "hooks.createRuntime[0]", "run /c"),
        ("hooks.create_runtime", "hooks.createRuntime[1]", "run /d"),
        ("barrier", "", "the hooks of the runtime have run")]
    [step] = plan(hooks.create_container, wanted)
    assert (step.name, step.side, step.describe()) == (
        "hooks.create_container", "child", "run /e, in the container's root directory, at most 3 s")


def test_no_hooks_no_barriers() -> None:
    for planner in (hooks.create_runtime, hooks.create_container, hooks.start_container, hooks.poststop_after_failure):
        assert plan(planner, config()) == plan(planner, config(hooks={kind: [] for kind in KINDS})) == []


# config.md#posix-platform-hooks: "The state of the container MUST be passed to hooks over stdin". runtime.md#state:
# "For hooks executed in the runtime namespace, it is the pid as seen by the runtime. For hooks executed in the
# container namespace, it is the pid as seen by the container."
@pytest.mark.parametrize("kind, status, pid, cwd",
                         [("prestart", "created", PID, -1), ("createRuntime", "creating", PID, -1),
                          ("createContainer", "creating", 1, 11)])
def test_call(kind: str, status: str, pid: int, cwd: int) -> None:
    call = applied(hook(kind, args=["x", "y"], env=["A=b"], timeout=7))[-1]
    state = json.loads(call[4])
    assert call == ("run_program", "/bin/x", ["x", "y"], ["A=b"], call[4], 7, cwd, (-1, -1))
    assert state == {**STATE, "status": status, "pid": pid}


def test_state_has_the_annotations() -> None:
    wanted = config(hooks={"prestart": [{"path": "/a"}]}, annotations={"k": "v"})
    _, step, _ = plan(hooks.create_runtime, wanted)
    assert json.loads(applied(step)[0][4])["annotations"] == {"k": "v"}


# CVE-2025-23266 and its kin: what is in an environment that nobody has asked for decides what a hook loads.
def test_environment_of_a_hook_without_one_is_neither_the_containers_nor_the_callers() -> None:
    [call] = applied(hook())
    assert call[2:4] == (["/bin/x"], ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",))
    [call] = applied(hook(env=[], args=[]))
    assert call[2:4] == (["/bin/x"], [])


def test_start_container_is_queued_with_the_environment_of_the_process() -> None:
    whole = config(process={"env": ["HOME=/h", "A=1"]}, hooks={"startContainer": [
        {"path": "/x", "timeout": 2}, {"path": "/y", "args": ["y", "z"], "env": []}]})
    first, second = plan(hooks.start_container, whole)
    assert story([first]) == [("hooks.start_container", "hooks.startContainer[0]", "run /x in the container")]
    for index, step, numbers, text in ((0, first, (2000, 1, 2), b"/x\0/x\0HOME=/h\0A=1\0"),
                                       (1, second, (0, 2, 0), b"/y\0y\0z\0")):
        _, call = applied(step)
        data = call[5]
        assert call[:5] == ("last", last_stage.OP_HOOK, index, -1, -1)
        assert struct.unpack("=III", data[:12]) == numbers and data[16:].startswith(text)
        assert json.loads(data[16 + len(text):]) == {**STATE, "status": "created", "pid": 1}


# crun.1: hooks' output is appended to the files that these annotations name.
def test_output_goes_to_the_files_of_the_annotations() -> None:
    wanted = config(hooks={kind: [{"path": "/bin/x"}] for kind in KINDS}, annotations={
        "run.oci.hooks.stdout": "/log/../out", "run.oci.hooks.stderr": "errors"})
    [step] = plan(hooks.output, wanted)
    assert story([step]) == [("hooks.output", "annotations",
                              "open files for the output of hooks: stdout to /out, stderr to /bundle/errors")]
    kernel, known = Recorder(), facts()
    step.apply(kernel, known)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY | os.O_NONBLOCK
    assert kernel.calls == [("open", "/out", flags, 0o600, -100), ("set_blocking", 100),
                            ("open", "/bundle/errors", flags, 0o600, -100), ("set_blocking", 101)]
    _, prestart, create_runtime, _ = plan(hooks.create_runtime, wanted)
    [create_container], [start_container] = plan(hooks.create_container, wanted), plan(hooks.start_container, wanted)
    for hook_step in (prestart, create_runtime, create_container):
        assert applied(hook_step, known=known)[-1][7] == (100, 101)
    assert applied(start_container, known=known)[-1][3:5] == (100, 101)
    kernel.calls.clear()
    plan(hooks.poststop_after_failure, wanted)[0].undo(kernel, known)
    assert kernel.calls[0][7] == (100, 101)


def test_output_of_one_stream_or_of_no_hooks() -> None:
    given = {"run.oci.hooks.stderr": "/e", "run.oci.hooks.stdout": ""}
    [step] = plan(hooks.output, config(hooks={"poststop": [{"path": "/x"}]}, annotations=given))
    assert step.describe() == "open files for the output of hooks: stderr to /e"
    known = facts()
    step.apply(Recorder(), known)
    assert known.hook_output == (-1, 100)
    assert plan(hooks.output, config(hooks={"poststop": []}, annotations=given)) == []
    assert plan(hooks.output, config(hooks={"poststop": [{"path": "/x"}]})) == []


def failure(step: Step, status: int, out: str = "", err: str = "") -> str:
    """What the engine would begin the error with."""
    with pytest.raises(Refused) as caught:
        step.apply(Recorder(programs={"/bin/x": (status, out, err)}), facts())
    assert caught.value.errno == 0
    return caught.value.what


# runtime.md#lifecycle: "If any createRuntime hook fails, the runtime MUST generate an error"
@pytest.mark.parametrize("status, out, err, text", [
    (3 << 8, "one\ntwo\n", "", "exit status 3, stdout: one two"),
    (3 << 8, "one\n", "two\nthree\n", "exit status 3, stdout: one, stderr: two three"),
    (3 << 8, "a\0b", "\0", r"exit status 3, stdout: a\x00b, stderr: \x00"),
    (signal.SIGSEGV, "", "", "killed by signal 11 (SIGSEGV)"),
    (signal.SIGSEGV | 0x80, "core\n", "", "killed by signal 11 (SIGSEGV), stdout: core"),
    (-2, "", "slow", "hook ran past specified timeout of 5.0s, stderr: slow")])
def test_failures_are_one_line(status: int, out: str, err: str, text: str) -> None:
    assert failure(hook(timeout=5), status, out, err) == f"error running createRuntime hook #0: /bin/x: {text}"


@pytest.mark.parametrize(("number", "name"), [
    (1, "signal 1 (SIGHUP)"), (9, "signal 9 (SIGKILL)"), (6, "signal 6 (SIGABRT)"), (17, "signal 17 (SIGCHLD)"),
    (29, "signal 29 (SIGIO)"), (31, "signal 31 (SIGSYS)"), (40, "signal 40")])
def test_signals_have_names(number: int, name: str) -> None:
    assert hooks.signal_name(number) == name


@pytest.mark.parametrize(("out", "err"), [(5000, 20), (20, 5000), (5000, 5000), (5000, 0), (0, 5000)])
@pytest.mark.parametrize("kind", ["createRuntime", "createContainer"])
def test_of_a_long_output_the_end_is_told(kind: str, out: int, err: int) -> None:
    """Of both streams; a hook of the init has the room of the page that it shares with the runtime."""
    told = failure(hook(kind), 1 << 8, "x" * out + " of out", "é" * err + " of err")
    assert told.endswith("é of err" if err else "of err")
    assert ("x of out, stderr: " if out else " of out, stderr: ") in told
    assert ("..." in told) == (max(out, 2 * err) > 1000)
    assert len(told.encode()) + len(f"hooks.{kind}[0]") < (2048 if kind == "createContainer" else 4130)
    assert len(told.encode()) > min(out + 2 * err, 1900)


def test_a_hook_that_cannot_be_run_names_its_place() -> None:
    step = hook("createContainer")
    with pytest.raises(FileNotFoundError) as caught:
        step.apply(Recorder(errors={"run_program": [2]}), facts())
    assert step.failure(caught.value) == "error running createContainer hook #0: /bin/x"


# runtime.md#lifecycle 12, 13: a create that fails ends with the poststop hooks; "If any poststop hook fails, the
# runtime MUST log a warning, but the remaining hooks and lifecycle continue as if the hook had succeeded."
def test_poststop_hooks_of_a_create_that_failed() -> None:
    [step] = plan(hooks.poststop_after_failure, config(hooks={"poststop": [{"path": "/bin/x"}, {"path": "/bin/y"}]}))
    assert step.describe() == "if create fails, run /bin/x, /bin/y at the end"
    kernel, known = Recorder(programs={"/bin/x": (1 << 8, "no", "net")}), facts()
    step.apply(kernel, known)
    assert kernel.calls == []
    step.undo(kernel, known)
    assert [call[1] for call in kernel.calls] == ["/bin/x", "/bin/y"]
    assert json.loads(kernel.calls[0][4]) == {**STATE, "status": "stopped"}
    assert known.warnings == ["error running poststop hook #0: /bin/x: exit status 1, stdout: no, stderr: net"]


def test_no_poststop_hooks_when_there_has_been_no_container() -> None:
    kernel, known = Recorder(), facts()
    known.pid = 0
    hook("poststop").undo(kernel, known)
    assert kernel.calls == []


# ---- for real ------------------------------------------------------------------------------------------------
def run(script: str, **fields: Any) -> None:
    hooks.run_one(Kernel(), {"path": "/bin/sh", "args": ["sh", "-c", script], **fields},  # type: ignore[typeddict-item]
                  "hooks.poststop[3]", {"id": "c1"})


def test_a_real_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the caller")
    run(f"cat >{tmp_path}/state; env >{tmp_path}/env; echo $0 $# >{tmp_path}/args")
    assert (tmp_path / "state").read_text() == '{"id":"c1"}'
    assert "SECRET" not in (tmp_path / "env").read_text()
    assert (tmp_path / "args").read_text() == "sh 0\n"


def test_a_real_failure() -> None:
    with pytest.raises(Refused) as caught:
        run("echo out; echo err >&2; exit 3")
    assert str(caught.value) == "error running poststop hook #3: /bin/sh: exit status 3, stdout: out, stderr: err"


def test_a_real_timeout() -> None:
    with pytest.raises(Refused, match=r"past specified timeout of 1\.0s"):
        run("exec sleep 30", timeout=1)


def test_a_timeout_longer_than_any_clock() -> None:
    run("true", timeout=2**31 - 1)


def test_a_hook_of_which_nothing_is_read_does_not_hang() -> None:
    """More state than a pipe holds, to a hook that does not read it."""
    hooks.run_one(Kernel(), {"path": "/bin/true"}, "hooks.poststop[0]", {"annotations": {"k": "v" * (1 << 20)}})


def test_descriptors_of_the_runtime_are_not_a_hooks() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    run(f"test ! -e /proc/self/fd/{writing}")
    os.close(reading)
    os.close(writing)
