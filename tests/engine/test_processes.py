"""The engine with two real processes: barriers, the last stage, and what the parent learns of a child's end."""
from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from pyrunc.engine.facts import Facts
from pyrunc.engine.run import Engine
from pyrunc.engine.step import CHILD, LAST, PARENT, Barrier, Step
from pyrunc.errors import StepError
from pyrunc.kernel.last_stage import OP_EXEC, OP_FIND_EXECUTABLE, OP_UMASK, pack_exec
from pyrunc.kernel.linux import Kernel
from pyrunc.steps.namespaces import Clone
from pyrunc.steps.state import Journal


class Do(Step):
    """Calls a function: what it does is the test's."""
    name = "test.do"
    spec = "runtime.md#create"
    act: object

    def describe(self) -> str:
        return "do as the test says"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        assert callable(self.act)
        self.act(kernel, facts)


class Program(Step):
    """Executes a program in the last stage."""
    name = "test.program"
    spec = "config.md#process"
    side = LAST
    args: list[str]

    def describe(self) -> str:
        return f"execute {self.args[0]}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_FIND_EXECUTABLE, data=f"{self.args[0]}\0/usr/bin:/bin\0".encode())
        kernel.last(OP_EXEC, data=pack_exec(self.args, ["A=1"]))


def engine(tmp_path: Path, *steps: Step, cloning: type[Clone] = Clone) -> Engine:
    facts = Facts()
    facts.state_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    return Engine([Journal(), cloning(flags=0, into_cgroup=False, kinds=""), *steps], Kernel(), facts)


def ended(run: Engine) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(run.facts.pid, 0)[1])


def test_both_sides_run_their_steps_and_the_last_stage_executes(tmp_path: Path) -> None:
    order = tmp_path / "order"

    def note(text: str) -> Do:
        def write(kernel: Kernel, facts: Facts) -> None:
            with order.open("a") as file:
                file.write(text)
        return Do(act=write, side=PARENT if text.isupper() else CHILD)

    run = engine(tmp_path, note("A"), Barrier(label="go", waits=CHILD), note("b"), Barrier(label="told", waits=PARENT),
                 note("C"), Barrier(label="go on", waits=CHILD), note("d"),
                 Barrier(label="parting", waits=PARENT, parting=True, by_exec=False),
                 Program(args=["sh", "-c", f"printf e$A >>{order}; exit 7"]))
    run.run()
    assert ended(run) == 7
    assert order.read_text() == "AbCde1"
    assert all(run.facts.page.times[i].end for i in (4, 8))


def test_the_last_stage_may_begin_with_a_barrier(tmp_path: Path) -> None:
    order = tmp_path / "order"

    def look(kernel: Kernel, facts: Facts) -> None:
        assert facts.page.phase == 2                # PHASE_LAST: it is C that waits
        order.write_text("A")

    run = engine(tmp_path, Barrier(label="C is there", waits=PARENT, in_last=True), Do(act=look),
                 Barrier(label="go", waits=CHILD, in_last=True), Program(args=["sh", "-c", f"printf b >>{order}"]),
                 Barrier(label="runs", waits=PARENT, parting=True, by_exec=True))
    run.run()
    assert ended(run) == 0
    assert order.read_text() == "Ab"


def test_by_exec_the_parent_returns_only_when_the_program_runs(tmp_path: Path) -> None:
    run = engine(tmp_path, Program(args=["sh", "-c", "exit 3"]),
                 Barrier(label="runs", waits=PARENT, parting=True, by_exec=True))
    run.run()
    assert ended(run) == 3


def test_the_childs_error_is_told_with_its_step(tmp_path: Path) -> None:
    def fail(kernel: Kernel, facts: Facts) -> None:
        raise OSError(errno.ENOTDIR, "not a directory", "/some/where")

    run = engine(tmp_path, Do(act=fail, side=CHILD, where="mounts[2]"), Barrier(label="told", waits=PARENT))
    with pytest.raises(StepError) as caught:
        run.run()
    assert str(caught.value) == ("do as the test says (/some/where): not a directory: at mounts[2] in config.json: "
                                 "step test.do (runtime.md#create)")
    with pytest.raises(ChildProcessError):
        os.waitpid(run.facts.pid, os.WNOHANG)       # undone: killed and reaped


def test_any_exception_of_the_child_is_one_line(tmp_path: Path) -> None:
    def broken(kernel: Kernel, facts: Facts) -> None:
        raise ZeroDivisionError("two\nlines")

    run = engine(tmp_path, Do(act=broken, side=CHILD), Barrier(label="told", waits=PARENT))
    with pytest.raises(StepError) as caught:
        run.run()
    assert str(caught.value) == ("do as the test says: ZeroDivisionError: two lines: step test.do (runtime.md#create)")


