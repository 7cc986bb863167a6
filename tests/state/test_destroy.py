"""delete: what it removes, in which state, and that it may be killed anywhere and run again."""
from __future__ import annotations

import json
import os
import posix
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.observer import LogLines
from pyrunc.engine.run import execute
from pyrunc.engine.step import Plan
from pyrunc.engine.trace import TraceFile
from pyrunc.errors import StateError, StepError
from pyrunc.kernel import posix as files
from pyrunc.log import Log
from pyrunc.runtime import delete as destroy
from pyrunc.state import store
from pyrunc.steps import state

from .made import DEAD, World

#: Whatever directory an earlier test has gone to.
TREE = Path(__file__).parents[2]


class Warnings(Log):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def warning(self, message: str) -> None:
        self.heard.append(message)


def delete(made: World, id: str, force: bool = False) -> list[str]:
    log = Warnings()
    destroy.delete(str(made.root), id, force, [LogLines(log)])
    return log.heard


def hook(path: Path, *lines: str) -> dict[str, Any]:
    path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)
    return {"path": str(path)}


def test_a_stopped_one_is_forgotten(made: World) -> None:
    made.stopped("c")
    assert delete(made, "c") == []
    assert list(made.root.iterdir()) == []


# runtime.md#delete: "Attempting to `delete` a container that is not `stopped` MUST have no effect on the container and
# MUST generate an error."
def test_a_running_one_is_left_alone(made: World) -> None:
    made.running("c")
    with pytest.raises(StateError, match=r"^cannot delete container c that is not stopped: running$"):
        delete(made, "c")
    assert (made.root / "c" / store.STATE).exists()
    assert made.processes[0].poll() is None


def test_force_kills_first(made: World) -> None:
    made.running("c")
    delete(made, "c", force=True)
    assert made.processes[0].wait() == -9
    assert list(made.root.iterdir()) == []


def test_a_created_one_is_killed_as_containerd_expects(made: World) -> None:
    made.created("c")
    delete(made, "c")
    assert made.processes[0].wait() == -9
    assert list(made.root.iterdir()) == []


def test_what_does_not_exist(made: World) -> None:
    with pytest.raises(StateError, match=r"^container does not exist: c in /"):
        delete(made, "c")
    assert delete(made, "c", force=True) == []


@pytest.mark.parametrize("force", [False, True])
def test_what_a_killed_create_left(made: World, force: bool) -> None:
    made.intent("intended")
    (made.root / "reserved").mkdir(mode=0o711)           # killed after mkdir
    (made.root / "locked").mkdir(mode=0o711)
    (made.root / "locked" / store.LOCK).touch()
    delete(made, "intended", force)
    delete(made, "reserved", force)
    delete(made, "locked", force)
    assert list(made.root.iterdir()) == []


def test_force_ends_a_create_that_is_at_work(made: World) -> None:
    directory = made.intent("c")
    creator = subprocess.Popen([sys.executable, "-c", f"""
import time
from pyrunc.state import store
lock = store.Lock({str(made.root)!r}, "c")
print("held", flush=True)
time.sleep(600)"""], stdout=subprocess.PIPE, text=True)
    made.processes.append(creator)
    assert creator.stdout is not None and creator.stdout.readline() == "held\n"
    (directory / store.INTENT).write_text(json.dumps(made.record("c", creator=made.of(creator))))
    with pytest.raises(StateError, match=r"^cannot delete container c that is not stopped: creating$"):
        delete(made, "c")
    assert creator.poll() is None
    delete(made, "c", force=True)
    assert creator.wait() == -9
    assert list(made.root.iterdir()) == []


def test_force_gets_rid_of_what_cannot_be_read(made: World) -> None:
    directory = made.stopped("c")
    (directory / store.STATE).write_text("{")
    with pytest.raises(Exception, match="line 1"):
        delete(made, "c")
    delete(made, "c", force=True)
    assert list(made.root.iterdir()) == []


