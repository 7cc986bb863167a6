"""Namespaces, signals, limits, ids, keyrings."""
from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
import time
from pathlib import Path

import pytest

from pyrunc._native import lib
from pyrunc.kernel.linux import Kernel

from ..forked import forked
from .process import status_of, wait

KERNEL = Kernel()


def test_unshare_and_setns() -> None:
    def act() -> None:
        before = os.readlink("/proc/self/ns/uts")
        own = os.open("/proc/self/ns/uts", os.O_RDONLY)
        KERNEL.unshare(lib.CLONE_NEWUTS)
        assert os.readlink("/proc/self/ns/uts") != before
        KERNEL.sethostname("inside")
        KERNEL.setdomainname("domain")
        assert (os.uname().nodename, Path("/proc/sys/kernel/domainname").read_text()) == ("inside", "domain\n")
        KERNEL.setns(own, lib.CLONE_NEWUTS)
        assert os.readlink("/proc/self/ns/uts") == before
        with pytest.raises(OSError) as wrong:
            KERNEL.setns(own, lib.CLONE_NEWNET)
        assert wrong.value.errno == errno.EINVAL
    forked(act)


def test_pidfd() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    fd = KERNEL.pidfd_open(pid)
    theirs = KERNEL.pidfd_getfd(fd, writing)
    os.write(theirs, b"x")
    assert os.read(reading, 1) == b"x"
    KERNEL.pidfd_send_signal(fd, signal.SIGTERM)
    assert wait(pid) == -signal.SIGTERM
    with pytest.raises(OSError) as gone:
        KERNEL.pidfd_send_signal(fd, 0)
    assert gone.value.errno == errno.ESRCH
    for each in (fd, theirs, reading, writing):
        os.close(each)


def test_prlimit_of_another_process() -> None:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    KERNEL.prlimit(pid, resource.RLIMIT_NOFILE, 100, 200)
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (100, 200)
    KERNEL.prlimit(pid, resource.RLIMIT_CORE, 0, 2**64 - 1)
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, resource.RLIM_INFINITY)
    os.kill(pid, signal.SIGKILL)
    wait(pid)


def test_close_range() -> None:
    def act() -> None:
        low = os.dup(0)
        high = fcntl.fcntl(0, fcntl.F_DUPFD, 200)
        assert lib.pr_close_range(high, 0xffffffff, lib.CLOSE_RANGE_CLOEXEC) == 0
        assert fcntl.fcntl(high, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
        assert lib.pr_close_range(high, high, 0) == 0
        with pytest.raises(OSError):
            os.fstat(high)
        os.fstat(low)
    forked(act)


def test_signals_are_default_and_unblocked_after_reset() -> None:
    def act() -> tuple[dict[str, str], dict[str, str]]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert lib.pr_signals_block() == 0
        blocked = status_of()
        assert lib.pr_signals_reset() == 0
        return blocked, status_of()
    blocked, after = forked(act)
    assert int(blocked["SigIgn"], 16) & 1 << signal.SIGPIPE - 1        # CPython's doing
    assert int(blocked["SigBlk"], 16) == 0xfffffffe7ffbfeff & ~(1 << 31 | 1 << 32) & 0xffffffffffffffff
    assert [int(after[key], 16) for key in ("SigBlk", "SigIgn", "SigCgt")] == [0, 0, 0]


def test_signalfd_reads_blocked_signals() -> None:
    def act() -> int:
        fd = lib.pr_signalfd()
        with pytest.raises(BlockingIOError):
            os.read(fd, 128)
        lib.pr_signals_block()
        os.kill(os.getpid(), signal.SIGTERM)
        return int(struct.unpack("=I", os.read(fd, 128)[:4])[0])
    assert forked(act) == signal.SIGTERM


def test_prctl_reports_errors() -> None:
    with pytest.raises(OSError) as unknown:
        KERNEL.prctl(0x7fffffff)
    assert unknown.value.errno == errno.EINVAL


def test_setresuid_of_no_id_is_refused_or_nothing() -> None:
    """-1 means "leave it" to the kernel: the callers' range check is what refuses it (last_check.c for the stage)."""
    def act() -> tuple[int, ...]:
        lib.pr_setresuid(1000)
        assert lib.pr_setresuid(0) == -1
        return os.getresuid()
    assert forked(act) == (1000, 1000, 1000)


def test_affinity() -> None:
    def act() -> set[int]:
        first = min(os.sched_getaffinity(0))
        mask = bytearray(first // 8 + 1)
        mask[first // 8] = 1 << first % 8
        assert lib.pr_sched_setaffinity(0, bytes(mask), len(mask)) == 0
        return os.sched_getaffinity(0) - {first}
    assert forked(act) == set()


def test_session_keyring() -> None:
    def act() -> str:
        serial = KERNEL.join_session_keyring("_ses.test")
        KERNEL.keyring_permit(serial, 0x00080000)              # KEY_USR_SEARCH
        libc = ctypes.CDLL(None, use_errno=True)
        about = ctypes.create_string_buffer(200)
        describe = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
        assert libc.syscall(describe, 6, serial, about, 200) > 0
        return about.value.decode()
    kind, _uid, _gid, permissions, name = forked(act).split(";")
    assert (kind, name) == ("keyring", "_ses.test")
    assert int(permissions, 16) & 0x00080000


def test_loopback_up() -> None:
    def act() -> None:
        KERNEL.unshare(lib.CLONE_NEWNET)
        with socket.socket() as closed, pytest.raises(OSError):
            closed.connect(("127.0.0.1", 9))
        KERNEL.loopback_up()
        server = socket.create_server(("127.0.0.1", 0))
        socket.create_connection(server.getsockname()).close()
    forked(act)
