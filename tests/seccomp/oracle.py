"""What a profile means, said directly, and what a program does, one instruction after the other.

Neither knows how libseccomp builds a program: tests hold the one against the other.
"""
from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

from pyrunc.kernel import constants

Profile = dict[str, Any]

KILL, ALLOW, ERRNO = 0, 0x7FFF0000, 0x00050000
ENOSYS = ERRNO | 38
#: name in config.json -> (AUDIT_ARCH_* that the kernel reports, bit set in its call numbers, size of an argument)
ARCHITECTURES = {
    "SCMP_ARCH_X86_64": (0xC000003E, 0, 64),
    "SCMP_ARCH_X86": (0x40000003, 0, 32),
    "SCMP_ARCH_X32": (0xC000003E, 0x40000000, 32),
    "SCMP_ARCH_AARCH64": (0xC00000B7, 0, 64),
    "SCMP_ARCH_ARM": (0x40000028, 0, 32),
    "SCMP_ARCH_RISCV64": (0xC00000F3, 0, 64),
}
NATIVE = "SCMP_ARCH_X86_64"
#: One number for many calls, told apart by an argument: what a rule for one of them means here is libseccomp's affair.
MULTIPLEXED = {("SCMP_ARCH_X86", 102), ("SCMP_ARCH_X86", 117), ("SCMP_ARCH_ARM", 102), ("SCMP_ARCH_ARM", 117)}

HIGHEST = 600

_library = ctypes.CDLL("libseccomp.so.2")
_library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
_library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p


@cache
def calls(arch: str) -> dict[int, str]:
    """{number: name} of what an architecture has. (The other direction gives libseccomp's own numbers for calls that
    are multiplexed on some architectures, although they have real ones there, too.)"""
    token = ctypes.c_uint32(_library.seccomp_arch_resolve_name(arch.removeprefix("SCMP_ARCH_").lower().encode()))
    bit = ARCHITECTURES[arch][1]
    found = {nr | bit: _library.seccomp_syscall_resolve_num_arch(token, nr | bit) for nr in range(HIGHEST)}
    return {nr: name.decode() for nr, name in found.items() if name}


def number(name: str, arch: str = NATIVE) -> int:
    """The number of a call."""
    return next(nr for nr, known in calls(arch).items() if known == name)


class Meaning:
    """What a profile says about calls, by the text of the spec and of docs/."""

    def __init__(self, profile: Profile) -> None:
        self.default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
        self.covered = {*profile.get("architectures", ()), NATIVE}
        rules = profile.get("syscalls", ())
        names = {name for rule in rules for name in rule["names"]}
        permissive = profile["defaultAction"] in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
        stub = not permissive and profile.get("defaultErrnoRet") != 38
        self.last = {arch: max([nr for nr, name in calls(arch).items() if name in names and stub], default=1 << 32)
                     for arch in self.covered}
        self.rules = {arch: {nr: [rule for rule in rules if name in rule["names"]] for nr, name in calls(arch).items()}
                      for arch in self.covered}

    def of(self, arch: str, nr: int, args: Sequence[int]) -> int:
        """SECCOMP_RET_* for a call."""
        if arch not in self.covered:
            return KILL
        if nr > self.last[arch]:
            return ENOSYS
        for rule in self.rules[arch].get(nr, ()):
            if matches(rule.get("args", ()), args, arch):
                return action(rule["action"], rule.get("errnoRet"))
        return self.default


def action(name: str, errno: int | None) -> int:
    value = constants.SECCOMP_ACTIONS[name]
    return value | (1 if errno is None else errno) if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else value


def matches(conditions: Sequence[dict[str, Any]], args: Sequence[int], arch: str) -> bool:
    """All of them, or any where an argument is in more than one."""
    if not conditions:
        return True
    indexes = [condition["index"] for condition in conditions]
    several = any if len(set(indexes)) < len(indexes) else all
    return several(compare(condition, args, arch) for condition in conditions)


def compare(condition: dict[str, Any], args: Sequence[int], arch: str) -> bool:
    bits = (1 << ARCHITECTURES[arch][2]) - 1
    value, second = condition["value"] & bits, condition.get("valueTwo", 0) & bits
    arg = args[condition["index"]] & bits
    answers: dict[str, bool] = {
        "SCMP_CMP_NE": arg != value, "SCMP_CMP_LT": arg < value, "SCMP_CMP_LE": arg <= value,
        "SCMP_CMP_EQ": arg == value, "SCMP_CMP_GE": arg >= value, "SCMP_CMP_GT": arg > value,
        "SCMP_CMP_MASKED_EQ": arg & value == second & value}
    return answers[condition["op"]]


def decode(program: bytes) -> list[tuple[int, int, int, int]]:
    """struct sock_filter[] -> (code, jump if true, jump if false, k)."""
    return list(struct.iter_unpack("=HBBI", program))


def run(program: list[tuple[int, int, int, int]], arch: int, nr: int, args: Sequence[int]) -> int:
    """What the kernel's interpreter of classic BPF returns for this struct seccomp_data."""
    data = struct.pack("=IIQ6Q", nr & 0xFFFFFFFF, arch, 0, *args)
    accumulator, at = 0, 0
    while True:
        code, yes, no, k = program[at]
        at += 1
        if code == 0x20:                 # ld [k]
            assert k % 4 == 0 and k < len(data)
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif code == 0x54:               # and #k
            accumulator &= k
        elif code == 0x05:               # ja
            at += k
        elif code in (0x15, 0x25, 0x35, 0x45):
            taken = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}
            at += yes if taken[code] else no
        elif code == 0x06:               # ret #k
            return k
        else:
            raise AssertionError(f"instruction {code:#x} at {at - 1}")