# config.md#poststop: "The `poststop` hooks MUST be called after the container is deleted but before the `delete`
# operation returns."
# runtime.md#lifecycle: "If any `poststop` hook fails, the runtime MUST log a warning, but the remaining hooks and
# lifecycle continue as if the hook had succeeded."
def test_poststop_hooks(made: World, tmp_path: Path) -> None:
    hooks = [hook(tmp_path / "one", f"cat > {tmp_path}/told"), hook(tmp_path / "two", "echo oh; exit 3"),
             {"path": str(tmp_path / "none")}, hook(tmp_path / "four", f"touch {tmp_path}/ran")]
    made.running("c", hooks={"poststop": hooks}, annotations={"a": "b"})
    heard = delete(made, "c", force=True)
    assert json.loads((tmp_path / "told").read_text()) == {
        "ociVersion": "1.3.0", "id": "c", "status": "stopped", "bundle": "/bundle", "annotations": {"a": "b"}}
    assert (tmp_path / "ran").exists()
    assert len(heard) == 2
    assert heard[0] == f"error running poststop hook #1: {tmp_path}/two: exit status 3, stdout: oh"
    assert "no such file or directory" in heard[1]
    assert list(made.root.iterdir()) == []


def test_a_delete_killed_in_a_hook_goes_on_with_that_hook(made: World, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    hooks = [hook(tmp_path / "one", f"echo one >> {tmp_path}/ran"),
             hook(tmp_path / "two", f"echo two >> {tmp_path}/ran; test -e {gate} || kill -9 $PPID")]
    made.stopped("c", hooks={"poststop": hooks})
    command = [sys.executable, "-m", "pyrunc", "--root", str(made.root), "delete", "c"]
    assert subprocess.run(command).returncode == -9
    gate.touch()
    assert subprocess.run(command).returncode == 0
    assert (tmp_path / "ran").read_text().split() == ["one", "two", "two"]
    assert list(made.root.iterdir()) == []


@pytest.mark.parametrize("call", ["mkdir", "open", "lock"])
def test_a_delete_between_the_name_and_the_lock_of_create(call: str, made: World) -> None:
    """create says so, and leaves alone what has the name by then."""
    class Deleting(files.PosixKernel):
        def mkdir(self, path: str, mode: int, dirfd: int = files.AT_FDCWD) -> None:
            super().mkdir(path, mode, dirfd)
            self.deleted("mkdir")

        def open(self, path: str, flags: int, mode: int = 0, dirfd: int = files.AT_FDCWD) -> int:
            fd = super().open(path, flags, mode, dirfd)
            self.deleted("open")
            return fd

        def lock(self, fd: int) -> None:
            self.deleted("lock")
            super().lock(fd)

        def deleted(self, now: str) -> None:
            if now == call and (made.root / "c").exists():
                destroy.delete(str(made.root), "c", True, [LogLines(Warnings())])
                if call != "mkdir":                 # of two that have made the name the first to lock it goes on
                    (made.root / "c").mkdir()

    with pytest.raises(StateError, match=r"^container c was deleted while it was being created$"):
        execute(Plan("create", [state.Reserve(root=str(made.root), id="c")]), Deleting())
    assert (made.root / "c").exists() == (call != "mkdir")


def test_a_delete_between_the_lock_and_the_directory_of_another(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has removed the lock, so the second makes one, finds nothing else, and is faster."""
    unlink, came = posix.unlink, list[str]()

    def unlink_and_wait(path: str, *, dir_fd: int | None = None) -> None:
        unlink(path, dir_fd=dir_fd)
        if path == store.LOCK and not came:
            came.append(path)
            delete(made, "c", force=True)

    made.stopped("c")
    monkeypatch.setattr(posix, "unlink", unlink_and_wait)
    assert delete(made, "c") == []
    assert came and list(made.root.iterdir()) == []


def test_an_exec_whose_container_is_forgotten_meanwhile(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    """Between its look at the record and at the configuration; nothing waits for it."""
    directory = made.running("c")
    (directory / store.CONFIG).unlink()
    command = [sys.executable, "-m", "pyrunc", "--root", str(made.root), "exec", "c", "true"]
    assert subprocess.run(command).returncode == 255
    assert 'msg="exec failed: container does not exist: ' in capfd.readouterr().err


@pytest.mark.timeout(600)
def test_a_delete_killed_anywhere_can_be_run_again(made: World) -> None:
    """SIGKILL at a moment further and further in, until a delete gets through."""
    through = False
    for moment in range(200):
        made.created(f"c{moment}")
        command = [sys.executable, "-I", "-S", "-c",
                   f"import sys; sys.path.insert(0, {str(TREE)!r})\nfrom pyrunc.cli.main import main\n"
                   f"print('up', flush=True)\nmain(sys.argv[1:])", "--root", str(made.root), "delete", f"c{moment}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(0.0005 * moment * 1.02**moment)       # 5 s in the end
        except subprocess.TimeoutExpired:
            process.kill()
        through = process.wait() == 0
        process.stdout.close()
        delete(made, f"c{moment}", force=True)
        assert list(made.root.iterdir()) == [], moment
        made.reap()
        made.processes.clear()
        if through:
            break
    assert through


@pytest.mark.parametrize("done", range(6))
def test_a_remove_reads_as_stopped_until_it_is_gone_and_can_be_resumed(
        made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int) -> None:
    """With the intent alone it read as `creating`: another delete failed, and with force it killed the creator."""
    said = tmp_path / "said"
    directory = made.stopped("c", hooks={"poststop": [hook(tmp_path / "one", f"echo x >>{said}")]})
    unlink, left = files.PosixKernel.unlink, [done]

    def cut(kernel: files.PosixKernel, path: str, directory: int = files.AT_FDCWD) -> None:
        if left == [0]:
            raise InterruptedError
        left[0] -= 1
        unlink(kernel, path, directory)

    with monkeypatch.context() as patch:
        patch.setattr(files.PosixKernel, "unlink", cut)
        with pytest.raises(StepError):
            delete(made, "c")
    names = {path.name for path in directory.iterdir()}
    assert store.STATE in names or store.INTENT not in names
    delete(made, "c")
    assert list(made.root.iterdir()) == []
    assert said.read_text() == "x\n"


def test_two_at_once(made: World) -> None:
    for round in range(5):
        made.stopped(f"c{round}")
        command = [sys.executable, "-m", "pyrunc", "--root", str(made.root), "delete", f"c{round}"]
        both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        told = [process.communicate()[1] for process in both]
        assert sorted(process.returncode for process in both) in ([0, 0], [0, 1])
        assert all("does not exist" in text for text, process in zip(told, both) if process.returncode), told
        assert list(made.root.iterdir()) == []


def test_the_trace_names_each_step(made: World, tmp_path: Path) -> None:
    made.running("c", hooks={"poststop": [hook(tmp_path / "one")]})
    trace = tmp_path / "trace"
    destroy.delete(str(made.root), "c", True, [TraceFile(str(trace), "c")])
    steps = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [step["step"] for step in steps] == ["delete.kill", "hooks.poststop", "delete.forget"]
    assert steps[1]["where"] == "hooks.poststop[0]"
    assert {step["outcome"] for step in steps} == {"ok"}


def test_force_is_stopped_by_no_process_of_the_same_pid(made: World) -> None:
    sleeper = made.sleeper()
    made.running("c", {**sleeper, "start_time": sleeper["start_time"] - 1})
    made.intent("d", creator={**sleeper, "boot_id": "another"})
    delete(made, "c", force=True)
    delete(made, "d", force=True)
    assert made.processes[0].poll() is None
    assert os.listdir(made.root) == []
    assert DEAD["pid"] != sleeper["pid"]
