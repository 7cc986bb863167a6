"""What the shim answers when things happen at once: its workers' part is played here."""
from __future__ import annotations

import errno
import json
import os
import select
import signal
from collections.abc import Callable
from typing import Any

import pytest

from pyrunc._native import lib
from pyrunc.errors import StateError
from pyrunc.keeper import errors
from pyrunc.kernel.loop import Loop
from pyrunc.shim.events import Publisher
from pyrunc.shim.service import Service
from pyrunc.shim.task import Process, Task
from pyrunc.ttrpc import codes
from pyrunc.ttrpc.codes import RpcError
from pyrunc.ttrpc.messages import events as ev
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.well_known import Any as AnyMessage
from tests.forked import forked

from .driver import SECONDS


class Call:
    """A call of containerd's: what it was answered."""

    def __init__(self) -> None:
        self.answers: list[Any] = []

    def answer(self, message: Any) -> None:
        self.answers.append(message)

    def fail(self, code: int, message: str) -> None:
        self.answers.append((code, message))


class World:
    """A service, and what is around it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.asked: list[tuple[dict[str, Any], Callable[[dict[str, Any], list[int]], None]]] = []
        self.emptied = 0
        publisher: Any = self
        self.service: Any = Service(Loop(), publisher, "tests", lambda: None, self.is_empty)
        self.service.nursery = publisher

    def publish(self, event: Any) -> None:
        self.events.append(event)

    def is_empty(self) -> None:
        self.emptied += 1

    def created(self, checkpoint: str = "") -> Any:
        """A task as Create has left it, but for its init."""
        task = self.service.tasks["web"] = Task("web", "/nowhere", "/nowhere", Process("", "", "", "", False))
        task.init.spec = {"checkpoint": checkpoint}
        return task

    def made(self, task: Any, process: Any) -> None:
        """As a worker's answer to Create, or to the Start of an exec."""
        self.service._take(task, process, {"pid": (pid := sleeper()), "kept": []}, [os.pidfd_open(pid)])

    def with_exec(self, *args: str) -> Any:
        """A task whose init has been made, and for which there is an exec, `probe`, that is not started."""
        task = self.created()
        self.made(task, task.init)
        spec = AnyMessage(value=json.dumps({"args": args}).encode())
        self.service.exec(api.ExecProcessRequest(id="web", exec_id="probe", spec=spec), Call())
        return task

    def exits(self) -> list[tuple[str, int]]:
        """The ends that were told, in order."""
        return [(one.id, one.exit_status) for one in self.events if isinstance(one, ev.TaskExit)]

    def run(self, request: dict[str, Any], fds: list[int], then: Any, again: bool = False) -> None:
        """As the nursery: an operation has been asked for."""
        self.asked.append((request, then))


