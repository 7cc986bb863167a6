"""Seeds for the fuzzer: well-formed last stages, in the format of last_stage.c. Usage: seeds.py DIRECTORY"""
from __future__ import annotations

import struct
import sys
from pathlib import Path

from pyrunc.kernel import last_stage as last

Op = tuple[int, int, int, int, bytes]


def encode(ops: list[Op]) -> bytes:
    """One byte of count, the op_t, the blob; laid out as Kernel.run_last does it."""
    blob = bytearray(8)
    packed = b""
    for step, (code, a, b, c, data) in enumerate(ops):
        packed += struct.pack("=IIqqqII", code, step, a, b, c, len(blob), len(data))
        blob += data
        blob += bytes(8 - len(blob) % 8)
    return bytes([len(ops)]) + packed + bytes(blob)


def op(code: int, a: int = 0, b: int = 0, c: int = 0, data: bytes = b"") -> Op:
    return code, a, b, c, data


def stages() -> dict[str, list[Op]]:
    """Name -> operations; together they use every operation."""
    environment = ["PATH=/usr/local/bin:/bin", "TERM=xterm", "EMPTY="]
    found = last.pack_strings(["sh", "/usr/local/bin:/bin"])
    execute = [op(last.OP_FIND_EXECUTABLE, data=found), op(last.OP_NO_PDEATHSIG),
               op(last.OP_CLOSE_FROM, 3), op(last.OP_EXEC, data=last.pack_exec(["sh", "-c", "true"], environment))]
    allow = struct.pack("HBBI", 6, 0, 0, 0x7fff0000)
    identity = [
        op(last.OP_CHDIR, 1, data=b"/work\0"), op(last.OP_BOUNDING, 0x20), op(last.OP_KEEP_CAPS, 1),
        op(last.OP_CHOWN_STDIO, 1000), op(last.OP_SETGROUPS, data=last.pack_groups([5, 6])), op(last.OP_SETGID, 1000),
        op(last.OP_SETUID, 1000), op(last.OP_CHDIR, data=b"/work\0"), op(last.OP_VERIFY_CWD),
        op(last.OP_CAPSET, 0x20, 0x20, 0x20), op(last.OP_AMBIENT, 0x20),
        op(last.OP_VERIFY, data=last.pack_verify(1000, 1000, [5, 6], 0x20, 0x20, 0x20, 0x20, 0x20, True, True))]
    nodes, mask = last.pack_nodes([0, 70])
    hook = op(last.OP_HOOK, 0, -1, 9, last.pack_hook("/hook", ["hook", "x"], ["A=b"], b'{"ociVersion":"1.3.0"}', 2.5))
    return {
        "create": [op(last.OP_PIVOT_ROOT, 7), op(last.OP_PROPAGATION, 1 << 18), op(last.OP_UMASK, 0o22),
                   op(last.OP_NO_NEW_PRIVS), op(last.OP_SIGNALS), op(last.OP_DUMPABLE), op(last.OP_BARRIER, 5),
                   *identity, op(last.OP_SECCOMP, 2, 0, data=allow), op(last.OP_LET_GO, 0, 0, 1),
                   op(last.OP_CLOSE_FD, 5), op(last.OP_WAIT_START, 6), hook, hook, *execute],
        "without hooks": [op(last.OP_PIVOT_ROOT, 7), *identity, op(last.OP_SECCOMP, 2, 0, data=allow),
                          op(last.OP_LET_GO, 0, 1), op(last.OP_BARRIER, 5), op(last.OP_CLOSE_FD, 5),
                          op(last.OP_WAIT_START, 6), *execute],
        "early": [op(last.OP_MOVE_ROOT, 7), op(last.OP_SECCOMP, 0, 1, data=allow),
                  op(last.OP_BARRIER, 5), *identity, *execute],
        "scheduling": [op(last.OP_CHROOT, 7), op(last.OP_SCHEDULER, data=last.pack_scheduler(3, nice=5)),
                       op(last.OP_IOPRIO, 2 << 13), op(last.OP_PERSONALITY, 8),
                       op(last.OP_MEMPOLICY, 2, nodes, 0, mask), *execute],
        "rootless": [op(last.OP_SECCOMP, 0, 2, 5, allow), op(last.OP_BARRIER, 5), *identity, *execute],
        "exec": [op(last.OP_SETNS, 8, 0x20000), *identity, op(last.OP_SECCOMP, 0, data=allow), *execute[:2],
                 op(last.OP_CLONE, 5, 1, 1, last.pack_limit(3, 4)), *execute[2:]],
        "without a pid namespace": [op(last.OP_SETNS, 8, 0x20000), op(last.OP_TERMINAL), *identity, *execute],
        "least": [op(last.OP_EXEC, data=last.pack_exec(["/bin/true"], []))],
    }


if __name__ == "__main__":
    for name, ops in stages().items():
        Path(sys.argv[1], name).write_bytes(encode(ops))
