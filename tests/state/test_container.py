"""What a container is doing, told from its directory and the kernel."""
from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from pyrunc.errors import PyruncError, StateError, UsageError
from pyrunc.kernel import small_file
from pyrunc.state import process_id, store
from pyrunc.state.container import Container

from .made import DEAD, World


def status(made: World, id: str) -> str:
    return Container.load(str(made.root), id).status()


# runtime.md#state: "`creating`: the container is being created (step 2 in the lifecycle)"
def test_creating_while_the_creator_lives(made: World) -> None:
    made.intent("c", creator=made.sleeper())
    assert status(made, "c") == "creating"


def test_a_killed_create_leaves_a_stopped_container(made: World) -> None:
    made.intent("c", creator=DEAD)
    assert status(made, "c") == "stopped"


# runtime.md#state: "`created`: the runtime has finished the create operation ... and the container process has neither
# exited nor executed the user-specified program"
def test_created_while_the_init_reads_the_fifo(made: World) -> None:
    made.created("c")
    assert status(made, "c") == "created"


# runtime.md#state: "`running`: the container process has executed the user-specified program but has not exited"
def test_running_without_a_fifo_or_without_its_reader(made: World) -> None:
    directory = made.running("c")
    assert status(made, "c") == "running"
    os.mkfifo(directory / store.FIFO)        # left by a start that was killed before it removed the fifo
    assert status(made, "c") == "running"


# runtime.md#state: "`stopped`: the container process has exited"
def test_stopped_when_the_init_is_gone_a_zombie_or_somebody_else(made: World) -> None:
    made.stopped("gone")
    assert status(made, "gone") == "stopped"

    zombie = made.process("true")
    made.running("zombie", made.of(zombie))
    while process_id.parse_stat(small_file.read(f"/proc/{zombie.pid}/stat"))[0] != "Z":
        time.sleep(0.01)
    assert status(made, "zombie") == "stopped"

    sleeper = made.sleeper()
    made.running("recycled", {**sleeper, "start_time": sleeper["start_time"] - 1})
    assert status(made, "recycled") == "stopped"
    made.running("rebooted", {**sleeper, "boot_id": "another"})
    assert status(made, "rebooted") == "stopped"


def test_paused_when_its_cgroup_is_frozen(made: World, tmp_path: Path) -> None:
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    made.running("c", cgroup=str(tmp_path))
    assert status(made, "c") == "paused"
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    assert status(made, "c") == "running"
    made.running("gone", cgroup=str(tmp_path / "gone"))
    assert status(made, "gone") == "running"


# runtime.md#query-state: "Attempting to query a container that does not exist MUST generate an error."
def test_a_container_that_does_not_exist(made: World) -> None:
    with pytest.raises(StateError, match="container does not exist"):
        Container.load(str(made.root), "c")
    (made.root / "empty").mkdir()            # create has got no further than mkdir
    with pytest.raises(StateError, match="container does not exist"):
        Container.load(str(made.root), "empty")


@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "a b", "a\n", "ä", "\u0661", "a\0", "x" * 256])
def test_what_is_no_id(made: World, id: str) -> None:
    with pytest.raises(UsageError, match="container id cannot be empty" if not id else "invalid container ID format"):
        Container.load(str(made.root), id)


@pytest.mark.parametrize("id", ["a", "A-b_c+d.e", "-a", "...", "x" * 255])
def test_what_is_an_id(id: str) -> None:
    store.check_id(id)


def test_state_of_another_version_or_cut_off_is_refused(made: World) -> None:
    directory = made.stopped("c")
    (directory / store.STATE).write_text(json.dumps(made.record("c", version=2)))
    with pytest.raises(StateError, match=r"state.json has version 2, this pyrunc reads 1"):
        Container.load(str(made.root), "c")
    (directory / store.STATE).write_text('{"version": 1, ')
    with pytest.raises(PyruncError, match="line 1"):
        Container.load(str(made.root), "c")


def test_a_symlink_is_not_followed(made: World, tmp_path: Path) -> None:
    directory = made.stopped("c")
    (directory / store.STATE).rename(tmp_path / "elsewhere")
    (directory / store.STATE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="it is not a regular file"):
        Container.load(str(made.root), "c")


# runtime.md#kill: "This operation MUST send the specified signal to the container process."
def test_signal_reaches_the_init(made: World) -> None:
    made.running("c")
    Container.load(str(made.root), "c").signal(signal.SIGTERM)
    assert made.processes[0].wait() == -signal.SIGTERM


# runtime.md#kill: "Attempting to send a signal to a container that is neither created nor running MUST have no effect
# on the container and MUST generate an error."
def test_signal_does_not_reach_who_got_the_pid(made: World) -> None:
    sleeper = made.sleeper()
    made.running("recycled", {**sleeper, "start_time": sleeper["start_time"] - 1})
    made.intent("creating", creator=sleeper)
    for id in ("recycled", "creating"):
        with pytest.raises(StateError, match="container not running"):
            Container.load(str(made.root), id).signal(signal.SIGKILL)
    time.sleep(0.05)
    assert made.processes[0].poll() is None


def test_the_state_for_hooks(made: World) -> None:
    made.running("c", annotations={"k": "v"})
    container = Container.load(str(made.root), "c")
    assert container.oci_state("running") == {
        "ociVersion": "1.3.0", "id": "c", "status": "running", "pid": made.processes[0].pid, "bundle": "/bundle",
        "annotations": {"k": "v"}}
    assert "pid" not in container.oci_state("stopped")


def test_stat_of_a_process_whose_name_has_parentheses() -> None:
    text = "42 (a) (b) S 1 " + " ".join(str(field) for field in range(5, 53))
    assert process_id.parse_stat(text) == ("S", 22)
