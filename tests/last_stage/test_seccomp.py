"""The filter is loaded, and what the last stage still needs under it."""
from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pyrunc._native import lib
from pyrunc.kernel.last_stage import (
    OP_BARRIER,
    OP_CHDIR,
    OP_CLOSE_FROM,
    OP_EXEC,
    OP_FIND_EXECUTABLE,
    OP_NO_NEW_PRIVS,
    OP_NO_PDEATHSIG,
    OP_SECCOMP,
    OP_UMASK,
    OP_VERIFY_CWD,
    OP_WAIT_START,
    pack_exec,
    pack_strings,
)

from .stage import CAP_KILL, Stage, become, execute, op, run, shell

KILL, ALLOW, NOTIFY = 0x80000000, 0x7fff0000, 0x7fc00000
_NAMES = subprocess.run(["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], capture_output=True,
                        text=True, check=True).stdout
NUMBERS = {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", _NAMES, re.M)}


def seccomp(names: Sequence[str], listed: int, others: int) -> bytes:
    """A filter with one action for the system calls named, and one for all others."""
    lines = [(0x20, 0, 0, 0)]
    known = [NUMBERS[name] for name in names if name in NUMBERS]
    for index, number in enumerate(known):
        lines.append((0x15, len(known) - index, 0, number))
    return b"".join(struct.pack("HBBI", *line) for line in [*lines, (6, 0, 0, others), (6, 0, 0, listed)])


def test_seccomp_filter_is_in_force() -> None:
    told = run([op(OP_SECCOMP, data=seccomp(["uname"], 0x00050000 | errno.EXDEV, ALLOW)),
                *shell("uname; grep Seccomp: /proc/self/status")])
    assert "nvalid cross-device link" in told.out
    assert told.out.split()[-1] == "2"


@pytest.fixture(scope="session")
def tiny() -> Iterator[Path]:
    """A program that makes two system calls, write and exit, where every user may execute it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield build_tiny(Path(name))


def build_tiny(directory: Path) -> Path:
    (directory / "tiny.c").write_text("""
        #include <sys/syscall.h>
        static long call(long n, long a, long b, long c) {
        #ifdef __x86_64__
            long r; __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
            return r;
        #else
            register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
            __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
            return x0;
        #endif
        }
        void _start(void) { call(SYS_write, 1, (long)"tiny\\n", 5); call(SYS_exit, 0, 0, 0); }
    """)
    subprocess.run(["gcc", "-O1", "-static", "-nostdlib", "-fno-stack-protector", "-o", directory / "tiny",
                    directory / "tiny.c"], check=True)
    return directory / "tiny"


def test_loaded_last_the_filter_needs_to_allow_nearly_nothing(tiny: Path, tmp_path: Path) -> None:
    """With no_new_privs: read for start, close, prctl and execve; every other system call kills."""
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    os.write(fifo, b"s")
    needed = ["read", "close", "prctl", "execve", "write", "exit"]
    told = run([op(OP_NO_NEW_PRIVS), op(OP_FIND_EXECUTABLE, data=pack_strings([str(tiny), ""])),
                op(OP_SECCOMP, data=seccomp(needed, ALLOW, KILL)),
                op(OP_WAIT_START, fifo), op(OP_NO_PDEATHSIG), op(OP_CLOSE_FROM, 3),
                op(OP_EXEC, data=pack_exec([str(tiny)], []))])
    os.close(fifo)
    assert (told.status, told.out) == (0, "tiny\n"), told.text


def test_loaded_early_the_filter_needs_to_allow_what_setting_ids_takes(tiny: Path) -> None:
    """Without no_new_privs it must be loaded before privileges are dropped, so the rest runs under it."""
    usual = ["prctl", "setgroups", "setresgid", "setresuid", "capset", "capget", "getresuid",
             "getresgid", "getgroups", "stat", "newfstatat", "faccessat2", "close", "execve", "write", "exit"]
    told = run([op(OP_CHDIR, 1, data=b"/\0"), op(OP_SECCOMP, data=seccomp(usual, ALLOW, KILL)),
                *become(1000, 1000, [7], CAP_KILL, CAP_KILL), op(OP_CHDIR, data=b"/\0"), op(OP_VERIFY_CWD),
                op(OP_FIND_EXECUTABLE, data=pack_strings([str(tiny), ""])), op(OP_NO_PDEATHSIG), op(OP_CLOSE_FROM, 3),
                op(OP_EXEC, data=pack_exec([str(tiny)], []))])
    assert (told.status, told.out) == (0, "tiny\n"), told.text


def test_filter_that_refuses_reading_back_is_not_taken_for_a_mismatch() -> None:
    refuse = seccomp(["getresuid", "getgroups", "capget", "getcwd"], 0x00050000 | errno.EPERM, ALLOW)
    told = run([op(OP_CHDIR, 1, data=b"/tmp\0"), op(OP_SECCOMP, data=refuse), *become(1000, 1000, [7], CAP_KILL),
                op(OP_VERIFY_CWD), *execute("/bin/echo", "ran")])
    assert told.out == "ran\n", told.text


def test_refused_getcwd_without_an_earlier_answer_is_an_error() -> None:
    refuse = seccomp(["getcwd"], 0x00050000 | errno.EPERM, ALLOW)
    told = run([op(OP_SECCOMP, data=refuse), op(OP_CHDIR, data=b"/tmp\0"), *shell("true")])
    assert told.failure[1] == errno.EPERM


def test_notify_listener_goes_to_the_parent() -> None:
    ours, theirs = socket.socketpair()
    stage = Stage(lambda: [op(OP_SECCOMP, 0, 1, data=seccomp(["uname"], NOTIFY, ALLOW)),
                           op(OP_BARRIER, theirs.fileno()), *shell("uname")])
    theirs.close()
    assert ours.recv(1) == b"\n"
    pidfd = os.pidfd_open(stage.pid)
    listener = lib.pr_pidfd_getfd(pidfd, stage.page.listener_fd)
    assert listener >= 0
    ours.send(b"\n")
    select.select([listener], [], [])
    # struct seccomp_notif: id, pid, flags, data; the answer is struct seccomp_notif_resp: id, val, error, flags
    request = bytearray(80)
    fcntl.ioctl(listener, 0xc0502100, request)
    key, pid = struct.unpack_from("=QI", request)
    assert pid > 0
    fcntl.ioctl(listener, 0xc0182101, struct.pack("=QqiI", key, 0, -errno.EDOM, 0))
    assert "argument out of domain" in stage.told().out
    for fd in (listener, pidfd):
        os.close(fd)
    ours.close()


@pytest.mark.parametrize("data", [b"", b"1234567", b"x" * 8 * 4097])
def test_no_filter_is_refused_before_anything_happens(data: bytes, tmp_path: Path) -> None:
    told = run([op(OP_UMASK, 0), op(OP_SECCOMP, data=data), *shell("true")])
    assert told.failure == ("operation 1 of the last stage: not a filter", errno.EINVAL)
