"""The shim, called as containerd calls it: life, execs, streams, terminals, and what containerd hears, in order."""
from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrunc.shim import server
from pyrunc.shim.service import ROOT
from pyrunc.ttrpc import codes
from pyrunc.ttrpc.codes import RpcError
from pyrunc.ttrpc.messages import events as ev
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.metrics import Metrics
from pyrunc.ttrpc.messages.options import ProcessDetails
from pyrunc.ttrpc.messages.types import Mount
from pyrunc.ttrpc.messages.well_known import Any as AnyMessage
from tests import world
from tests.runtimes import reap

from .conftest import config_of, reader, refused
from .driver import RESOURCES, SECONDS, Events, Shim

Make = Callable[..., Shim]


# ---- life ---------------------------------------------------------------------------------------------------------
def test_a_whole_life_and_the_order_of_its_events(shim: Make, events: Events, name: str) -> None:
    one = shim("sh", "-c", "exit 7")
    pid = one.create()
    assert one.state().status == api.Status.CREATED and os.path.exists(f"/proc/{pid}")
    assert (one.bundle / "init.pid").read_text() == str(pid) and (one.bundle / "address").read_text() == one.address
    assert one.start() == pid
    assert one.wait() == 7 == one.wait()
    state = one.state()
    assert (state.status, state.exit_status, state.pid) == (api.Status.STOPPED, 7, pid)
    deleted = one.delete()
    assert (deleted.pid, deleted.exit_status) == (pid, 7) and deleted.exited_at.seconds > 1_700_000_000
    events.wait("delete")
    assert events.topics() == ["create", "start", "exit", "delete"]
    exit = events.taken[2][1]
    assert isinstance(exit, ev.TaskExit) and (exit.container_id, exit.id, exit.pid, exit.exit_status) == (
        name, name, pid, 7)
    shim_pid = one.pid
    one.shutdown()
    one.gone(shim_pid)
    assert not Path(one.address.removeprefix("unix://")).exists()


def test_a_container_that_ends_at_once_is_told_to_have_started_first(shim: Make, events: Events) -> None:
    one = shim("true")
    for number in range(10):
        one.create()
        one.start()
        assert one.wait() == 0
        one.delete()
        events.wait("delete", number + 1)
    assert events.topics() == ["create", "start", "exit", "delete"] * 10


def test_what_cannot_be_done_has_the_code_that_containerd_looks_for(shim: Make, name: str) -> None:
    one = shim()
    assert "not found" in refused(codes.NOT_FOUND, one.state)
    one.create()
    refused(codes.ALREADY_EXISTS, one.create)
    refused(codes.NOT_FOUND, lambda: one.start("e1"))
    one.start()
    refused(codes.FAILED_PRECONDITION, one.start)
    refused(codes.FAILED_PRECONDITION, one.delete)
    one.exec("e1", "sleep", "100")
    refused(codes.ALREADY_EXISTS, lambda: one.exec("e1", "true"))
    refused(codes.FAILED_PRECONDITION, lambda: one.kill(exec_id="e1"))
    refused(codes.INVALID_ARGUMENT, lambda: one.kill(signal=99))
    one.kill()
    assert one.wait() == 137
    assert "process already finished" in refused(codes.NOT_FOUND, one.kill)
    refused(codes.FAILED_PRECONDITION, lambda: one.start("e1"))
    one.delete()
    refused(codes.NOT_FOUND, one.delete)


def test_a_container_that_never_started_is_deleted(shim: Make, events: Events) -> None:
    one = shim()
    pid = one.create()
    assert one.delete().pid == pid
    end = time.monotonic() + SECONDS
    while os.path.exists(f"/proc/{pid}"):   # its cgroup is empty a moment before the kernel lets it be reaped
        assert time.monotonic() < end
        time.sleep(0.01)
    events.wait("delete")
    assert "start" not in events.topics()


