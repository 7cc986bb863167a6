"""What the container's process inherits, its working directory included."""
from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

from pyrunc._native import lib
from pyrunc.kernel.last_stage import (
    OP_CAPSET,
    OP_CHDIR,
    OP_IOPRIO,
    OP_MEMPOLICY,
    OP_NO_NEW_PRIVS,
    OP_PERSONALITY,
    OP_SCHEDULER,
    OP_SETUID,
    OP_VERIFY_CWD,
    pack_nodes,
    pack_scheduler,
    pack_strings,
)

from ..world import let_in
from .stage import Op, execute, op, run, shell


def test_no_new_privileges() -> None:
    told = run([op(OP_NO_NEW_PRIVS), *execute("/bin/grep", "NoNewPrivs", "/proc/self/status")])
    assert told.out.split() == ["NoNewPrivs:", "1"]


def test_scheduler_and_io_priority() -> None:
    told = run([op(OP_SCHEDULER, data=pack_scheduler(3, nice=7)), op(OP_IOPRIO, 2 << 13 | 5),
                *shell("chrt -p $$; ionice -p $$; ps -o ni= -p $$")])
    assert "SCHED_BATCH" in told.out
    assert "best-effort: prio 5" in told.out
    assert told.out.split()[-1] == "7"


def test_personality() -> None:
    told = run([op(OP_PERSONALITY, 0x0008), *execute("/bin/uname", "-m")])         # PER_LINUX32
    assert told.out.strip() != os.uname().machine


def test_memory_policy() -> None:
    width, nodes = pack_nodes([0])
    told = run([op(OP_MEMPOLICY, 2, width, data=nodes), *execute("/bin/cat", "/proc/self/numa_maps")])
    if told.page.phase == lib.PHASE_FAILED:                                        # a kernel without NUMA
        assert told.failure == ("set the memory policy", errno.ENOSYS)
    else:
        assert "bind:0" in told.out


def test_parent_death_signal_is_cleared() -> None:
    def act() -> list[Op]:
        lib.pr_prctl(lib.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        return [op(OP_SETUID, 12), *execute("/usr/bin/python3", "-c", """
import ctypes
value = ctypes.c_int(-1)
ctypes.CDLL(None).prctl(2, ctypes.byref(value))
print(value.value)""")]
    assert run(act).out == "0\n"


def first_try(directory: Path) -> Op:
    """As root; EACCES is left for the second try."""
    return op(OP_CHDIR, 1, data=pack_strings([str(directory)]))


def second_try(directory: Path) -> Op:
    """As the container's user."""
    return op(OP_CHDIR, data=pack_strings([str(directory)]))


def test_cwd(tmp_path: Path) -> None:
    told = run([first_try(tmp_path), second_try(tmp_path), op(OP_VERIFY_CWD),
                *execute("/bin/pwd")])
    assert told.out == f"{tmp_path}\n"


def test_cwd_that_only_root_may_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    told = run([first_try(tmp_path), op(OP_SETUID, 1000), second_try(tmp_path),
                op(OP_VERIFY_CWD), *execute("/bin/pwd")])
    assert told.out == f"{tmp_path}\n"


def test_cwd_that_only_the_user_may_enter(tmp_path: Path) -> None:
    """Root without capabilities stands for root on a file system where it means nothing."""
    let_in(tmp_path.parent)
    os.chown(tmp_path, 1000, 1000)
    tmp_path.chmod(0o700)
    drop = op(OP_CAPSET, 1 << 7, 1 << 7, 0)                                   # keeps CAP_SETUID
    told = run([drop, first_try(tmp_path), op(OP_SETUID, 1000), second_try(tmp_path),
                op(OP_VERIFY_CWD), *execute("/bin/pwd")])
    assert told.out == f"{tmp_path}\n"
    told = run([drop, first_try(tmp_path), second_try(tmp_path), *shell("true")])
    assert told.failure == (f'chdir to cwd ("{tmp_path}") set in config.json failed', errno.EACCES)


def test_cwd_that_is_not_there() -> None:
    told = run([op(OP_CHDIR, 1, data=b'/no"where\n\0'), *shell("true")])
    assert told.failure == (r'chdir to cwd ("/no\"where\n") set in config.json failed', errno.ENOENT)
