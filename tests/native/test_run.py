"""Programs: what they get, what is kept of what they print, and how they end."""
from __future__ import annotations

import errno
import fcntl
import os
import re
import resource
import signal
import time
from pathlib import Path

import pytest

from pyrunc.kernel.linux import Kernel

from ..forked import forked

KERNEL = Kernel()


def run(script: str, stdin: bytes = b"", timeout: float | None = 60, env: tuple[str, ...] = ()) -> tuple[int, str]:
    """(status, what it has printed on either stream)"""
    status, out, err = KERNEL.run_program("/bin/sh", ["sh", "-c", script], env, stdin, timeout)
    return status, out + err


def test_program_gets_exactly_what_it_is_given() -> None:
    os.environ["PYRUNC_TEST_SECRET"] = "x"
    leak = fcntl.fcntl(0, fcntl.F_DUPFD, 50)
    try:
        assert os.get_inheritable(leak)
        status, out = run("env; cat; ls /proc/self/fd", b"state\n", env=("A=b", "C=d"))
    finally:
        os.close(leak)
        del os.environ["PYRUNC_TEST_SECRET"]
    assert status == 0
    lines = out.split()
    assert {"A=b", "C=d"} <= set(lines[:3])
    assert all(line.startswith(("A=", "C=", "PWD=")) for line in lines[:3])
    assert lines[3:] == ["state", "0", "1", "2", "3"]          # 3 is the directory that ls reads


def test_program_with_default_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        out = run("grep Sig /proc/self/status")[1]
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    masks = dict(re.findall(r"(Sig\w+):\s+(\w+)", out))
    assert int(masks["SigBlk"], 16) == int(masks["SigIgn"], 16) == 0


@pytest.mark.parametrize(("script", "status"), [
    ("exit 3", 3 << 8), ("kill -9 $$", 9), ("exit 0", 0)])
def test_program_status(script: str, status: int) -> None:
    assert run(script) == (status, "")


@pytest.mark.parametrize(("size", "kept"), [
    (0, 0), (1, 1), (4095, 4095), (4096, 4096), (4097, 4096), (5000, 4096), (8192, 4096), (8193, 4096),
    (1_000_000, 4096)])
def test_program_that_prints_more_than_is_kept(size: int, kept: int) -> None:
    """The end of each stream stays, whatever the other has."""
    script = f"yes 0123456789 | head -c {size}; yes abcdefghi | head -c {size} >&2; exit 4"
    status, out, err = KERNEL.run_program("/bin/sh", ["sh", "-c", script], ["PATH=/usr/bin:/bin"], b"", 60)
    assert status >> 8 == 4
    for text, line in ((out, "0123456789\n"), (err, "abcdefghi\n")):
        printed = (line * (size // len(line) + 1))[:size]
        assert text == (printed if kept == size else "..." + printed[size - kept:])


@pytest.mark.parametrize("bytes", [1, 7, 4096, 4097, 65536])
def test_the_end_stays_in_pieces_of_any_size(bytes: int) -> None:
    status, _, err = KERNEL.run_program(
        "/bin/sh", ["sh", "-c", f"yes 0123456789 | head -c 70000 | dd bs={bytes} iflag=fullblock >&2 2>/dev/null; "
                                "echo FATAL: the reason >&2; exit 1"], ["PATH=/usr/bin:/bin"], b"", 60)
    assert status == 1 << 8 and err.startswith("...") and err.endswith("FATAL: the reason\n") and len(err) == 4099


def test_bytes_that_are_no_text() -> None:
    script = r"printf 'a\000b'; printf '\377\303\251' >&2"
    _, out, err = KERNEL.run_program("/bin/sh", ["sh", "-c", script], [], b"", 60)
    assert (out, err) == ("a\0b", "\\xffé")
    long = "é" * 3000 + "x"                     # 4,096 bytes before the end are the second of a character
    _, out, _ = KERNEL.run_program("/bin/cat", ["cat"], [], long.encode(), 60)
    assert out == "..." + "é" * 2047 + "x"


def test_memory_is_bounded_whatever_a_program_prints() -> None:
    def act() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        run("yes 0123456789 | head -c 300000000")
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert forked(act) < 2000           # KiB


def test_program_that_does_not_read_its_stdin() -> None:
    assert run("exit 0", b"x" * 1_000_000) == (0, "")
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN      # as before


def test_program_reads_all_of_a_large_stdin() -> None:
    assert run("wc -c", b"x" * 1_000_000) == (0, "1000000\n")


def test_program_runs_out_of_time() -> None:
    for limit in (0.3, 3, 30):                       # the shell must come to its first command
        began = time.monotonic()
        status, out = run("echo begun; sleep 1000", timeout=limit)
        assert status == -2 and time.monotonic() - began > 0.8 * limit
        if out:
            break
    assert out == "begun\n"


def test_program_without_time_limit() -> None:
    assert run("sleep 0.2; echo done", timeout=None) == (0, "done\n")


def test_program_that_leaves_a_daemon_behind() -> None:
    """Its end counts, not that of a pipe which something else still holds."""
    status, out = run("sleep 1000 & echo $!", timeout=None)
    os.kill(int(out), signal.SIGKILL)
    assert status == 0


def test_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        KERNEL.run_program("/nowhere/hook", ["hook"], [], b"", 1)
    assert missing.value.filename == "/nowhere/hook"
    (tmp_path / "plain").touch(0o644)
    with pytest.raises(PermissionError):
        KERNEL.run_program(str(tmp_path / "plain"), ["x"], [], b"", 1)


def test_program_in_a_directory(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    assert KERNEL.run_program("/bin/pwd", ["pwd"], [], b"", 60, fd) == (0, f"{tmp_path}\n", "")
    os.close(fd)


def test_program_with_closed_stdio() -> None:
    def act() -> tuple[int, str]:
        for fd in range(3):
            os.close(fd)
        return run("cat", b"text")
    assert forked(act) == (0, "text")


def test_program_with_sigchld_ignored_is_an_error_not_a_success() -> None:
    def act() -> int:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with pytest.raises(OSError) as unknown:
            run("exit 1")
        return unknown.value.errno or 0
    assert forked(act) == errno.ECHILD


def test_program_that_prints_into_files(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    for streams, kept in (((fd, -1), ("", "err\n")), ((-1, fd), ("out\n", "")), ((fd, fd), ("", ""))):
        assert KERNEL.run_program("/bin/sh", ["sh", "-c", "echo out; echo err >&2"], [], b"", 60, streams=streams) \
            == (0, *kept)
    os.close(fd)
    assert (tmp_path / "out").read_text() == "out\nerr\nout\nerr\n"


def test_programs_leave_no_descriptor() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(20):
        run("echo x", b"y", timeout=1)
        with pytest.raises(OSError):
            KERNEL.run_program("/nowhere", ["x"], [], b"", 1)
    assert sorted(os.listdir("/proc/self/fd")) == before
