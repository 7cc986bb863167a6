"""execve: arguments, signals and descriptors; the journal page."""
from __future__ import annotations

import errno
import os
import re
import signal
from pathlib import Path

from pyrunc._native import lib
from pyrunc.kernel.last_stage import OP_CHDIR, OP_CLOSE_FROM, OP_EXEC, OP_UMASK, OP_VERIFY_CWD, pack_exec

from .stage import Op, execute, in_root, op, run, shell


def test_exec_gets_args_and_environment() -> None:
    told = run(execute("/usr/bin/env", "-0", env=["A=b", "EMPTY=", "C=d e\nf"]))
    assert (told.status, told.out) == (0, "A=b\0EMPTY=\0C=d e\nf\0")
    assert told.page.phase == lib.PHASE_EXEC
    told = run(execute("/bin/sh", "-c", 'for i in "$@"; do echo "<$i>"; done', "x", "", "a b"))
    assert told.out == "<>\n<a b>\n"


def test_exec_with_default_signals_and_empty_mask() -> None:
    def act() -> list[Op]:
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        for number in (signal.SIGHUP, signal.SIGRTMIN, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)
        return execute("/bin/cat", "/proc/self/status")
    masks = re.findall(r"Sig(?:Blk|Ign|Cgt):\t(\w+)", run(act).out)
    assert [int(mask, 16) for mask in masks] == [0, 0, 0]


def test_exec_gets_no_descriptor_of_ours() -> None:
    def act() -> list[Op]:
        for number in (5, 9, 77, 300):
            os.dup2(os.open("/", os.O_PATH), number, inheritable=True)
        return execute("/bin/ls", "/proc/self/fd")
    assert run(act).out.split() == ["0", "1", "2", "3"]           # 3 is the directory that ls reads


def test_preserved_descriptors_stay() -> None:
    def act() -> list[Op]:
        for number in (3, 4, 5):
            os.dup2(0, number, inheritable=True)
        return [op(OP_CLOSE_FROM, 5), op(OP_EXEC, data=pack_exec(["/bin/ls", "/proc/self/fd"], []))]
    assert run(act).out.split() == ["0", "1", "2", "3", "4", "5"]


def test_directories_are_closed_before_the_root_is_switched(tmp_path: Path) -> None:
    # CVE-2024-21626: a descriptor of a directory of the host, by name
    def act() -> list[Op]:
        os.dup2(os.open("/", os.O_PATH), 9, inheritable=True)
        return [*in_root(tmp_path, op(OP_CHDIR, data=b"/proc/self/fd/9\0"))(), *shell("pwd")]
    assert run(act, lib.CLONE_NEWNS).failure == ('chdir to cwd ("/proc/self/fd/9") set in config.json failed',
                                                 errno.ENOENT)


def test_directory_of_the_host_as_cwd_is_refused(tmp_path: Path) -> None:
    def act() -> list[Op]:
        os.dup2(os.open("/", os.O_PATH), 3, inheritable=True)        # as if --preserve-fds had let it in
        return [*in_root(tmp_path, op(OP_CHDIR, data=b"/proc/self/fd/3\0"), op(OP_VERIFY_CWD))(),
                op(OP_CLOSE_FROM, 4), op(OP_EXEC, data=pack_exec(["/bin/sh"], []))]
    text, number = run(act, lib.CLONE_NEWNS).failure
    assert "outside of container mount namespace root" in text
    assert number == 0


def test_journal_has_step_and_time_of_every_operation() -> None:
    told = run([op(OP_UMASK, 0o22), op(OP_UMASK, 0o27), *shell("umask")])
    assert told.out == "0027\n"
    assert told.page.child_step == 5
    times = [(slot.start, slot.end) for slot in map(told.page.times.__getitem__, range(5))]
    assert all(0 < start <= end for start, end in times)
    assert times == sorted(times)
    assert told.page.times[5].start and not told.page.times[5].end        # execve has no end