def test_a_create_that_fails_leaves_nothing_and_says_why(shim: Make, place: Path, name: str) -> None:
    one = shim("sleep", "9", mounts=[{"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]}])
    text = refused(codes.UNKNOWN, one.create)
    assert "no such file or directory: at mounts[0].source in config.json: step binds.source" in text
    refused(codes.NOT_FOUND, one.state)
    assert not Path("/run/containerd/pyrunc/tests", name).exists()
    config = json.loads((one.bundle / "config.json").read_text())
    del config["mounts"]
    (one.bundle / "config.json").write_text(json.dumps(config))
    one.create()


def test_what_cannot_be_kept_harms_no_other_of_the_pod(shim: Make, place: Path, rootfs: Path, events: Events,
                                                       name: str) -> None:
    """As on a full disk: a small file beside the bundle cannot be written."""
    one, other = shim(), f"{name}-unkept"
    one.create()
    one.start()
    (place / other / "pyrunc-root").mkdir(parents=True)
    (place / other / "rootfs").mkdir()
    (place / other / "config.json").write_text(json.dumps(config_of(rootfs, other)))
    said = refused(codes.UNKNOWN, lambda: one.create(id=other))
    assert said == f"OCI runtime create failed: keep what was made: {place / other}/pyrunc-root: is a directory"
    refused(codes.NOT_FOUND, lambda: one.state(id=other))
    assert one.state().status == api.Status.RUNNING and other not in os.listdir(f"{ROOT}/tests")
    os.rmdir(place / other / "pyrunc-root")
    one.create(id=other)
    events.wait("create", 2)
    assert events.topics() == ["create", "start", "create"]
    one.delete(id=other)


def test_a_program_that_is_not_there(shim: Make) -> None:
    one = shim("no-such-program")
    text = ""
    try:
        one.create()
        text = refused(codes.UNKNOWN, one.start)
    except RpcError as failed:
        text = failed.message
    assert 'exec: "no-such-program": executable file not found in $PATH' in text


def test_the_roots_mounts_are_made_and_unmade(shim: Make, rootfs: Path, place: Path) -> None:
    one = shim("sh", "-c", "touch /written; exit 0")
    config = json.loads((one.bundle / "config.json").read_text())
    config["root"] = {"path": "rootfs"}
    (one.bundle / "config.json").write_text(json.dumps(config))
    one.create(rootfs=[Mount(type="bind", source=str(rootfs), options=["rbind", "rw"])])
    assert f" {one.bundle}/rootfs " in world.text("/proc/self/mountinfo")
    one.start()
    assert one.wait() == 0
    one.delete()
    assert str(one.bundle) not in world.text("/proc/self/mountinfo") and (rootfs / "written").exists()


def test_an_init_without_a_pid_namespace_takes_the_others_along(shim: Make, rootfs: Path, events: Events,
                                                                name: str) -> None:
    kinds = [{"type": kind} for kind in ("mount", "ipc", "uts", "network")]
    one = shim("sh", "-c", "sleep 1000 & echo $!; exit 3", linux={"namespaces": kinds})
    out = one.fifo("out")
    thread, got = reader(out)
    one.create(stdout=out)
    one.start()
    assert one.wait() == 3
    thread.join(SECONDS)
    end = time.monotonic() + SECONDS
    while os.path.exists(f"/proc/{int(got[0])}") and "zombie" not in Path(f"/proc/{int(got[0])}/status").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)


# ---- execs --------------------------------------------------------------------------------------------------------
def test_execs_and_their_events(shim: Make, events: Events, name: str) -> None:
    one = shim()
    init = one.create()
    one.start()
    out, err = one.fifo("out"), one.fifo("err")
    readers = [reader(out), reader(err)]
    one.exec("e1", "sh", "-c", "echo out; echo err >&2; exit 5", stdout=out, stderr=err)
    assert one.state("e1").status == api.Status.CREATED
    pid = one.start("e1")
    assert pid not in (0, init)
    assert one.wait("e1") == 5
    for thread, _ in readers:
        thread.join(SECONDS)
    assert [got[0] for _, got in readers] == [b"out\n", b"err\n"]
    assert one.delete("e1").exit_status == 5
    refused(codes.NOT_FOUND, lambda: one.state("e1"))
    events.wait("exit")
    assert events.topics() == ["create", "start", "exec-added", "exec-started", "exit"]
    exit = events.taken[-1][1]
    assert isinstance(exit, ev.TaskExit) and (exit.container_id, exit.id, exit.pid) == (name, "e1", pid)


def test_the_inits_exit_is_told_after_its_execs(shim: Make, events: Events, name: str) -> None:
    one = shim()
    one.create()
    one.start()
    for number in range(3):
        one.exec(f"e{number}", "sleep", "1000")
        one.start(f"e{number}")
    one.kill()
    assert one.wait() == 137
    events.wait("exit", 4)
    ids = [event.id for topic, event in events.taken if isinstance(event, ev.TaskExit)]
    assert ids[-1] == name and sorted(ids[:-1]) == ["e0", "e1", "e2"]


def test_an_exec_that_fails_to_start(shim: Make) -> None:
    one = shim()
    one.create()
    one.start()
    one.exec("e1", "nonesuch")
    assert "executable file not found in $PATH" in refused(codes.UNKNOWN, lambda: one.start("e1"))
    one.delete("e1")
    one.exec("e2", "sleep", "100")
    pid = one.start("e2")
    processes = one.call("Pids", api.PidsRequest(id=one.id)).processes
    assert {info.pid: info.info and ProcessDetails.decode(info.info.value).exec_id for info in processes} == {
        one.state().pid: None, pid: "e2"}
    one.kill(signal=15, exec_id="e2")
    assert one.wait("e2") == 143
    init = one.state().pid
    one.kill()
    one.wait()
    # without one, a containerd that starts again takes the shim for forgotten, and removes it with the exit status
    assert [info.pid for info in one.call("Pids", api.PidsRequest(id=one.id)).processes] == [init]


# ---- acting on what runs ------------------------------------------------------------------------------------------
def test_pause_resume_update_and_stats(shim: Make, events: Events) -> None:
    one = shim()
    one.create()
    one.start()
    one.call("Pause", api.PauseRequest(id=one.id))
    assert one.state().status == api.Status.PAUSED
    one.call("Resume", api.ResumeRequest(id=one.id))
    assert one.state().status == api.Status.RUNNING
    events.wait("resumed")
    assert events.topics() == ["create", "start", "paused", "resumed"]
    one.call("Update", api.UpdateTaskRequest(id=one.id, resources=AnyMessage(type_url=RESOURCES, value=b"{}")))
    refused(codes.INVALID_ARGUMENT, lambda: one.call("Update", api.UpdateTaskRequest(
        id=one.id, resources=AnyMessage(type_url=RESOURCES, value=b"[1]"))))
    stats = one.call("Stats", api.StatsRequest(id=one.id)).stats
    metrics = Metrics.decode(stats.value)
    assert stats.type_url == Metrics.TYPE and metrics.cpu is not None and metrics.cpu.usage_usec > 0


def test_one_that_hangs_blocks_no_other(shim: Make, place: Path, rootfs: Path, name: str) -> None:
    one = shim()
    other = f"{name}-hangs"
    (place / other).mkdir()
    go = place / "go"
    hooks = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"until test -e {go}; do sleep 0.05; done"]}]}
    (place / other / "config.json").write_text(json.dumps(config_of(rootfs, other, hooks=hooks)))
    thread = threading.Thread(target=lambda: one.create(id=other))
    thread.start()
    try:
        time.sleep(0.1)
        one.create()
        one.start()
        one.kill()
        assert one.wait() == 137
        assert thread.is_alive()
    finally:
        go.touch()
    thread.join(SECONDS)
    assert one.delete(id=other).pid


