"""A keeper that outlives whoever it works for, spoken to by the messages of its channel."""
from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.keeper.channel import Channel
from pyrunc.library import program

Connect = Callable[[], Channel]


@pytest.fixture
def keeper(place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One that has nothing to keep: it ends when nobody is connected."""
    (place / "exits").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(place / "keeper"))
        listener.listen(16)
        one = subprocess.Popen([program.find(), "keeper", str(listener.fileno()), str(place / "exits")],
                               stdin=subprocess.DEVNULL, pass_fds=(listener.fileno(),))
    yield one
    one.kill()
    one.wait()


@pytest.fixture
def connect(place: Path) -> Connect:
    def connect() -> Channel:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        one.settimeout(60)
        one.connect(str(place / "keeper"))
        return Channel(one)
    return connect


def asked(channel: Channel, number: int) -> dict[str, Any] | None:
    channel.send({"number": number, "operation": "working"})
    received = channel.receive()
    return received and received[0]


def test_who_connects_takes_the_place_of_another(keeper: subprocess.Popen[bytes], connect: Connect) -> None:
    first = connect()
    assert asked(first, 1) == {"number": 1, "answer": {"working": []}}
    for number in range(2, 6):
        second = connect()
        assert asked(second, number) == {"number": number, "answer": {"working": []}}
        assert first.receive() is None
        first = second
    first.close()
    assert keeper.wait(60) == 0


#: A keeper whose other end is closed, with or without something there that was not read, and that has something to say.
TELLS = """
import sys
from pyrunc.keeper.channel import pair
from pyrunc.keeper.keeper import Keeper
ours, theirs = pair()
for number in range(int(sys.argv[1])):
    ours.send({"number": number})
theirs.close()
keeper = Keeper(ours, {})
keeper._ended(4711, 0, 1)
keeper.run()
"""


@pytest.mark.parametrize("unread", ["0", "3"])
def test_who_goes_away_in_the_middle(unread: str) -> None:
    """To send fails with EPIPE then, or with ECONNRESET."""
    done = subprocess.run([sys.executable, "-c", TELLS, unread], capture_output=True, text=True, timeout=60,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")


#: One that lasts: its client has gone without reading what filled its socket, and there is more to be told.
OUTLIVES = """
import socket, sys
from pyrunc.keeper.channel import Channel
from pyrunc.keeper.lasting import Lasting
from pyrunc.kernel.loop import READ
path, exits = sys.argv[1:]
def client():
    one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.connect(path)
    keeper.loop.once()
    return one
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(path)
listener.listen(1)
keeper = Lasting(listener, exits, {})
keeper.loop.watch(listener.fileno(), READ, keeper._connect)
keeper.names[4711] = "web.1"
gone = client()
while not keeper.unsent:
    keeper._ended(1, 0, 1)
gone.close()
keeper.loop.once()
assert not keeper.connected
here = client()
keeper._ended(4711, 256, 1)
assert keeper.connected and not keeper.unsent
"""


def test_it_outlives_who_has_read_nothing(tmp_path: Path) -> None:
    """Its socket is ready to be written to, and closed, at the same time."""
    done = subprocess.run([sys.executable, "-c", OUTLIVES, str(tmp_path / "keeper"), str(tmp_path)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "web.1").read_text() == "4711 256 1\n"


#: One that has no descriptor for who connects, and then has one.
FULL = """
import os, resource, socket, sys
from pyrunc.keeper.lasting import Lasting
from pyrunc.kernel.loop import READ
path, exits = sys.argv[1:]
listener, one = (socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2))
listener.bind(path)
listener.listen(1)
keeper = Lasting(listener, exits, {})
keeper.loop.watch(listener.fileno(), READ, keeper._connect)
one.connect(path)
before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), before[1]))
held = []
try:
    while True:
        held.append(os.dup(0))
except OSError:
    pass
keeper.loop.once()
assert not keeper.connected
resource.setrlimit(resource.RLIMIT_NOFILE, before)
while not keeper.connected:
    keeper.loop.once()
"""


def test_no_descriptor_for_who_connects(tmp_path: Path) -> None:
    """The exit statuses of all containers are lost with it."""
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "keeper"), str(tmp_path)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


#: Two workers that always have something to do, and processes of containers that no answer names.
BUSY = """
import time
from pyrunc.keeper.channel import pair
from pyrunc.keeper.nursery import Nursery, Worker
from pyrunc.kernel.loop import Loop
ended = []
nursery = Nursery(Loop(), {}, lambda pid, status, time: ended.append((pid, status)), 2)
workers = []
for number in (1, 2):
    ours, its = pair()
    workers.append((Worker(number, ours, True), its))
    nursery.workers[number] = workers[-1][0]
def begin(number):
    worker, _ = workers[number]
    worker.then, worker.began = (lambda message, fds: None), time.monotonic()
def answers(number, **answer):
    worker, its = workers[number]
    its.send({"answer": answer, "spent": False})
    nursery._answer(worker)
begin(0)
begin(1)
nursery._reaped(100, 1)
answers(0, pid=100)                 # its process, which had ended before its answer came
assert ended == [(100, 1)]
begin(0)
nursery._reaped(101, 2)
for _ in range(50):                 # the other one has begun before that, and may name it
    answers(0)
    begin(0)
assert list(nursery.early) == [101]
answers(0)
begin(0)
answers(0, pid=101)                 # another process, which has its pid now
assert ended == [(100, 1)] and nursery.kept == {101}
begin(0)
nursery._reaped(102, 3)
answers(1)
begin(1)
answers(0)                          # now all have begun later
begin(0)
answers(1)
assert not nursery.early, nursery.early
"""


def test_ends_that_nobody_names_are_forgotten() -> None:
    done = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


#: A worker that may run five operations; and what its parent thinks of one that took long.
SPENT = """
import os
from pyrunc.keeper import nursery, spawner
from pyrunc.keeper.channel import pair
from pyrunc.kernel.loop import Loop
spawner.MOST = 5
def operation(request, fds, told):
    if request.get("fails"):
        raise ValueError("it has failed")
    return {"pid": os.getpid()}, []
def run(*requests):
    ours, its = pair()
    if os.fork() == 0:
        ours.close()
        try:
            spawner.serve(its, {"do": operation})
        finally:
            os._exit(0)
    its.close()
    answers = []
    for request in requests:
        try:
            ours.send({"operation": "do", **request})
        except BrokenPipeError:
            break
        received = ours.receive()
        if received is None:
            break
        answers.append(received[0]["spent"])
    os.wait()
    return answers
assert run(*[{}] * 7) == [False, False, False, False, True]
assert run({}, {"fails": True}, {}) == [False, True]
loop = Loop()
family = nursery.Nursery(loop, {}, lambda *end: None)
for seconds, open_ in ((0.0, True), (nursery.SLOW + 1.0, False)):
    ours, its = pair()
    worker = nursery.Worker(1, ours, True)
    worker.then, worker.began = (lambda message, fds: None), __import__("time").monotonic() - seconds
    its.send({"answer": {}, "spent": False})
    family._answer(worker)
    assert worker.open == open_
"""


def test_a_worker_is_thrown_away_after_so_many_a_failure_and_a_slow_one() -> None:
    done = subprocess.run([sys.executable, "-c", SPENT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
