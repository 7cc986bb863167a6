"""The worker that stays: the same process as long as it does well, clean after each operation, and no end is lost."""
from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pyrunc.keeper.nursery import IDLE
from pyrunc.keeper.spawner import NAMESPACES
from pyrunc.kernel.loop import Loop
from pyrunc.ttrpc import codes
from pyrunc.ttrpc.client import Client, connect
from pyrunc.ttrpc.codes import RpcError
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.well_known import Any as AnyMessage

from .conftest import reader, refused
from .driver import PROCESS, SECONDS, Events, Shim

Make = Callable[..., Shim]
#: Of /proc/PID/status.
STATUS = ("Uid", "Gid", "Groups", "Cap", "SigBlk", "SigIgn", "SigCgt", "Shd", "Umask", "NoNewPrivs", "Seccomp",
          "Cpus_allowed", "Threads")


def workers(shim: Shim) -> set[int]:
    """The shim's children that are the same program."""
    pid, found = shim.pid, set()
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        with suppress(OSError):                            # it has ended meanwhile
            if Path(f"/proc/{child}/comm").read_text() == "pyrunc-shim\n":
                found.add(child)
    return found


def thrown_away(shim: Shim, before: set[int]) -> None:
    """Wait until none of these works any more: a worker ends a moment after it has answered."""
    end = time.monotonic() + SECONDS
    while workers(shim) & before:
        assert time.monotonic() < end
        time.sleep(0.01)


def the_one(shim: Shim) -> int:
    """The worker that stays, when others have ended."""
    end = time.monotonic() + SECONDS
    while len(found := workers(shim)) != 1:
        assert time.monotonic() < end and found
        time.sleep(0.01)
    return found.pop()


def running(shim: Make, *args: str, **changes: object) -> Shim:
    one = shim(*args, **changes)
    one.create()
    one.start()
    return one


def probe(shim: Shim, id: str, *args: str, **process: Any) -> int:
    shim.exec(id, *(args or ("true",)), **process)
    shim.start(id)
    status = shim.wait(id)
    shim.delete(id)
    return status


def looks(pid: int) -> dict[str, Any]:
    """What must be the same of a worker between two operations."""
    folder = Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
    return {**{name: os.readlink(folder / "ns" / name) for name in NAMESPACES if (folder / "ns" / name).exists()},
            **{name: status[name] for name in status if name.startswith(STATUS)},
            "fds": {int(fd): os.readlink(folder / "fd" / fd) for fd in os.listdir(folder / "fd")},
            "cwd": os.readlink(folder / "cwd"), "root": os.readlink(folder / "root"),
            "limits": (folder / "limits").read_text(), "session": os.getsid(pid),
            "score": (folder / "oom_score_adj").read_text(),
            "pages": (folder / "maps").read_text().count("/dev/zero")}


def at_rest(pid: int) -> dict[str, Any]:
    """The same of a worker that has tidied up, which it does after its answer: it has its five descriptors then."""
    end = time.monotonic() + SECONDS
    while set((found := looks(pid))["fds"]) != {0, 1, 2, 3, 4}:
        assert time.monotonic() < end, found
        time.sleep(0.01)
    return found


def test_one_worker_runs_all_probes_and_stays_as_it_was(shim: Make) -> None:
    one = running(shim)
    probe(one, "first")
    worker = the_one(one)
    before = at_rest(worker)
    for number in range(20):
        assert probe(one, f"e{number}", "sh", "-c", f"cd /tmp; umask 7; exit {number}", cwd="/bin",
                     user={"uid": 7, "gid": 8}, noNewPrivileges=True) == number
        assert the_one(one) == worker
    assert at_rest(worker) == before


def test_a_worker_waits_for_create_and_makes_the_container(shim: Make) -> None:
    one = shim()
    worker = the_one(one)
    one.create()
    one.start()
    assert the_one(one) == worker                   # the init is another program by now
    assert probe(one, "first") == 0 and the_one(one) == worker


