"""The journal page."""
from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from pyrunc._native import ffi, lib
from pyrunc.kernel import page as journal

from ..forked import forked
from .process import wait

SIGKILL = int(signal.SIGKILL)


def test_page_is_shared_and_outlives_its_writer(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "journal", os.O_RDWR | os.O_CREAT)
    page = lib.pr_page_map(fd, 5000)
    assert (page.magic, page.version, page.steps) == (lib.PAGE_MAGIC, lib.PAGE_VERSION, 5000)
    assert (page.parent_step, page.child_step, page.child_pid, page.listener_fd) == (-1, -1, 0, -1)
    pid = os.fork()
    if pid == 0:
        page.child_step = 7
        page.times[4999].end = 12
        os.kill(os.getpid(), signal.SIGKILL)
    assert wait(pid) == -SIGKILL
    assert (page.child_step, page.times[4999].end, page.times[4998].end) == (7, 12, 0)
    assert os.pread(fd, 4, 16) == (7).to_bytes(4, sys.byteorder)         # the rest of it is nobody else's
    assert os.fstat(fd).st_size == lib.PAGE_FILE
    lib.pr_page_unmap(page, 5000)
    os.close(fd)


def test_a_page_needs_no_file() -> None:
    page = lib.pr_page_map(-1, 0)
    pid = os.fork()
    if pid == 0:
        page.child_pid = 3
        os._exit(0)
    assert wait(pid) == 0
    assert page.child_pid == 3
    lib.pr_page_unmap(page, 0)


# An ordinary hole in a file would be found to have no room when it is written to: by a SIGBUS.
@pytest.mark.parametrize("free", [0, 4096])
def test_a_page_without_room_is_an_error_and_not_a_signal(free: int, tmp_path: Path) -> None:
    def act() -> int:
        assert lib.pr_mount(b"room", bytes(tmp_path), b"tmpfs", 0, f"size={4096 + free}".encode()) == 0
        (tmp_path / "other").write_bytes(bytes(4096))
        page = lib.pr_page_map(os.open(tmp_path / "journal", os.O_RDWR | os.O_CREAT), 100)
        if page == ffi.NULL:
            return int(ffi.errno)
        page.text[2047] = b"x"
        page.times[99].end = 1
        return 0
    assert forked(act, lib.CLONE_NEWNS) == (0 if free else errno.ENOSPC)


def test_now_is_the_monotonic_clock() -> None:
    before = time.monotonic_ns()
    assert before <= lib.pr_now() <= time.monotonic_ns()


def test_the_layout_is_the_compilers() -> None:
    parts = ffi.fields("page_t")
    assert [parts[name][0] for name in journal.MEMBERS] == [4 * number for number in range(len(journal.MEMBERS))]
    assert parts["text"] == (journal.TEXT, journal.TEXT_SIZE)
    assert [journal.PHASE_NONE, journal.PHASE_CHILD, journal.PHASE_LAST, journal.PHASE_WAITING, journal.PHASE_EXEC,
            journal.PHASE_FAILED] == [lib.PHASE_NONE, lib.PHASE_CHILD, lib.PHASE_LAST, lib.PHASE_WAITING,
                                      lib.PHASE_EXEC, lib.PHASE_FAILED]


def test_a_page_of_a_file_reads_as_the_mapped_one(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "journal", os.O_RDWR | os.O_CREAT)
    mapped = lib.pr_page_map(fd, 10)
    mapped.parent_step, mapped.child_step, mapped.error, mapped.child_pid = 3, 7, 2, 4711
    mapped.text = journal.text_of("mounts[1].options[0]", "mount  proc\non /proc") + b"\0is it there\0"
    for seen in (mapped, journal.read(os.pread(fd, journal.TEXT + journal.TEXT_SIZE, 0))):
        assert [getattr(seen, name) for name in journal.MEMBERS] == [
            getattr(mapped, name) for name in journal.MEMBERS]
        assert journal.last_words(seen) == ("mounts[1].options[0]", "mount proc on /proc", "is it there")
    lib.pr_page_unmap(mapped, 10)
    os.close(fd)
