"""The last stage's operations as steps queue them: their numbers and how their data is packed.

A step on side LAST calls kernel.last(OP_..., a, b, c, data); native.h says what a, b and c are, last_stage.h has the
structs that are packed here, in native byte order. tests/test_last.py compares the numbers with the built module,
which need not exist to make and explain a plan.
"""
from __future__ import annotations

from sys import byteorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

(OP_PIVOT_ROOT, OP_MOVE_ROOT, OP_CHROOT, OP_PROPAGATION, OP_UMASK, OP_NO_NEW_PRIVS, OP_SCHEDULER, OP_IOPRIO,
 OP_PERSONALITY, OP_MEMPOLICY, OP_BARRIER, OP_SECCOMP, OP_CLOSE_FD, OP_CHDIR, OP_CHOWN_STDIO, OP_BOUNDING,
 OP_KEEP_CAPS, OP_SETGROUPS, OP_SETGID, OP_SETUID, OP_CAPSET, OP_AMBIENT, OP_VERIFY, OP_VERIFY_CWD,
 OP_FIND_EXECUTABLE, OP_WAIT_START, OP_HOOK, OP_NO_PDEATHSIG, OP_CLOSE_FROM, OP_EXEC, OP_SETATTR_ROOT, OP_WRITE,
 OP_SETNS) = range(1, 34)

VERIFY_IDS, VERIFY_GROUPS, VERIFY_CAPABILITIES = 1, 2, 4


def u32(*numbers: int) -> bytes:
    """uint32_t[]"""
    return b"".join([number.to_bytes(4, byteorder) for number in numbers])


def u64(*numbers: int) -> bytes:
    """uint64_t[]"""
    return b"".join([number.to_bytes(8, byteorder) for number in numbers])


def strings(texts: Iterable[str]) -> bytes:
    """Each in UTF-8 with a NUL at its end. ValueError for a text with a NUL in it, which would become two."""
    packed = bytearray()
    for text in texts:
        data = text.encode()
        if b"\0" in data:
            raise ValueError("NUL byte in a string")
        packed += data
        packed += b"\0"
    return bytes(packed)


def program(args: Sequence[str], env: Sequence[str]) -> bytes:
    """struct packed_exec, for OP_EXEC: argv and envp."""
    return u32(len(args), len(env)) + strings(args) + strings(env)


def hook(path: str, args: Sequence[str], env: Sequence[str], stdin: bytes, timeout: int) -> bytes:
    """struct packed_hook, for OP_HOOK. timeout in seconds, 0 for none."""
    return (u32(timeout * 1000, len(args), len(env), len(stdin)) + strings([path]) + strings(args) + strings(env)
            + stdin)


def verify(*, ids: tuple[int, int], groups: Sequence[int] | None, capabilities: tuple[int, int, int, int, int] | None,
           no_new_privileges: bool, seccomp: bool) -> bytes:
    """struct packed_verify, for OP_VERIFY.

    ids             user and group id: real, effective and saved
    groups          exactly these, in any order; None: not looked at
    capabilities    effective, permitted and inheritable exactly, bounding and ambient at most; None: not looked at
    """
    what = VERIFY_IDS | (VERIFY_GROUPS if groups is not None else 0) | (VERIFY_CAPABILITIES if capabilities else 0)
    ordered = sorted(set(groups or ()))
    return (u32(what, *ids, no_new_privileges, seccomp, len(ordered)) + u64(*(capabilities or (0, 0, 0, 0, 0)))
            + u32(*ordered))