def test_containers_of_a_pod_share_a_shim(shim: Make, place: Path, name: str) -> None:
    group = {"io.kubernetes.cri.sandbox-id": name}
    first, second = shim(annotations=group), shim(id=f"{name}-2", annotations=group)
    assert first.address == second.address
    first.create()
    second.create()
    assert first.pid == second.pid
    second.delete()
    first.shutdown()                                       # one is left: nothing happens
    assert first.state().status == api.Status.CREATED


def test_the_next_start_does_not_find_a_shim_that_leaves(shim: Make) -> None:
    """`ctr run` of one name again and again: the new container would be asked of a shim that is about to end."""
    one = shim()
    left = one.pid
    one.shutdown()
    assert not Path(one.address.removeprefix("unix://")).exists()       # when it answers
    one.address = one.command("start").decode()
    assert one.pid != left
    one.gone(left)
    assert one.create() and one.delete().pid                # nor has it taken the new one's socket along


# ---- what goes wrong ----------------------------------------------------------------------------------------------
def test_a_shim_that_is_killed_is_cleaned_up_after(shim: Make, name: str) -> None:
    one = shim()
    pid = one.create()
    one.start()
    shim_pid = one.pid
    os.kill(shim_pid, signal.SIGKILL)
    one.gone(shim_pid)
    assert os.path.exists(f"/proc/{pid}")                  # containers outlive it
    answer = api.DeleteResponse.decode(one.command("delete", "-bundle", str(one.bundle)))
    assert (answer.pid, answer.exit_status) == (pid, 137)
    assert not Path("/run/containerd/pyrunc/tests", name).exists() and not Path("/sys/fs/cgroup", name).exists()
    one.address = one.command("start").decode()            # the socket that was left is no hindrance
    one.create()


def test_events_wait_for_containerd_and_keep_their_order(shim: Make, events: Events) -> None:
    events.lose = 2
    one = shim("true")
    one.create()
    one.start()
    assert one.wait() == 0                                 # nothing waits for events
    one.delete()
    events.wait("delete")
    assert events.topics() == ["create", "start", "exit", "delete"]


def test_no_descriptor_is_left(shim: Make) -> None:
    one = shim("true")
    one.create()
    one.start()
    one.wait()
    one.delete()
    folder = Path(f"/proc/{one.pid}/fd")
    before = len(os.listdir(folder))
    for number in range(20):
        out = one.fifo(f"out{number}")
        thread, _ = reader(out)
        one.create(stdout=out)
        one.call("Pids", api.PidsRequest(id=one.id))
        one.call("Stats", api.StatsRequest(id=one.id))
        one.start()
        one.wait()
        one.delete()
        thread.join(SECONDS)
    assert len(os.listdir(folder)) <= before + 1


def test_a_shim_that_is_forgotten(events: Events, place: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """containerd was killed before it asked for a container, or said Shutdown: the next one would not end the shim."""
    monkeypatch.setattr(server, "UNUSED", 1.0)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place / "shim"))
    listener.listen()
    pid = os.fork()
    if pid == 0:
        try:
            server.serve(listener, str(place / "shim"), "tests", str(events.path), [])
        finally:
            os._exit(0)
    listener.close()
    assert reap(pid) == 0 and not (place / "shim").exists()
