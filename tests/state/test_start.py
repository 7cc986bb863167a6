"""start: the handshake at the fifo, who may, and what a failure leaves."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.run import Interrupted
from pyrunc.errors import StateError, StepError
from pyrunc.kernel import posix
from pyrunc.kernel.page import TEXT
from pyrunc.runtime import start
from pyrunc.state import store
from pyrunc.state.container import Container

from .made import World
from .test_destroy import hook


def begin(made: World, id: str) -> None:
    start.start(str(made.root), id)


def test_the_init_is_let_go(made: World) -> None:
    directory = made.created("c")
    begin(made, "c")
    assert Container.load(str(made.root), "c").status() == "running"
    assert not (directory / store.FIFO).exists()


# runtime.md#start: "Attempting to `start` a container that is not `created` MUST have no effect on the container and
# MUST generate an error."
def test_only_a_created_one(made: World, tmp_path: Path) -> None:
    (tmp_path / "cgroup.events").write_text("frozen 1\n")
    made.stopped("stopped")
    made.running("running")
    made.running("paused", cgroup=str(tmp_path))
    made.intent("creating", creator=made.sleeper())
    for id, words in (("stopped", "cannot start a container that has stopped"),
                      ("running", "cannot start an already running container"),
                      ("paused", "cannot start a container in the paused state"),
                      ("creating", "cannot start a container in the creating state"),
                      ("none", "container does not exist: none in .*")):
        with pytest.raises(StateError, match=f"^{words}$"):
            begin(made, id)
    assert [process.poll() for process in made.processes] == [None] * 3


# runtime.md#start: "This operation MUST generate an error if `process` was not set."
def test_without_a_process(made: World) -> None:
    made.created("c", process=False)
    with pytest.raises(StateError, match=r"process is not set in config.json"):
        begin(made, "c")
    assert Container.load(str(made.root), "c").status() == "created"


def test_an_init_that_was_killed_at_the_fifo(made: World) -> None:
    made.created("c", phase=2, stay=0)
    with pytest.raises(StateError, match="was killed before it could exec the configured program"):
        begin(made, "c")


@pytest.mark.parametrize("before", ["open", "write", "wait_unread"])
def test_an_init_that_is_killed_while_start_is_at_work(before: str, made: World,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """delete --force does not wait for start: nobody has the fifo open any more, or nobody reads what is written."""
    class PosixKernel(posix.PosixKernel):
        def open(self, path: str, *args: Any, **kwargs: Any) -> int:
            if before == "open" and path.endswith(store.FIFO):
                end()
            return super().open(path, *args, **kwargs)

        def write(self, fd: int, data: bytes) -> None:
            if before == "write":
                end()
            super().write(fd, data)

        def wait_unread(self, fd: int, signals: Sequence[int]) -> int:
            if before == "wait_unread":
                end()
            return super().wait_unread(fd, signals)

    def end() -> None:
        made.processes[-1].kill()
        made.processes[-1].wait()

    made.created("c", phase=2)
    monkeypatch.setattr(start, "PosixKernel", PosixKernel)
    with pytest.raises(StateError, match="was killed before it could exec the configured program"):
        begin(made, "c")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_init_s_last_words(index: int, made: World) -> None:
    """The step is the one of the plan that the container was created by, whatever was put into it (--break)."""
    directory = made.created("c", phase=5, stay=0)
    steps = [["barrier#7", "parent", "", "", "wait"], ["stop.here:process.exec", "parent", "", "process.args", "stop"],
             ["process.exec", "last", "config.md#process", "process.args", "execute /app"]]
    steps.insert(index, steps.pop())
    (directory / store.PLAN).write_text(json.dumps({"version": 1, "command": "create", "steps": steps}))
    page = bytearray(4096)
    page[16:20] = index.to_bytes(4, sys.byteorder)
    page[24:28] = (2).to_bytes(4, sys.byteorder)
    words = b'exec: "/app"\0its interpreter /lib/ld.so is missing\0'
    page[TEXT:TEXT + len(words)] = words
    (directory / store.JOURNAL).write_bytes(page)
    with pytest.raises(StepError) as failed:
        begin(made, "c")
    assert str(failed.value) == (
        'exec: "/app": no such file or directory: at process.args in config.json: step process.exec '
        "(config.md#process); hint: its interpreter /lib/ld.so is missing")
    assert failed.value.id == "process.exec"
    assert (directory / store.STATE).exists()            # stopped, for the engine to delete


@pytest.mark.parametrize("phase", [2, 5])
def test_it_is_stopped_when_start_tells_why(phase: int, made: World) -> None:
    """An init lets go of the fifo a moment before it has ended."""
    made.created("c", phase=phase, stay=0.4)
    with pytest.raises((StateError, StepError)):
        begin(made, "c")
    assert Container.load(str(made.root), "c").status() == "stopped"


@pytest.mark.parametrize("plan", ["", "{}", "[]", '{"steps": []}', '{"steps": [[1, 2, 3, 4, 5]]}',
                                  '{"steps": ["abcde"]}'])
def test_a_damaged_plan(plan: str, made: World) -> None:
    directory = made.created("c", phase=5, stay=0)
    (directory / store.PLAN).write_text(plan)
    with pytest.raises((StateError, StepError)):
        begin(made, "c")


def test_a_signal_just_before_the_wait(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A startContainer hook may hang: the wait ends for signals that came before it, too."""
    class PosixKernel(posix.PosixKernel):
        def write(self, fd: int, data: bytes) -> None:
            os.kill(os.getpid(), signal.SIGTERM)        # and the init gets nothing: it stays at the fifo

    made.created("c")
    monkeypatch.setattr(start, "PosixKernel", PosixKernel)
    with pytest.raises(Interrupted, match="interrupted by signal 15"):
        begin(made, "c")
    assert Container.load(str(made.root), "c").status() == "created"


