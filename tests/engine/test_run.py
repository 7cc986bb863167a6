"""The engine's own promises: order, barriers, undo backwards, one error that is never replaced."""
from __future__ import annotations

import errno
import signal
import threading

import pytest

from pyrunc.engine.facts import Facts
from pyrunc.engine.run import Engine, Interrupted, execute
from pyrunc.engine.step import CHILD, LAST, Plan, Step
from pyrunc.errors import ConfigError, Refused, StepError
from pyrunc.kernel import stopping
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder

done: list[str] = []


class Note(Step):
    """A parent step that leaves a mark, and takes it back."""
    name = "note.down"
    spec = "runtime.md#create"
    text: str
    fault: OSError | None = None
    undo_fault: Exception | None = None

    def describe(self) -> str:
        return f"note {self.text}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if self.fault:
            raise self.fault
        done.append(self.text)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        done.append(f"undo {self.text}")
        if self.undo_fault:
            raise self.undo_fault


@pytest.fixture(autouse=True)
def clean() -> None:
    done.clear()


def test_parent_steps_run_in_order() -> None:
    Engine([Note(text="a"), Note(text="b")], Recorder()).run()
    assert done == ["a", "b"]


def test_steps_of_the_child_are_not_the_parents() -> None:
    Engine([Note(text="a"), Note(text="c", side=CHILD), Note(text="l", side=LAST)], Recorder()).run()
    assert done == ["a"]


# The undo is our own promise: nothing is left behind by a create that failed.
def test_a_failing_step_is_undone_with_all_before_it() -> None:
    broken = Note(text="b", where="mounts[3]", fault=OSError(errno.ENOSPC, "x", "the file"))
    engine = Engine([Note(text="a"), broken, Note(text="never")], Recorder())
    with pytest.raises(StepError) as caught:
        engine.run()
    assert done == ["a", "undo b", "undo a"]
    assert str(caught.value) == ("note b (the file): no space left on device: at mounts[3] in config.json: "
                                 "step note.down (runtime.md#create)")


def test_a_failing_undo_never_replaces_the_cause() -> None:
    steps = [Note(text="a", undo_fault=OSError(errno.EBUSY, "busy", "cg")),
             Note(text="b", fault=OSError(errno.EIO, ""))]
    engine = Engine(steps, Recorder())
    with pytest.raises(StepError, match="input/output error"):
        engine.run()
    assert engine.warnings == ["undo of note.down: device or resource busy: cg"]


@pytest.mark.parametrize("trouble", [MemoryError(), ConfigError("another's", ""), ValueError("what it never was")])
def test_whatever_goes_wrong_in_an_undo_the_others_are_undone(trouble: Exception) -> None:
    steps = [Note(text="a"), Note(text="b", undo_fault=trouble), Note(text="c", fault=OSError(errno.EIO, ""))]
    engine = Engine(steps, Recorder())
    with pytest.raises(StepError, match="input/output error"):
        engine.run()
    assert done == ["a", "b", "undo c", "undo b", "undo a"]
    assert len(engine.warnings) == 1


def test_config_errors_pass_through() -> None:
    class Picky(Note):
        def apply(self, kernel: Kernel, facts: Facts) -> None:
            raise ConfigError("no such device", "linux.devices[0].path")

    with pytest.raises(ConfigError) as caught:
        Engine([Note(text="a"), Picky(text="b")], Recorder()).run()
    assert str(caught.value) == "no such device: at linux.devices[0].path in config.json"
    assert done == ["a", "undo b", "undo a"]


@pytest.mark.parametrize(("refused", "said"), [
    (Refused("criu failed: no"), "criu failed: no: at mounts[3] in config.json: step note.down (runtime.md#create)"),
    (Refused("systemd does not start it", 0, "x.scope"), "systemd does not start it (x.scope): at mounts[3]"),
    (Refused("the agent hung up", errno.EPIPE), "the agent hung up: broken pipe: at mounts[3] in config.json: step")])
def test_a_judgement_is_the_error_of_its_step(refused: Refused, said: str) -> None:
    class Judges(Note):
        def apply(self, kernel: Kernel, facts: Facts) -> None:
            raise refused

    with pytest.raises(StepError) as caught:
        Engine([Note(text="a"), Judges(text="b", where="mounts[3]")], Recorder()).run()
    assert str(caught.value).startswith(said) and caught.value.errno == refused.errno
    assert done == ["a", "undo b", "undo a"]


def test_a_signal_stops_between_two_steps_and_undoes() -> None:
    class Signalled(Note):
        def apply(self, kernel: Kernel, facts: Facts) -> None:
            engine.on_signal(15)

    engine = Engine([Note(text="a"), Signalled(text="b"), Note(text="never")], Recorder())
    with pytest.raises(Interrupted) as caught:
        engine.run()
    assert caught.value.number == 15
    assert done == ["a", "undo b", "undo a"]


def test_a_signal_before_the_first_step_leaves_nothing_to_undo() -> None:
    engine = Engine([Note(text="never")], Recorder())
    engine.on_signal(15)
    with pytest.raises(Interrupted):
        engine.run()
    assert done == []


def test_a_plan_runs_in_any_thread_and_sets_no_handler() -> None:
    """Handlers are the business of whoever has the process to itself; such a one hands a signal on to the plan."""
    class Looks(Note):
        def apply(self, kernel: Kernel, facts: Facts) -> None:
            seen.append([signal.getsignal(number) for number in stopping.STOPPING])
            assert stopping.hand_on(15)

    seen: list[object] = []
    caught: list[BaseException] = []
    before = [signal.getsignal(number) for number in stopping.STOPPING]

    def run() -> None:
        try:
            execute(Plan("x", [Note(text="a"), Looks(text="b"), Note(text="never")]), Recorder())
        except Interrupted as fault:
            caught.append(fault)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert seen == [before] and done == ["a", "undo b", "undo a"]
    assert [str(fault) for fault in caught] == ["interrupted by signal 15"]
    assert not stopping.hand_on(15)
