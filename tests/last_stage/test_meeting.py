"""Meeting the parent, and waiting for `start`."""
from __future__ import annotations

import errno
import os
import select
import socket
from pathlib import Path

import pytest

from pyrunc._native import lib
from pyrunc.kernel.last_stage import OP_BARRIER, OP_CLOSE_FD, OP_CLOSE_FROM, OP_EXEC, OP_WAIT_START, pack_exec

from .stage import Stage, op, run, shell


def test_barrier_meets_the_parent() -> None:
    ours, theirs = socket.socketpair()
    stage = Stage([op(OP_BARRIER, theirs.fileno()), op(OP_CLOSE_FD, theirs.fileno()), *shell("echo on")])
    theirs.close()
    assert ours.recv(1) == b"\n"
    assert stage.page.child_step == 0
    assert not select.select([ours], [], [], 0.05)[0]
    ours.send(b"\n")
    assert ours.recv(1) == b""                                   # OP_CLOSE_FD
    assert stage.told().out == "on\n"
    ours.close()


def test_barrier_without_a_parent_ends_the_stage() -> None:
    ours, theirs = socket.socketpair()
    stage = Stage([op(OP_BARRIER, theirs.fileno()), *shell("echo on")])
    theirs.close()
    assert ours.recv(1) == b"\n"
    ours.close()
    told = stage.told()
    assert told.failure == ("the runtime has ended", errno.ECONNRESET)
    assert told.out == ""


@pytest.mark.parametrize("path", ["/", "/dev/null"])
def test_only_sockets_and_fifos_may_stay_open_until_exec(path: str) -> None:
    told = run(lambda: [op(OP_WAIT_START, os.open(path, os.O_RDONLY)), *shell("true")])
    assert told.failure == ("neither a socket nor a fifo to wait at", errno.ENOTSOCK)


def start(fifo: Path) -> int:
    """What `pyrunc start` does: the write end, after one byte; ENXIO when nobody waits."""
    fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, b"s")
    return fd


def closed(fd: int) -> bool:
    """Whether the waiting end of the fifo is closed within 60 s."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(60_000))


def test_wait_for_start(tmp_path: Path) -> None:
    fifo = tmp_path / "exec.fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError) as nobody:
        start(fifo)
    assert nobody.value.errno == errno.ENXIO
    script = f"echo started; until test -e {tmp_path}/end; do sleep 0.02; done"
    stage = Stage(lambda: [op(OP_WAIT_START, os.open(fifo, os.O_RDWR)), *shell(script)])
    stage.wait_for(lib.PHASE_WAITING)
    assert not select.select([stage.out], [], [], 0.05)[0]
    fd = start(fifo)
    assert closed(fd) and os.waitpid(stage.pid, os.WNOHANG) == (0, 0)          # by execve, not by the end of the shell
    assert stage.page.phase == lib.PHASE_EXEC
    (tmp_path / "end").touch()
    assert stage.told().out == "started\n"
    os.close(fd)


def test_failing_exec_is_known_when_the_fifo_closes(tmp_path: Path) -> None:
    """`start` polls: when the other end has gone, the page must already say what has become of it."""
    fifo = tmp_path / "exec.fifo"
    os.mkfifo(fifo)
    for _ in range(50):
        stage = Stage(lambda: [op(OP_WAIT_START, os.open(fifo, os.O_RDWR)), op(OP_CLOSE_FROM, 3),
                               op(OP_EXEC, data=pack_exec(["/nowhere"], []))])
        stage.wait_for(lib.PHASE_WAITING)
        fd = start(fifo)
        assert closed(fd)
        assert stage.page.phase == lib.PHASE_FAILED
        assert stage.told().failure == ("exec /nowhere", errno.ENOENT)
        os.close(fd)