def test_a_worker_that_nothing_is_asked_of_ends(shim: Make) -> None:
    one = shim()
    the_one(one)
    end = time.monotonic() + IDLE + SECONDS
    while workers(one):
        assert time.monotonic() < end
        time.sleep(0.05)
    one.create()
    one.start()
    assert probe(one, "first") == 0


def test_the_shim_and_its_worker_take_short_turns_and_no_process_of_the_container_does(shim: Make) -> None:
    """A kernel before 6.12 has no such turns; what is forked is told apart all the same."""
    one = running(shim)
    probe(one, "first")
    one.exec("e", "sleep", "1000")
    theirs = [one.start("e"), one.state().pid]
    assert {os.sched_getscheduler(pid) for pid in (one.pid, the_one(one))} == {os.SCHED_OTHER | os.SCHED_RESET_ON_FORK}
    assert {os.sched_getscheduler(pid) for pid in theirs} == {os.SCHED_OTHER}
    one.kill(exec_id="e")
    assert one.wait("e") == 137


def test_a_worker_is_thrown_away_when_its_operation_fails(shim: Make) -> None:
    one = running(shim)
    probe(one, "first")
    before = workers(one)
    refused(codes.UNKNOWN, lambda: probe(one, "none", "nonesuch"))
    assert probe(one, "next", "false") == 1
    thrown_away(one, before)
    assert the_one(one) not in before


def test_a_worker_is_thrown_away_when_it_is_not_what_it_was(shim: Make) -> None:
    """execCPUAffinity.initial is of the process that clones."""
    one = running(shim)
    cpu = min(os.sched_getaffinity(0))
    probe(one, "first")
    before = workers(one)
    assert probe(one, "pinned", "true", execCPUAffinity={"initial": str(cpu)}) == 0
    assert probe(one, "next", "true") == 0
    thrown_away(one, before)


def test_a_worker_ends_when_there_is_nothing_to_do(shim: Make) -> None:
    one = running(shim)
    probe(one, "first")
    assert workers(one)
    time.sleep(IDLE)
    end = time.monotonic() + SECONDS
    while workers(one):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert probe(one, "later", "false") == 1


def test_a_process_is_the_shims_from_the_beginning(shim: Make, events: Events) -> None:
    """The worker is killed; what it has made goes on, and its end is known."""
    one = running(shim)
    one.exec("e", "sh", "-c", "until [ -e /go ]; do sleep 0.01; done; exit 9")
    pid = one.start("e")
    assert f"PPid:\t{one.pid}\n" in Path(f"/proc/{pid}/status").read_text()
    worker = the_one(one)
    os.kill(worker, signal.SIGKILL)
    one.gone(worker)
    assert probe(one, "other", "sh", "-c", "touch /go; exit 3") == 3
    assert one.wait("e") == 9


@pytest.mark.parametrize("moment", [0.0, 0.002, 0.005, 0.01, 0.02])
def test_a_worker_that_is_killed_at_work(shim: Make, moment: float) -> None:
    """Its caller is told; or it had answered, and then the process's end is known. The next one does its work."""
    one = running(shim)
    for number in range(4):
        probe(one, f"first{number}")
        worker = the_one(one)
        one.exec(f"e{number}", "sh", "-c", "exit 4")

        def strike(worker: int = worker) -> None:
            time.sleep(moment)
            os.kill(worker, signal.SIGKILL)
        thread = threading.Thread(target=strike)
        thread.start()
        try:
            one.start(f"e{number}")
        except RpcError as failed:
            assert "the worker was killed by signal 9" in failed.message
        else:
            assert one.wait(f"e{number}") == 4
        thread.join()
        one.gone(worker)
        one.delete(f"e{number}")
        assert probe(one, f"next{number}", "sh", "-c", "exit 5") == 5
    init = one.state().pid
    end = time.monotonic() + SECONDS
    # of an exec that has failed no process is left in the container
    while [process.pid for process in one.call("Pids", api.PidsRequest(id=one.id)).processes] != [init]:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_init_that_ends_while_an_exec_is_made(shim: Make, events: Events) -> None:
    """Its end is told after those of its execs; one that cannot be made then must not hold it back for ever."""
    one = running(shim)
    init, loop, said = one.state().pid, Loop(), list[RpcError | None]()
    client = Client(loop, connect(one.address))
    one.exec("late", "true")
    assert probe(one, "first") == 0
    worker = the_one(one)
    os.kill(worker, signal.SIGSTOP)
    try:
        for method, request in (("Start", api.StartRequest(id=one.id, exec_id="late")),
                                ("Connect", api.ConnectRequest(id=one.id))):
            client.call(api.TASK_SERVICE, method, request, api.TASK[method][1],
                        lambda _, failed: said.append(failed), SECONDS)
        while not said:                                    # that of Connect: the worker has what Start asks for
            loop.once()
        os.kill(init, signal.SIGKILL)
        end = time.monotonic() + SECONDS
        while os.path.exists(f"/proc/{init}"):
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        os.kill(worker, signal.SIGCONT)
    while len(said) < 2:
        loop.once()
    client.close()
    assert said[1] is not None and said[1].code == codes.NOT_FOUND
    assert one.wait() == 137
    events.wait("exit", 2)


