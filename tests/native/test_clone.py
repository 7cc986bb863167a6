"""clone3 of a Python process."""
from __future__ import annotations

import errno
import os
import signal
import threading
import time
import traceback
from pathlib import Path

import pytest

from pyrunc._native import ffi, lib
from pyrunc.kernel.linux import Kernel

from ..forked import forked
from .process import status_of, wait

KERNEL = Kernel()
SIGKILL = int(signal.SIGKILL)


def end(thread: threading.Thread) -> None:
    """Join, and wait until the kernel's thread has gone too, which is a moment later."""
    thread.join()
    while lib.pr_tasks() > 1:
        time.sleep(0.001)


def test_clone3_gives_pid_and_pidfd() -> None:
    pid, pidfd = KERNEL.clone3(0, -1, 0)
    if pid == 0:
        os._exit(41 if pidfd == -1 else 1)
    info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert info is not None
    assert (info.si_pid, info.si_status) == (pid, 41)
    os.close(pidfd)


def test_clone3_child_is_a_whole_python() -> None:
    """Locks, imports, the at-fork hooks, a second clone and threads work in the child."""
    hooked: list[str] = []
    os.register_at_fork(before=lambda: hooked.append("before"), after_in_child=lambda: hooked.append("child"),
                        after_in_parent=lambda: hooked.append("parent"))
    pid, pidfd = KERNEL.clone3(0, -1, 0)
    if pid == 0:
        try:
            assert hooked == ["before", "child"]
            import wave  # not loaded yet
            assert wave.WAVE_FORMAT_PCM
            assert threading.enumerate() == [threading.main_thread()]
            ran: list[int] = []
            thread = threading.Thread(target=ran.append, args=(1,))
            thread.start()
            end(thread)
            assert ran == [1]
            inner, _ = KERNEL.clone3(0, -1, 0)
            if inner == 0:
                os._exit(5)
            os._exit(wait(inner))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert hooked == ["before", "parent"]
    assert wait(pid) == 5
    os.close(pidfd)


def test_clone3_500_times_does_not_hang() -> None:
    for round_ in range(500):
        pid, pidfd = KERNEL.clone3(0, -1, SIGKILL)
        if pid == 0:
            os._exit(len([str(n) for n in range(100)]) - 100 + round_ % 7)
        assert wait(pid) == round_ % 7
        os.close(pidfd)


def test_clone3_refuses_more_than_one_thread() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert lib.pr_tasks() == 2
        with pytest.raises(OSError) as refused:
            KERNEL.clone3(0, -1, 0)
        assert refused.value.errno == errno.EDEADLK
    finally:
        stop.set()
        end(thread)


def test_clone3_that_fails_leaves_the_interpreter_usable() -> None:
    for _ in range(3):
        with pytest.raises(OSError) as refused:
            KERNEL.clone3(1 << 40, -1, 0)
        assert refused.value.errno == errno.EINVAL
    thread = threading.Thread(target=lambda: None)
    thread.start()
    end(thread)


def test_clone3_makes_namespaces() -> None:
    kinds = {"uts": lib.CLONE_NEWUTS, "ipc": lib.CLONE_NEWIPC, "net": lib.CLONE_NEWNET, "mnt": lib.CLONE_NEWNS,
             "pid": lib.CLONE_NEWPID, "user": lib.CLONE_NEWUSER, "cgroup": lib.CLONE_NEWCGROUP}
    ready, go = os.pipe()
    pid, pidfd = KERNEL.clone3(sum(kinds.values()), -1, SIGKILL)
    if pid == 0:
        os.close(go)
        os.read(ready, 1)
        os._exit(os.getpid())
    for kind in kinds:
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    os.close(go)
    assert wait(pid) == 1      # it was pid 1
    os.close(ready)
    os.close(pidfd)


def test_clone3_into_a_cgroup() -> None:
    def act() -> None:
        mount = Path("/tmp")
        assert lib.pr_mount(b"cgroup2", bytes(mount), b"cgroup2", 0, b"") == 0
        cgroup = mount / f"pyrunc-test-{os.getpid()}"
        cgroup.mkdir()
        try:
            fd = os.open(cgroup, os.O_PATH)
            pid, _ = KERNEL.clone3(0, fd, SIGKILL)
            if pid == 0:
                line = next(line for line in Path("/proc/self/cgroup").read_text().splitlines()
                            if line.startswith("0::"))
                os._exit(0 if line.endswith(cgroup.name) else 1)
            assert wait(pid) == 0
        finally:
            cgroup.rmdir()
    forked(act, lib.CLONE_NEWNS)


def test_clone_parent_makes_a_sibling() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        inner, _ = KERNEL.clone3(lib.CLONE_PARENT, -1, 0)
        if inner == 0:
            os.write(writing, f"{os.getpid()} {os.getppid()}".encode())
            os._exit(9)
        os._exit(0)
    assert wait(pid) == 0
    sibling, parent = map(int, os.read(reading, 100).split())
    assert parent == os.getpid()
    assert wait(sibling) == 9
    os.close(reading)
    os.close(writing)


def test_child_dies_with_its_parent() -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        os.close(reading)
        pid, _ = KERNEL.clone3(lib.CLONE_NEWPID, -1, SIGKILL)
        if pid == 0:
            time.sleep(60)
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    assert wait(parent) == -SIGKILL
    began = time.monotonic()
    assert os.read(reading, 1) == b""      # closed by the death of the last holder
    assert time.monotonic() - began < 30
    os.close(reading)


def test_change_of_ids_keeps_the_parent_death_signal() -> None:
    def act() -> tuple[int, int, dict[str, str]]:
        lib.pr_prctl(lib.PR_SET_PDEATHSIG, signal.SIGUSR1, 0, 0, 0)
        assert lib.pr_setgroups(2, ffi.new("uint32_t[]", [7, 8])) == 0
        assert lib.pr_setresgid(1234) == 0
        assert lib.pr_setresuid(1233) == 0
        kept = ffi.new("int *")
        assert lib.pr_prctl(lib.PR_GET_PDEATHSIG, int(ffi.cast("uintptr_t", kept)), 0, 0, 0) == 0
        return kept[0], signal.SIGUSR1, status_of()
    kept, wanted, status = forked(act)
    assert kept == wanted
    assert status["Uid"].split() == ["1233"] * 4
    assert status["Gid"].split() == ["1234"] * 4
    assert status["Groups"].split() == ["7", "8"]