def sleeper() -> int:
    """A process that only ends when it is killed, or this one ends."""
    parent, pid = os.getpid(), os.fork()
    if not pid:
        lib.pr_prctl(lib.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            signal.pause()
        os._exit(0)
    return pid


def was_killed(pid: int) -> bool:
    """Whether that has happened, or happens soon."""
    pidfd = os.pidfd_open(pid)
    over = bool(select.select([pidfd], [], [], SECONDS)[0])
    os.close(pidfd)
    return over and os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def in_a_world(act: Callable[[World], None]) -> None:
    """In a process of its own: a service watches for the ends of all its children."""
    forked(lambda: act(World()))


def test_a_shim_that_is_about_to_end_lets_none_come() -> None:
    """What `start` asks begins the time anew in which a container has to come."""
    def act(world: World) -> None:
        asked = api.ConnectRequest(id="web")
        assert world.service.connect(asked, Call()).shim_pid == os.getpid() and world.emptied == 1
        world.service.leaving = True
        with pytest.raises(RpcError) as refused:
            world.service.connect(asked, Call())
        assert refused.value.code == codes.UNAVAILABLE and world.emptied == 1
    in_a_world(act)


@pytest.mark.parametrize("after", [False, True])
def test_who_waits_for_an_exec_that_never_ran(after: bool) -> None:
    """containerd's clients wait before they start. None of them holds a call for ever, for a connection has no more
    than 4,096; nor does who asks when it has failed."""
    def act(world: World) -> None:
        task = world.with_exec("/nothing")
        wanted = api.WaitRequest(id="web", exec_id="probe")
        before, started = Call(), Call()
        assert world.service.wait(wanted, before) is None
        world.service.start(api.StartRequest(id="web", exec_id="probe"), started)
        (request, then), = world.asked
        assert request["operation"] == "exec"
        if after:
            then({"error": errors.pack(StateError("there is no such program"))}, [])
            (code, text), = started.answers
            assert code == codes.UNKNOWN and text.startswith("OCI runtime exec failed: ")
            assert [one.exit_status for one in before.answers] == [255]
            assert world.service.wait(wanted, Call()).exit_status == 255
            world.service.delete(api.DeleteRequest(id="web", exec_id="probe"), Call())
        else:
            task.execs["probe"].starting = False
            world.service.delete(api.DeleteRequest(id="web", exec_id="probe"), Call())
            assert [one.exit_status for one in before.answers] == [255]
        assert world.exits() == []
    in_a_world(act)


def test_an_exec_that_can_be_started_again() -> None:
    """Its first Start has failed: who waits after the second one waits for its end."""
    def act(world: World) -> None:
        world.with_exec("/late")
        world.service.start(api.StartRequest(id="web", exec_id="probe"), Call())
        world.asked.pop()[1]({"error": errors.pack(StateError("not yet"))}, [])
        world.service.start(api.StartRequest(id="web", exec_id="probe"), Call())
        call, pid = Call(), sleeper()
        assert world.service.wait(api.WaitRequest(id="web", exec_id="probe"), call) is None
        world.asked.pop()[1]({"answer": {"pid": pid, "kept": []}}, [os.pidfd_open(pid)])
        assert not call.answers
        world.service._ended(pid, 3 << 8, 1)
        assert [one.exit_status for one in call.answers] == [3] and world.exits() == [("probe", 3)]
    in_a_world(act)


def test_a_delete_that_is_answered_before_the_init_is_reaped() -> None:
    """Its end is told, and who waits for it hears of it, as if it had been seen first; and of its execs before."""
    def act(world: World) -> None:
        task = world.created()
        world.made(task, task.init)
        task.execs["probe"] = Process("probe", "", "", "", False)
        world.made(task, task.execs["probe"])
        task.execs["probe"].started = True
        waiting, of_exec = Call(), Call()
        world.service.wait(api.WaitRequest(id="web"), waiting)
        world.service.wait(api.WaitRequest(id="web", exec_id="probe"), of_exec)
        deleted, pid = Call(), task.init.pid
        assert world.service.delete(api.DeleteRequest(id="web"), deleted) is None
        world.asked.pop()[1]({"answer": {}}, [])
        assert [one.exit_status for call in (waiting, of_exec, deleted) for one in call.answers] == [137] * 3
        assert world.exits() == [("probe", 137), ("web", 137)] and isinstance(world.events[-1], ev.TaskDelete)
        world.service._ended(pid, 9, 1)                        # which is told once
        assert len(world.exits()) == 2
    in_a_world(act)


def test_a_delete_of_what_was_never_made() -> None:
    """Of a checkpoint that nobody has started."""
    def act(world: World) -> None:
        world.created(checkpoint="/images")
        waiting = Call()
        world.service.wait(api.WaitRequest(id="web"), waiting)
        world.service.delete(api.DeleteRequest(id="web"), Call())
        world.asked.pop()[1]({"answer": {}}, [])
        assert [one.exit_status for one in waiting.answers] == [255] and world.exits() == []
    in_a_world(act)


def test_an_exec_that_comes_into_being_when_the_init_has_ended() -> None:
    """In a container without a pid namespace nothing else ends it, and the init's end would be told when it ends by
    itself."""
    def act(world: World) -> None:
        task = world.with_exec("sleep", "1000")
        task.init.started = task.shares = True
        started, pid = Call(), sleeper()
        world.service.start(api.StartRequest(id="web", exec_id="probe"), started)
        world.service._ended(task.init.pid, 3 << 8, 1)
        assert world.exits() == []
        world.asked.pop()[1]({"answer": {"pid": pid, "kept": []}}, [os.pidfd_open(pid)])
        assert [one.pid for one in started.answers] == [pid]
        assert was_killed(pid)
        world.service._ended(pid, 9, 2)
        assert world.exits() == [("probe", 137), ("web", 3)]
    in_a_world(act)


def test_what_cannot_be_kept_is_ended_and_harms_no_other() -> None:
    """A restored container of which nothing can be written down: its Start has failed, and the shim goes on."""
    def act(world: World) -> None:
        task = world.created(checkpoint="/images")
        started, pid = Call(), sleeper()
        world.service.start(api.StartRequest(id="web"), started)
        (request, then), = world.asked
        assert request["operation"] == "restore"
        then({"answer": {"pid": pid, "kept": [], "mappings": None}}, [os.pidfd_open(pid)])
        (code, text), = started.answers
        assert code == codes.NOT_FOUND and "keep what was made: " in text
        assert was_killed(pid)
        world.service._ended(pid, 9, 1)
        assert world.exits() == [("web", 137)] and not task.init.starting
    in_a_world(act)


@pytest.mark.parametrize("method", ["pids", "stats"])
def test_a_look_at_a_container_without_a_state(method: str) -> None:
    def act(world: World) -> None:
        world.created()
        with pytest.raises(RpcError, match="container does not exist") as refused:
            getattr(world.service, method)(api.PidsRequest(id="web"), Call())
        assert refused.value.code == codes.NOT_FOUND
    in_a_world(act)


def test_a_program_that_cannot_be_run_yet_publishes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is free for it: no call fails for that, and no descriptor is left."""
    def none() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def act() -> tuple[list[str], list[str], int]:
        made = Publisher(Loop(), "", "tests", ["/bin/true"])
        before = os.listdir("/proc/self/fd")
        monkeypatch.setattr("posix.fork", none)
        made.publish(ev.TaskStart(container_id="web", pid=1))
        return before, os.listdir("/proc/self/fd"), len(made.queue)
    before, after, queued = forked(act)
    assert before == after and queued == 1


def test_an_input_that_ends_before_start_is_answered() -> None:
    """The client of an exec has written all that it had as soon as the worker had opened the FIFO."""
    def act(world: World) -> None:
        world.with_exec("cat")
        world.service.start(api.StartRequest(id="web", exec_id="probe"), Call())
        world.service.close_io(api.CloseIORequest(id="web", exec_id="probe", stdin=True), Call())
        pid, (reading, writing) = sleeper(), os.pipe()
        world.asked.pop()[1]({"answer": {"pid": pid, "kept": ["stdin"]}}, [os.pidfd_open(pid), writing])
        os.set_blocking(reading, False)
        assert os.read(reading, 1) == b""                      # its end
    in_a_world(act)