def test_many_at_once_and_none_is_lost(shim: Make) -> None:
    one = running(shim)
    got: dict[int, int] = {}

    def some(first: int) -> None:
        for number in range(first, first + 8):
            got[number] = probe(one, f"e{number}", "sh", "-c", f"exit {number}")
    threads = [threading.Thread(target=some, args=(8 * index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * SECONDS)
    assert got == {number: number for number in range(32)}
    assert the_one(one)


def test_without_a_pid_namespace(shim: Make) -> None:
    """The process would be the worker's own child: a worker of its own runs it."""
    one = running(shim, "sleep", "1000", linux={"namespaces": [{"type": kind} for kind in ("mount", "ipc", "uts")]})
    for number in range(5):
        assert probe(one, f"e{number}", "sh", "-c", f"exit {number}") == number
    one.kill()
    assert one.wait() == 137


def test_output_ends_for_its_reader_while_the_worker_stays(shim: Make) -> None:
    one = running(shim)
    for number in range(3):
        out = one.fifo(f"out{number}")
        thread, got = reader(out)
        one.exec(f"e{number}", "echo", "hello", stdout=out)
        one.start(f"e{number}")
        one.wait(f"e{number}")
        one.delete(f"e{number}")
        thread.join(2.0)
        assert got == [b"hello\n"]




def test_the_heap_of_a_shim_grows_no_further(shim: Make, points: int) -> None:
    """With probes, once it has had some. Of the program that is built: sources that are run have another heap."""
    if points < 100:
        pytest.skip("with --faults: what an allocator does is no sure thing")
    one = running(shim)
    pid = one.pid

    def heap() -> int:
        """KiB (proc(5): maps); the allocator gets 132 of them at a time."""
        ends = [line.split()[0].split("-") for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
                if line.endswith("[heap]")]
        return sum(int(last, 16) - int(first, 16) for first, last in ends) >> 10

    client, loop = connect(one.address), Loop()
    caller = Client(loop, client)

    def call(method: str, request: Any) -> Any:
        got: list[Any] = []
        caller.call(api.TASK_SERVICE, method, request, api.TASK[method][1], lambda *answer: got.append(answer), SECONDS)
        while not got:
            loop.once()
        assert got[0][1] is None
        return got[0][0]

    sizes = []
    spec = AnyMessage(type_url=PROCESS, value=b'{"args": ["true"], "cwd": "/", "env": ["PATH=/bin"], "user": {}}')
    for number in range(1001):
        if number in (200, 1000):
            sizes.append(heap())
        id = f"e{number}"
        call("Exec", api.ExecProcessRequest(id=one.id, exec_id=id, spec=spec))
        call("Start", api.StartRequest(id=one.id, exec_id=id))
        assert call("Wait", api.WaitRequest(id=one.id, exec_id=id)).exit_status == 0
        call("Delete", api.DeleteRequest(id=one.id, exec_id=id))
    caller.close()
    assert sizes[1] <= sizes[0] + 270, sizes
