"""Compiled programs in the running kernel: a child loads one and makes the calls."""
from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Callable
from typing import Any

import pytest

from pyrunc.kernel import constants
from pyrunc.seccomp import compile, profile
from tests.seccomp_profile import engine_sized, small

from . import oracle

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, SYS_SECCOMP = 38, 317
BEYOND = 1000                            # no call has this number yet


def load(seccomp: Any) -> None:
    program = compile.program(profile.read(seccomp))
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.syscall(SYS_SECCOMP, 1, profile.flags(seccomp), header) == 0, os.strerror(ctypes.get_errno())


def call(name: str, *args: int) -> int:
    """0, or the errno."""
    number = BEYOND if name == "beyond" else oracle.number(name)
    result = libc.syscall(number, *map(ctypes.c_ulong, args))
    return ctypes.get_errno() if result == -1 else 0


def filtered(seccomp: dict[str, Any], act: Callable[[], int]) -> int:
    """What act() returns in a child with the filter, or minus the signal that ended it."""
    oracle.calls(oracle.NATIVE)
    pid = os.fork()
    if pid == 0:
        load(seccomp)
        os._exit(act())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("name, args, answer", [
    ("getpid", (), 0),
    ("uname", (0,), errno.EFAULT),
    ("mkdir", (0, 0), errno.ENOSPC),             # errnoRet 28
    ("mkdirat", (0, 0), errno.ENOSPC),
    ("socket", (16, 1, 0), errno.EAFNOSUPPORT),  # AF_NETLINK alone, errnoRet 97
    ("socket", (1, 1, 0), 0),
    ("personality", (8,), errno.EPERM),
    ("personality", (0xFFFFFFFF,), errno.EPERM),     # it has the bit, too
    ("personality", (0,), 0),
    ("swapon", (0, 0), -signal.SIGSYS),
    ("beyond", (), errno.ENOSYS),                # the kernel's own answer: allowed by default
])
def test_small_profile(name: str, args: tuple[int, ...], answer: int) -> None:
    assert filtered(small(), lambda: call(name, *args)) == answer


@pytest.mark.parametrize("name, args, answer", [
    ("getpid", (), 0),
    ("kexec_load", (0, 0, 0, 0), errno.EPERM),
    ("unshare", (0,), errno.EPERM),
    ("socket", (40, 1, 0), errno.EPERM),         # AF_VSOCK
    ("socket", (1, 1, 0), 0),
    ("personality", (0x20008,), 0),
    ("personality", (0x20000000,), errno.EPERM),
    ("clone3", (0, 0), errno.ENOSYS),
    ("beyond", (), errno.ENOSYS),                # newer than the profile: not EPERM
])
def test_profile_of_an_engine(name: str, args: tuple[int, ...], answer: int) -> None:
    assert filtered(engine_sized(), lambda: call(name, *args)) == answer


@pytest.mark.spec("config-linux.md#seccomp", "syscalls.action")
@pytest.mark.spec("features-linux.md#seccomp", "each action is recognized")
@pytest.mark.parametrize("action, ending", [
    ("SCMP_ACT_KILL_PROCESS", -signal.SIGSYS), ("SCMP_ACT_KILL", -signal.SIGSYS), ("SCMP_ACT_TRAP", -signal.SIGSYS),
    ("SCMP_ACT_TRACE", errno.ENOSYS), ("SCMP_ACT_LOG", errno.EFAULT), ("SCMP_ACT_ERRNO", errno.EPERM)])
def test_actions(action: str, ending: int) -> None:
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["uname"], "action": action}]}
    assert filtered(seccomp, lambda: call("uname", 0)) == ending


@pytest.mark.spec("config-linux.md#seccomp", "flags")
@pytest.mark.spec("features-linux.md#seccomp", "supportedFlags", "each supported flag is supported")
@pytest.mark.parametrize("flags", [None, [], ["LOG"], ["TSYNC", "SPEC_ALLOW"], ["WAIT_KILLABLE_RECV"]])
def test_flags_are_taken_by_the_kernel(flags: list[str] | None) -> None:
    seccomp: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW"}
    if flags is not None:
        seccomp["flags"] = [f"SECCOMP_FILTER_FLAG_{flag}" for flag in flags]
    assert filtered(seccomp, lambda: 7) == 7


def test_speculation_is_left_alone_by_default() -> None:
    """Without SPEC_ALLOW the kernel may turn the mitigation on for the filtered process (seccomp(2))."""
    def speculation() -> int:
        status = open("/proc/self/status").read()
        return 7 if "Speculation_Store_Bypass:\tthread force mitigated" in status else 0
    assert filtered({"defaultAction": "SCMP_ACT_ALLOW"}, speculation) == 0


def test_library_bug_is_worked_around() -> None:
    """libseccomp 2.5 alone would let personality(8) pass here: see compile._filter."""
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW",
               "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
               "syscalls": [{"names": ["umount"], "action": "SCMP_ACT_ERRNO"},
                            {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "args": [
                                {"index": 0, "value": 8, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}]}]}
    assert filtered(seccomp, lambda: call("personality", 8)) == errno.EPERM


def test_flag_numbers() -> None:
    flags = {name: profile.flags({"defaultAction": "SCMP_ACT_ALLOW", "flags": [name]})  # type: ignore[list-item]
             for name in constants.SECCOMP_FLAGS if not name.endswith("NEW_LISTENER")}
    prefix = "SECCOMP_FILTER_FLAG_"
    assert flags == {f"{prefix}TSYNC": 0, f"{prefix}LOG": 2, f"{prefix}SPEC_ALLOW": 4, f"{prefix}WAIT_KILLABLE_RECV": 0}
    asking: Any = {"defaultAction": "SCMP_ACT_ALLOW", "flags": [f"{prefix}WAIT_KILLABLE_RECV"],
                   "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}
    assert profile.flags(asking) == 0x20
    assert profile.flags({"defaultAction": "SCMP_ACT_ALLOW"}) == 4
