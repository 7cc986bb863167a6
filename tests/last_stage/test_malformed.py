"""Operations that are not well-formed are refused before the first effect."""
from __future__ import annotations

import errno
import os
import struct

import pytest

from pyrunc._native import ffi, lib
from pyrunc.kernel.last_stage import (
    OP_CHDIR,
    OP_CLOSE_FD,
    OP_EXEC,
    OP_FIND_EXECUTABLE,
    OP_HOOK,
    OP_MEMPOLICY,
    OP_PIVOT_ROOT,
    OP_SCHEDULER,
    OP_SETGID,
    OP_SETGROUPS,
    OP_SETUID,
    OP_UMASK,
    OP_VERIFY,
    pack_exec,
    pack_hook,
    pack_verify,
)

from .stage import Op, execute, op, run

EXEC = op(OP_EXEC, data=pack_exec(["/bin/true"], []))


@pytest.mark.parametrize(("ops", "text"), [
    ([], "operation 0 of the last stage: no operation"),
    ([op(OP_UMASK, 0)], "operation 0 of the last stage: execve must be the last operation, and only that"),
    ([EXEC, EXEC], "operation 0 of the last stage: execve must be the last operation, and only that"),
    ([op(0), EXEC], "operation 0 of the last stage: unknown operation"),
    ([op(10_000), EXEC], "operation 0 of the last stage: unknown operation"),
    ([op(OP_SETUID, 0xffffffff), EXEC], "operation 0 of the last stage: not an id"),
    ([op(OP_SETGID, -1), EXEC], "operation 0 of the last stage: not an id"),
    ([op(OP_SETUID, 1 << 32), EXEC], "operation 0 of the last stage: not an id"),
    ([op(OP_PIVOT_ROOT, -1), EXEC], "operation 0 of the last stage: not a descriptor"),
    ([op(OP_CLOSE_FD, 1 << 32), EXEC], "operation 0 of the last stage: not a descriptor"),
    ([op(OP_SETGROUPS, data=b"12345"), EXEC], "operation 0 of the last stage: not a list of groups"),
    ([op(OP_CHDIR, data=b"/a\0/b"), EXEC], "operation 0 of the last stage: not a string"),
    ([op(OP_FIND_EXECUTABLE, data=b"a\0b\0c\0"), EXEC], "operation 0 of the last stage: not two strings"),
    ([op(OP_SCHEDULER, data=b"\x30\0\0\0"), EXEC], "operation 0 of the last stage: not a struct sched_attr"),
    ([op(OP_MEMPOLICY, 2, 65, data=b"12345678"), EXEC], "operation 0 of the last stage: not a node mask"),
    ([op(OP_VERIFY, data=pack_verify(groups=[1, 2])[:-1]), EXEC],
     "operation 0 of the last stage: not a struct packed_verify"),
    ([op(OP_HOOK, 0, 2, -1, data=pack_hook("/x", ["a"], [], b"in", None)), EXEC],
     "operation 0 of the last stage: not a descriptor"),
    ([op(OP_HOOK, 0, -1, 1 << 32, data=pack_hook("/x", ["a"], [], b"in", None)), EXEC],
     "operation 0 of the last stage: not a descriptor"),
    ([op(OP_HOOK, 0, -1, -1, data=pack_hook("/x", ["a"], [], b"in", None)[:-3]), EXEC],
     "operation 0 of the last stage: not a packed hook"),
    ([op(OP_EXEC, data=pack_exec([], ["A=b"]))], "operation 0 of the last stage: not packed arguments"),
    ([op(OP_EXEC, data=struct.pack("=II", 0xffffffff, 0xffffffff) + b"a\0")],
     "operation 0 of the last stage: not packed arguments"),
    ([*([op(OP_UMASK)] * (1 << 20)), EXEC], "operation 0 of the last stage: too many operations"),
], ids=lambda value: value[32:] if isinstance(value, str) else "")
def test_malformed_operations_are_refused_before_the_first_effect(ops: list[Op], text: str) -> None:
    assert run(ops).failure == (text, errno.EINVAL)


@pytest.mark.parametrize(("data", "length", "text"), [
    (0, 100, "data outside of the blob"), (16, 1, "data outside of the blob"),
    (0xffffffff, 1, "data outside of the blob"),
    (8, 0xffffffff, "data outside of the blob"), (4, 4, "data not aligned"), (8, 8, "not a string")])
def test_data_outside_of_the_blob_is_refused(data: int, length: int, text: str) -> None:
    page = lib.pr_page_map(-1, 1)
    pid = os.fork()
    if pid == 0:
        ops = ffi.new("op_t[]", 1)
        ops[0].code, ops[0].data, ops[0].len = OP_CHDIR, data, length
        lib.pr_last_stage(page, ops, 1, b"/" * 16, 16)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert ffi.string(page.text) == b"operation 0 of the last stage: " + text.encode()


def test_more_steps_than_the_page_has_times_for() -> None:
    told = run([op(OP_UMASK, 0o22)] * 1500 + execute("/bin/sh", "-c", "umask"))
    assert told.out == "0022\n"
    assert told.page.child_step == 1503


def test_packing_refuses_nul_bytes() -> None:
    from pyrunc.errors import ConfigError
    with pytest.raises(ConfigError):
        pack_exec(["a\0b"], [])
