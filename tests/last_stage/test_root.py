"""Switching the root, and what is done to it afterwards."""
from __future__ import annotations

import errno
import os
import re
import signal
import time
from pathlib import Path

import pytest

from pyrunc._native import lib
from pyrunc.kernel.last_stage import OP_CHROOT, OP_MOVE_ROOT, OP_PIVOT_ROOT, OP_PROPAGATION, OP_SETNS

from ..forked import os_unshare
from .stage import Op, execute, in_root, make_root, op, run, shell


def test_pivot_root_leaves_nothing_of_the_host(tmp_path: Path) -> None:
    told = run(in_root(tmp_path, *shell("cat /proc/self/mountinfo; ls /; pwd; ls -l /proc/self/fd")), lib.CLONE_NEWNS)
    assert told.status == 0, told.out
    lines = told.out.splitlines()
    points = [line.split()[4] for line in lines if " - " in line]
    assert points == ["/", "/proc"]
    assert lines[2:7] == ["bin", "dev", "proc", "tmp", "/"]
    assert not re.search(r"-> /(?!dev/|proc/)", told.out)


def test_pivot_root_onto_something_else_is_an_error(tmp_path: Path) -> None:
    def act() -> list[Op]:
        return [op(OP_PIVOT_ROOT, os.open(tmp_path, os.O_PATH)), *shell("true")]      # no mount point
    text, number = run(act, lib.CLONE_NEWNS).failure
    assert text == "pivot_root"
    assert number in (errno.EBUSY, errno.EINVAL)                 # the latter on a machine whose root is a ramfs


def test_move_root(tmp_path: Path) -> None:
    def act() -> list[Op]:
        return [op(OP_MOVE_ROOT, make_root(tmp_path)), *shell("ls /; pwd; ls /..")]
    told = run(act, lib.CLONE_NEWNS)
    assert told.out.split() == ["bin", "dev", "proc", "tmp", "/", "bin", "dev", "proc", "tmp"]


def test_chroot(tmp_path: Path) -> None:
    def act() -> list[Op]:
        return [op(OP_CHROOT, make_root(tmp_path)), *shell("ls /; pwd")]
    assert run(act, lib.CLONE_NEWNS).out.split() == ["bin", "dev", "proc", "tmp", "/"]


@pytest.mark.parametrize(("flag", "seen"), [("MS_SHARED", "shared:"), ("MS_UNBINDABLE", "unbindable"),
                                            ("MS_PRIVATE", "")])
def test_propagation(tmp_path: Path, flag: str, seen: str) -> None:
    told = run(in_root(tmp_path, op(OP_PROPAGATION, getattr(lib, flag)), *execute("/bin/cat", "/proc/self/mountinfo")),
               lib.CLONE_NEWNS)
    root = told.out.splitlines()[0].split(" - ")[0].split()
    assert root[4] == "/"
    assert " ".join(root[6:]).startswith(seen)
    assert bool(root[6:]) == bool(seen)


def test_join_a_mount_namespace(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os_unshare(lib.CLONE_NEWNS)
        make_root(tmp_path)
        os.chroot(tmp_path)
        os.write(writing, b"x")
        time.sleep(60)
    os.read(reading, 1)
    try:
        def act() -> list[Op]:
            return [op(OP_SETNS, os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), lib.CLONE_NEWNS),
                    op(OP_SETNS, os.open("/proc/self/ns/uts", os.O_RDONLY), lib.CLONE_NEWNET), *shell("true")]
        assert run(act).failure == ("join a namespace", errno.EINVAL)          # a uts namespace as network
        told = run(lambda: [*act()[:1], *execute("/bin/cat", "/proc/self/mountinfo")])
        assert f" {tmp_path} " in told.out
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)