def test_of_two_starts_one_wins(made: World) -> None:
    made.created("c")
    command = [sys.executable, "-m", "pyrunc", "--root", str(made.root), "start", "c"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1]
    assert "cannot start an already running container" in "".join(told)


# config.md#poststart: "The `poststart` hooks MUST be called after the user-specified process is executed but before the
# `start` operation returns."
def test_poststart_hooks(made: World, tmp_path: Path) -> None:
    # A hook may ask pyrunc about the container: no lock is held for it.
    ask = f"{sys.executable} -I -c 'import sys; sys.path.insert(0, \"{os.getcwd()}\"); " \
          f"from pyrunc.cli.main import main; main(sys.argv[1:])' --root {made.root}"
    hooks = [hook(tmp_path / "one", f"cat > {tmp_path}/told", f"{ask} state c > {tmp_path}/asked",
                  f"{ask} kill c 0 && touch {tmp_path}/killed")]
    made.created("c", hooks={"poststart": hooks})
    begin(made, "c")
    state = json.loads((tmp_path / "told").read_text())
    assert state["status"] == json.loads((tmp_path / "asked").read_text())["status"] == "running"
    assert state["pid"] == made.processes[0].pid
    assert (tmp_path / "killed").exists()


# runtime.md#lifecycle: "If any `poststart` hook fails, the runtime MUST generate an error, stop the container, and
# continue the lifecycle at step 12." (it is destroyed, and its poststop hooks run)
def test_a_failing_poststart_hook_ends_the_container(made: World, tmp_path: Path) -> None:
    hooks = {"poststart": [hook(tmp_path / "fails", "echo no network; exit 1"),
                           hook(tmp_path / "two", f"touch {tmp_path}/2")],
             "poststop": [hook(tmp_path / "cleans", f"touch {tmp_path}/cleaned")]}
    made.created("c", hooks=hooks)
    with pytest.raises(StepError, match=r"error running poststart hook #0: .*/fails: exit status 1, stdout: no net"
                                        r"work: at hooks.poststart\[0\]"):
        begin(made, "c")
    assert made.processes[0].wait() == -9
    assert (tmp_path / "cleaned").exists() and not (tmp_path / "2").exists()
    assert list(made.root.iterdir()) == []
