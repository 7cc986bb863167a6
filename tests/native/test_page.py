"""The journal page."""
from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from pyrunc._native import ffi, lib

from .process import wait

SIGKILL = int(signal.SIGKILL)


def test_page_is_shared_and_outlives_its_writer(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "journal", os.O_RDWR | os.O_CREAT)
    page = lib.pr_page_map(fd, 1)
    assert (page.magic, page.version, page.parent_step, page.child_step) == (lib.PAGE_MAGIC, lib.PAGE_VERSION, -1, -1)
    pid = os.fork()
    if pid == 0:
        page.child_step = 7
        os.kill(os.getpid(), signal.SIGKILL)
    assert wait(pid) == -SIGKILL
    assert page.child_step == 7
    again = lib.pr_page_map(fd, 0)
    assert again.child_step == 7
    lib.pr_page_unmap(again)
    lib.pr_page_unmap(page)
    os.close(fd)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\0" * 65536], ids=["empty", "short", "foreign"])
def test_page_of_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)
    fd = os.open(tmp_path / "journal", os.O_RDWR)
    assert lib.pr_page_map(fd, 0) == ffi.NULL
    assert ffi.errno == errno.EINVAL
    os.close(fd)


def test_now_is_the_monotonic_clock() -> None:
    before = time.monotonic_ns()
    assert before <= lib.pr_now() <= time.monotonic_ns()
