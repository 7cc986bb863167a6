"""The operations of the last stage, and the packing of their data (the layouts are in _native/last_stage.h).

Steps queue an operation with kernel.last(OP_..., a, b, c, data); native.h tells what a, b, c and data mean. Strings
go to C as UTF-8 with a NUL at the end, structs in native byte order.
"""
from __future__ import annotations

import _struct

from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

(OP_PIVOT_ROOT, OP_MOVE_ROOT, OP_CHROOT, OP_PROPAGATION, OP_UMASK, OP_NO_NEW_PRIVS, OP_SCHEDULER, OP_IOPRIO,
 OP_PERSONALITY, OP_MEMPOLICY, OP_BARRIER, OP_SECCOMP, OP_CLOSE_FD, OP_CHDIR, OP_CHOWN_STDIO, OP_BOUNDING, OP_KEEP_CAPS,
 OP_SETGROUPS, OP_SETGID, OP_SETUID, OP_CAPSET, OP_AMBIENT, OP_VERIFY, OP_VERIFY_CWD, OP_FIND_EXECUTABLE,
 OP_WAIT_START, OP_HOOK, OP_NO_PDEATHSIG, OP_CLOSE_FROM, OP_EXEC, OP_SETNS, OP_CLONE, OP_TERMINAL, OP_SIGNALS,
 OP_DUMPABLE, OP_LET_GO) = range(1, 37)

VERIFY_IDS, VERIFY_GROUPS, VERIFY_CAPABILITIES = 1, 2, 4


def pack_strings(strings: Iterable[str]) -> bytes:
    """Strings one after the other, each with its NUL; one that has a NUL inside is refused."""
    packed: list[bytes] = []
    for text in strings:
        raw = text.encode()
        if b"\0" in raw:
            raise ConfigError(f"NUL byte in {text!r}")
        packed += raw, b"\0"
    return b"".join(packed)


def pack_exec(args: Sequence[str], env: Sequence[str]) -> bytes:
    """OP_EXEC: what the container's process gets as argv and environ."""
    return _struct.pack("=II", len(args), len(env)) + pack_strings(args) + pack_strings(env)


def pack_hook(path: str, args: Sequence[str], env: Sequence[str], stdin: bytes, timeout: float | None) -> bytes:
    """OP_HOOK: the program, its argv (all of it: args[0] too), environ and stdin; timeout in seconds, None for none."""
    limit = 0 if timeout is None else max(1, round(timeout * 1000))
    return (_struct.pack("=IIII", min(limit, 0x7fffffff), len(args), len(env), len(stdin))
            + pack_strings([path]) + pack_strings(args) + pack_strings(env) + stdin)


def pack_groups(groups: Iterable[int]) -> bytes:
    """OP_SETGROUPS: group ids."""
    groups = list(groups)
    return _struct.pack(f"={len(groups)}I", *groups)


def pack_verify(uid: int | None = None, gid: int | None = None, groups: Iterable[int] | None = None,
                effective: int | None = None, permitted: int = 0, inheritable: int = 0, bounding: int = 0,
                ambient: int = 0, no_new_privs: bool = False, seccomp: bool = False) -> bytes:
    """OP_VERIFY: what must be true before execve; None (uid, groups, effective) for what is not to be looked at.

    effective, permitted and inheritable are exact capability masks; bounding and ambient are upper bounds.
    """
    what = 0
    if uid is not None and gid is not None:
        what |= VERIFY_IDS
    if groups is not None:
        what |= VERIFY_GROUPS
    if effective is not None:
        what |= VERIFY_CAPABILITIES
    members = sorted(groups or ())
    return _struct.pack("=IIIIII5Q", what, uid or 0, gid or 0, no_new_privs, seccomp, len(members), effective or 0,
                        permitted, inheritable, bounding, ambient) + pack_groups(members)


def pack_limit(soft: int, hard: int) -> bytes:
    """OP_CLONE: RLIMIT_NPROC."""
    return _struct.pack("=QQ", soft, hard)


def pack_scheduler(policy: int, flags: int = 0, nice: int = 0, priority: int = 0, runtime: int = 0, deadline: int = 0,
                   period: int = 0) -> bytes:
    """OP_SCHEDULER: struct sched_attr of sched_setattr(2), in its second version, whose utilisation clamps no property
    of the config fills, but two of its flags ask for; times in ns."""
    return _struct.pack("=IIQiIQQQII", 56, policy, flags, nice, priority, runtime, deadline, period, 0, 0)


def pack_nodes(nodes: Iterable[int]) -> tuple[int, bytes]:
    """OP_MEMPOLICY: (b, data) for a set of memory nodes: highest node + 1, and the mask in 64-bit words."""
    mask = 0
    for node in nodes:
        mask |= 1 << node
    width = mask.bit_length()
    words = [mask >> shift & 0xffffffffffffffff for shift in range(0, width, 64)]
    return width, _struct.pack(f"={len(words)}Q", *words)