def test_a_child_that_fails_right_after_the_clone_leaves_the_undo_to_the_runtime(tmp_path: Path) -> None:
    class Failing(Clone):
        def apply(self, kernel: Kernel, facts: Facts) -> None:
            super().apply(kernel, facts)
            if not facts.pid:
                raise OSError(errno.ENOMEM, "", "as the test says")

        def undo(self, kernel: Kernel, facts: Facts) -> None:
            with (tmp_path / "undone").open("a") as file:
                file.write(f"{os.getpid()}\n")
            super().undo(kernel, facts)

    with pytest.raises(StepError, match=r"^clone the container's init \(as the test says\): cannot allocate memory: "):
        engine(tmp_path, Barrier(label="told", waits=PARENT), cloning=Failing).run()
    assert (tmp_path / "undone").read_text() == f"{os.getpid()}\n"


def test_a_killed_child_is_told_with_the_step_it_was_in(tmp_path: Path) -> None:
    def die(kernel: Kernel, facts: Facts) -> None:
        os.kill(os.getpid(), 9)

    run = engine(tmp_path, Do(act=die, side=CHILD), Barrier(label="told", waits=PARENT))
    with pytest.raises(StepError, match=r'^killed by signal 9 in the step "do as the test says": step test.do'):
        run.run()


def test_an_error_of_the_last_stage_is_told(tmp_path: Path) -> None:
    run = engine(tmp_path, Program(args=["no-such-program"]),
                 Barrier(label="runs", waits=PARENT, parting=True, by_exec=True))
    with pytest.raises(StepError, match=r'exec: "no-such-program": executable file not found in \$PATH'):
        run.run()


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    """A creator that is killed takes its init with it: PR_SET_PDEATHSIG, or the closed socket at a barrier."""
    middle = os.fork()
    if not middle:
        def die(kernel: Kernel, facts: Facts) -> None:
            (tmp_path / "pid").write_text(str(facts.pid))
            os.kill(os.getpid(), 9)

        engine(tmp_path, Do(act=die), Barrier(label="go", waits=CHILD), Program(args=["sleep", "1000"])).run()
        os._exit(0)
    assert os.waitpid(middle, 0)[1] == 9
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.01)
    raise AssertionError("the child outlives its creator")


@pytest.mark.parametrize("adopted", [True, False])
def test_a_process_that_was_to_be_adopted_ends_with_its_maker(adopted: bool, tmp_path: Path) -> None:
    """Only what the page has as a process is one: the listener's descriptor may have the same number."""
    other = os.fork()
    if not other:
        time.sleep(600)
        os._exit(0)

    def fail(kernel: Kernel, facts: Facts) -> None:
        if adopted:
            facts.page.child_pid = other
        facts.page.listener_fd = other
        raise OSError(errno.EIO, "as the test says")

    with pytest.raises(StepError):
        engine(tmp_path, Do(act=fail)).run()
    if adopted:
        with pytest.raises(ChildProcessError):
            os.waitpid(other, 0)
    else:
        assert os.waitpid(other, os.WNOHANG) == (0, 0)
        os.kill(other, 9)
        os.waitpid(other, 0)


class Umask(Step):
    name = "test.umask"
    side = LAST

    def describe(self) -> str:
        return "umask"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_UMASK, 0o77)


def test_last_stage_steps_are_timed_by_c(tmp_path: Path) -> None:
    run = engine(tmp_path, Umask(), Program(args=["sh", "-c", "test $(umask) = 0077"]),
                 Barrier(label="runs", waits=PARENT, parting=True, by_exec=True))
    run.run()
    assert ended(run) == 0
    assert run.facts.page.times[2].end >= run.facts.page.times[2].start > 0


def test_a_child_that_fails_before_it_has_sent_what_a_step_waits_for(tmp_path: Path) -> None:
    """Its cause is told, not that nothing came (binds.borrow)."""
    def fail(kernel: Kernel, facts: Facts) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/the/child")

    def receive(kernel: Kernel, facts: Facts) -> None:
        kernel.receive_on(facts.sync_fd)
    run = engine(tmp_path, Barrier(label="told", waits=PARENT), Do(act=fail, side=CHILD), Do(act=receive, side=PARENT),
                 Program(args=["true"]))
    with pytest.raises(StepError, match=r"/the/child.*too many open files"):
        run.run()
