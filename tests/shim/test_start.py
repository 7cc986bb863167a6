"""`start` when another of the same pod is at work: one shim, whoever was first, and nobody waits for the dead."""
from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyrunc.kernel.loop import READ, Loop
from pyrunc.shim.lock import LOCK, locked, unlock
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.bootstrap import BootstrapParams
from pyrunc.ttrpc.server import Server

from .driver import SECONDS, Shim

Make = Callable[..., Shim]
HOLDER = """
import sys, time
from pyrunc.shim.lock import locked
locked(sys.argv[1], wait=True)
print("held", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def stale(shim: Make) -> Shim:
    """A shim that was killed: its socket is there, and nobody listens."""
    one = shim()
    os.kill(one.pid, signal.SIGKILL)
    alone(one, set())
    assert path_of(one).is_socket()
    return one


@pytest.fixture
def beside(stale: Shim) -> Iterator[subprocess.Popen[bytes]]:
    """A `start` that finds the lock taken by somebody who has it for as long as the test wants: kept_by()."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, path_of(stale)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        yield holder
        holder.kill()


def path_of(shim: Shim) -> Path:
    return Path(shim.address.removeprefix("unix://"))


def starting(shim: Shim) -> subprocess.Popen[bytes]:
    """`start`, as containerd gives it, which goes on beside the test."""
    flags = "-namespace", "tests", "-address", str(shim.place / "containerd"), "-id", shim.id, "start"
    return subprocess.Popen([shim.program(), *flags], cwd=shim.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            env={"PATH": os.environ["PATH"], "TTRPC_ADDRESS": str(shim.events.path)})


@contextmanager
def serving(path: Path) -> Iterator[None]:
    """As a shim does that has just been made."""
    loop, ending = Loop(), os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)
        server = Server(loop, listener)
        server.register(api.TASK_SERVICE, api.TASK, {"Connect": lambda *_: api.ConnectResponse(shim_pid=os.getpid())})
        loop.watch(ending[0], READ, lambda _: loop.stop())
        thread = threading.Thread(target=loop.run)
        thread.start()
        try:
            yield
        finally:
            os.write(ending[1], b"x")
            thread.join(SECONDS)
            server.close()
            for fd in ending:
                os.close(fd)


def waits(process: subprocess.Popen[bytes]) -> None:
    """Come back when it waits for a lock (/proc/locks, proc(5)); fail if it ends."""
    waiting = re.compile(rf"-> FLOCK +ADVISORY +WRITE {process.pid} ")
    end = time.monotonic() + SECONDS
    while not waiting.search(Path("/proc/locks").read_text()):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)


def shims_of(shim: Shim) -> set[int]:
    """Those that there are for its container, which have no container yet, and none of their workers."""
    found, parents = set(), {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if shim.id.encode() in words and (folder / "comm").read_text() == "pyrunc-shim\n":
                found.add(int(folder.name))
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return {pid for pid in found if parents[pid] not in found}


def alone(shim: Shim, pids: set[int]) -> None:
    """Wait until there are these and no other. One that has just been forked has no name yet, and a worker that has
    just been forked has the socket of its shim, and ends soon after that has been killed."""
    end = time.monotonic() + SECONDS
    while (found := shims_of(shim)) != pids:
        assert time.monotonic() < end, (found, pids)
        time.sleep(0.02)


@pytest.mark.parametrize("left", ["a stale socket", "nothing", "a lock that nobody has"])
def test_many_at_once(stale: Shim, left: str) -> None:
    path = path_of(stale)
    lock = Path(f"{path}{LOCK}")
    for _ in range(3):
        if left == "nothing":
            path.unlink()
        elif left == "a lock that nobody has":
            lock.touch()
        with ThreadPoolExecutor(6) as pool:
            said = list(pool.map(lambda _: stale.command("start"), range(6)))
        assert said == [stale.address.encode()] * 6
        assert not lock.exists()
        pid = stale.pid                                       # it serves at the path that all were told
        alone(stale, {pid})
        os.kill(pid, signal.SIGKILL)
        alone(stale, set())


def test_what_the_first_has_made_stays(stale: Shim) -> None:
    """The second has to wait while the first takes the stale socket away, and then finds a shim that serves."""
    path = path_of(stale)
    lock = locked(str(path), wait=True)
    with starting(stale) as second:
        waits(second)
        path.unlink()
        with serving(path):
            made = path.stat().st_ino
            unlock(str(path), lock)
            assert second.communicate(timeout=SECONDS)[0] == stale.address.encode()
            assert path.stat().st_ino == made and not Path(f"{path}{LOCK}").exists()
    path.unlink()


def test_who_only_has_the_socket_open_is_no_shim(stale: Shim) -> None:
    """A worker of a shim that was killed has it for a moment more, and answers nothing."""
    path = path_of(stale)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as worker:
        worker.bind(str(path))
        worker.listen(8)
        with starting(stale) as second:
            assert select.select([worker], [], [], SECONDS)[0]              # it has connected
            worker.close()
            assert second.communicate(timeout=SECONDS)[0] == stale.address.encode()
    alone(stale, {stale.pid})


def test_a_dead_holder_is_not_waited_for(stale: Shim, beside: subprocess.Popen[bytes]) -> None:
    with starting(stale) as second:
        waits(second)
        beside.kill()
        assert second.communicate(timeout=SECONDS)[0] == stale.address.encode()
    assert stale.pid


def test_another_pods_holder_is_not_waited_for(stale: Shim, shim: Make, beside: subprocess.Popen[bytes]) -> None:
    assert shim(id=f"{stale.id}-other").pid and beside.poll() is None


def test_a_shim_that_cannot_be_reached_is_not_taken_for_a_dead_one(stale: Shim) -> None:
    """Whatever else connect(2) says than that nobody listens: the socket may be that of a shim with containers."""
    path = path_of(stale)
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:      # EPROTOTYPE
        other.bind(str(path))
        other.listen(8)
        with starting(stale) as second:
            assert second.communicate(timeout=SECONDS)[0] == b"" and second.returncode == 1
        assert path.is_socket() and not Path(f"{path}{LOCK}").exists()
    path.unlink()


def test_a_socket_dir_that_is_too_long(shim: Make, place: Path, name: str) -> None:
    one = shim()
    sockets = place / ("s" * 100)
    params = BootstrapParams(instance_id=name, namespace="tests", socket_dir=str(sockets),
                             containerd_ttrpc_address=str(one.events.path),
                             containerd_grpc_address=str(place / "containerd"))
    done = subprocess.run([one.program(), "-namespace", "tests", "-id", name, "start"], cwd=one.bundle,
                          input=params.encode(), capture_output=True, timeout=SECONDS, check=False)
    length = len(str(sockets)) + 65                           # a slash, and 64 digits
    assert done.returncode == 1 and not done.stdout
    assert re.fullmatch(rf".*the shim's socket {sockets}/[0-9a-f]{{64}}: the path of a unix socket has at most 107 "
                        rf"bytes, this one has {length}\"\n", done.stderr.decode())
    assert not sockets.exists()


def test_a_lock_is_one_process_s(place: Path) -> None:
    name = str(place / "name")
    lock = locked(name)
    assert lock >= 0 and locked(name) == -1
    unlock(name, lock)
    again = locked(name)
    assert again >= 0
    os.unlink(name + LOCK)                                    # and whoever waits for a removed one waits for nothing
    other = locked(name, wait=True)
    assert other >= 0
    unlock(name, other)
    os.close(again)
