"""A compiled profile does what the profile says: for every call, on every architecture, with any arguments."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunc._native import lib
from pyrunc.errors import ConfigError
from pyrunc.seccomp import compile, library, profile
from tests import runtimes
from tests.seccomp_profile import engine_sized, small

from . import oracle
from .oracle import ALLOW, ARCHITECTURES, ERRNO, KILL, MULTIPLEXED, NATIVE

CALLS = range(601)
#: The kernel's is 4095 (MAX_ERRNO), and libseccomp's the one before.
HIGHEST_ERRNO = 4094


def compiled(seccomp: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    return oracle.decode(compile.program(profile.read(seccomp)))  # type: ignore[arg-type]


def agree(seccomp: dict[str, Any], arguments: list[list[int]]) -> None:
    """Program and meaning give one answer for all calls with each of these argument lists."""
    program, meaning = compiled(seccomp), oracle.Meaning(seccomp)
    for arch in ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"):
        audit, bit, _ = ARCHITECTURES[arch]
        for nr in CALLS:
            if (arch, nr) in MULTIPLEXED:
                continue
            for args in arguments:
                expected = meaning.of(arch, nr | bit, args)
                assert oracle.run(program, audit, nr | bit, args) == expected, (arch, nr, args)


# ---- the meaning, over random profiles ----------------------------------------------------------------------
NAMES = ["read", "write", "openat", "close", "ioctl", "clone", "personality", "mmap", "mprotect", "getpid", "uname",
         "prctl", "socketpair", "clone3", "close_range", "futex_waitv", "waitpid", "_llseek", "mmap2", "no_such_call"]
NUMBERS = st.one_of(st.integers(0, 16), st.sampled_from([0xFFFFFFFF, 0x100000000, 0x7E020000, 2**63, 2**64 - 1]),
                    st.integers(0, 2**64 - 1))
OPERATORS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]


@st.composite
def conditions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """With an argument in more than one condition only those of equality: of alternatives that compare by order
    libseccomp 2.5 makes programs in which one may hide the other."""
    found = []
    indexes = draw(st.lists(st.integers(0, 5), max_size=3))
    operators = OPERATORS if len(set(indexes)) == len(indexes) else ["EQ", "MASKED_EQ"]
    for index in indexes:
        operator = draw(st.sampled_from(operators))
        condition: dict[str, Any] = {"index": index, "value": draw(NUMBERS), "op": f"SCMP_CMP_{operator}"}
        if operator == "MASKED_EQ":
            condition["valueTwo"] = draw(NUMBERS) & condition["value"]
        found.append(condition)
    return found


@st.composite
def profiles(draw: st.DrawFn) -> dict[str, Any]:
    """Each name in one rule only: which of two rules wins is libseccomp's choice, and no profile should rely on it."""
    actions = ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG"]
    names: list[str] = list(draw(st.permutations(NAMES)))
    rules = []
    for _ in range(draw(st.integers(0, 5))):
        size = draw(st.integers(1, 4))
        kind = f"SCMP_ACT_{draw(st.sampled_from(actions))}"
        rule: dict[str, Any] = {"names": names[:size], "action": kind, "args": draw(conditions())}
        if kind in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") and draw(st.booleans()):
            rule["errnoRet"] = draw(st.integers(0, HIGHEST_ERRNO))
        rules.append(rule)
        names = names[size:]
    found: dict[str, Any] = {
        "defaultAction": f"SCMP_ACT_{draw(st.sampled_from(actions))}", "syscalls": rules,
        "architectures": draw(st.lists(st.sampled_from(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32",
                                                        "SCMP_ARCH_AARCH64"]), unique=True))}
    if found["defaultAction"] in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") and draw(st.booleans()):
        found["defaultErrnoRet"] = draw(st.integers(0, HIGHEST_ERRNO))
    return found


@pytest.mark.spec("config-linux.md#seccomp", "defaultAction", "syscalls.action", "syscalls.args", "syscalls.args.index",
                  "syscalls.args.value", "syscalls.args.valueTwo", "syscalls.args.op")
@given(profiles(), st.lists(st.lists(NUMBERS, min_size=6, max_size=6), min_size=1, max_size=2))
@settings(max_examples=300, deadline=None)
def test_random_profiles(seccomp: dict[str, Any], arguments: list[list[int]]) -> None:
    agree(seccomp, arguments)


@pytest.mark.parametrize("seccomp", [small(), engine_sized()], ids=["small", "engine_sized"])
def test_profiles_as_engines_send_them(seccomp: dict[str, Any]) -> None:
    agree(seccomp, [[value] * 6 for value in (0, 8, 16, 40, 0x10000000, 0x20008, 2**32 - 1)])


# ---- single statements of the spec ---------------------------------------------------------------------------
def answer(seccomp: dict[str, Any], name: str, *args: int) -> int:
    padded = [*args, *[0] * (6 - len(args))]
    return oracle.run(compiled(seccomp), ARCHITECTURES[NATIVE][0], oracle.number(name), padded)


# config-linux.md#seccomp: "The default is `EPERM`."
@pytest.mark.spec("config-linux.md#seccomp", "defaultErrnoRet", "syscalls.errnoRet")
def test_errno_without_a_number_is_eperm() -> None:
    rule = {"names": ["uname"], "action": "SCMP_ACT_ERRNO"}
    assert answer({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, "uname") == ERRNO | 1
    assert answer({"defaultAction": "SCMP_ACT_ERRNO"}, "getpid") == ERRNO | 1


@pytest.mark.spec("config-linux.md#seccomp", "defaultErrnoRet", "syscalls.errnoRet")
def test_the_highest_errno() -> None:
    """What libseccomp does not take is an error that names it and the place."""
    rule = {"names": ["uname"], "action": "SCMP_ACT_ERRNO"}
    by_rule = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{**rule, "errnoRet": HIGHEST_ERRNO}]}
    by_default = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": HIGHEST_ERRNO}
    for seccomp, where in ((by_rule, "linux.seccomp.syscalls[0].errnoRet"),
                           (by_default, "linux.seccomp.defaultErrnoRet")):
        assert answer(seccomp, "uname") == ERRNO | HIGHEST_ERRNO
        higher = json.loads(json.dumps(seccomp).replace(str(HIGHEST_ERRNO), str(HIGHEST_ERRNO + 1)))
        with pytest.raises(ConfigError, match=r"libseccomp 2.*takes no errno above 4094") as refused:
            compiled(higher)
        assert refused.value.where == where


def test_two_conditions_on_one_argument_are_alternatives() -> None:
    args = [{"index": 0, "value": 3, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 5, "op": "SCMP_CMP_EQ"},
            {"index": 1, "value": 7, "op": "SCMP_CMP_EQ"}]
    rule = {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": args}
    seccomp = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule, {"names": ["uname"], "action": "SCMP_ACT_ALLOW"}]}
    passing = [answer(seccomp, "personality", *pair) == ALLOW for pair in ((3, 0), (5, 0), (0, 7), (4, 0))]
    assert passing == [True, True, True, False]


def test_rule_that_says_what_the_default_says_is_no_error() -> None:
    seccomp = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["uname"], "action": "SCMP_ACT_ERRNO"},
                                                               {"names": ["read"], "action": "SCMP_ACT_ERRNO",
                                                                "errnoRet": 2}]}
    assert answer(seccomp, "uname") == ERRNO | 1
    assert answer(seccomp, "read") == ERRNO | 2


def test_the_same_rule_twice_is_no_error() -> None:
    rule = {"names": ["uname", "uname"], "action": "SCMP_ACT_ALLOW"}
    assert answer({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule, rule]}, "uname") == ALLOW


def test_unknown_names_are_left_out_and_told() -> None:
    seccomp: Any = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["uname", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["nor_this"], "action": "SCMP_ACT_KILL"}]}
    assert answer(seccomp, "uname") == ALLOW
    assert list(compile.unknown_names(profile.read(seccomp))) == [
        ("no_such_call", "linux.seccomp.syscalls[0]"), ("nor_this", "linux.seccomp.syscalls[1]")]


def test_no_rules_at_all() -> None:
    assert answer({"defaultAction": "SCMP_ACT_KILL"}, "read") == KILL


@pytest.mark.spec("config-linux.md#seccomp", "architectures")
def test_native_architecture_is_always_covered() -> None:
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"]}
    assert answer(seccomp, "read") == ALLOW


@pytest.mark.spec("config-linux.md#seccomp", "architectures")
@pytest.mark.spec("features-linux.md#seccomp", "archs", "each architecture is recognized")
def test_every_architecture_of_the_library() -> None:
    names = ["X86", "X86_64", "X32", "ARM", "AARCH64", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC64LE", "RISCV64"]
    seccomp = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": [f"SCMP_ARCH_{name}" for name in names],
               "syscalls": [{"names": ["uname"], "action": "SCMP_ACT_ALLOW"}]}
    program = compiled(seccomp)
    for arch in ("SCMP_ARCH_ARM", "SCMP_ARCH_RISCV64", "SCMP_ARCH_AARCH64"):
        assert oracle.run(program, ARCHITECTURES[arch][0], oracle.number("uname", arch), [0] * 6) == ALLOW


# runtime.md#create: "If the runtime cannot apply a property as specified in the configuration, it MUST generate an
# error and a new container MUST NOT be created."
@pytest.mark.parametrize("name, fault", [("M68K", "does not know the architecture m68k"),
                                         ("S390X", "cannot filter architecture s390x")])
def test_architecture_that_cannot_be_filtered_is_an_error(name: str, fault: str) -> None:
    if name == "M68K" and compile.version() >= "2.6":
        fault = "cannot filter architecture m68k"      # known there, but big-endian, as s390x
    with pytest.raises(ConfigError, match=fault) as caught:
        compiled({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86", f"SCMP_ARCH_{name}"]})
    assert caught.value.where.startswith("linux.seccomp.architectures")


def test_filter_that_is_too_long_is_an_error() -> None:
    args = [{"index": 0, "value": value << 32 | value, "op": "SCMP_CMP_EQ"} for value in range(1500)]
    with pytest.raises(ConfigError, match=r"instructions, the kernel takes 4096: at linux.seccomp in"):
        compiled({"defaultAction": "SCMP_ACT_ERRNO",
                  "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": args}]})


def test_what_can_never_fit_is_refused_without_asking_libseccomp() -> None:
    """Its time is quadratic: these would take it minutes."""
    args = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in range(30000)]
    with pytest.raises(ConfigError, match=r"instructions, the kernel takes 4096: at linux.seccomp.syscalls\[0\] in"):
        compiled({"defaultAction": "SCMP_ACT_ERRNO",
                  "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": args}]})


@pytest.mark.parametrize("rule", [{"names": ["no_such_call"], "action": "SCMP_ACT_ALLOW"},
                                  {"names": ["read"], "action": "SCMP_ACT_ERRNO"}])
def test_what_makes_no_instruction_does_not_count(rule: dict[str, Any]) -> None:
    args = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in range(5000)]
    assert compiled({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{**rule, "args": args}]})


def test_versions_and_flags_for_features() -> None:
    assert compile.version().split(".")[0] == "2"
    assert lib.pr_seccomp_flags() & 0b111 == 0b111


# ---- what the build was told of the library is told again, while the library is the same ----

def test_the_library_is_not_loaded_while_it_is_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "libseccomp.so.9"
    file.write_text("x")
    told = (str(file), 1, file.stat().st_mtime_ns, "9.8.7", ["SCMP_ARCH_X86"])
    monkeypatch.setitem(sys.modules, "pyrunc.built", SimpleNamespace(LIBSECCOMP=told))
    assert library.facts() == ("9.8.7", ["SCMP_ARCH_X86"])
    for change in (lambda: file.write_text("xx"), lambda: os.utime(file, ns=(1, 1)), file.unlink):
        file.write_text("x")
        os.utime(file, ns=(told[2], told[2]))
        assert library.facts()[0] == "9.8.7"
        change()
        assert library.facts()[0] == compile.version()
        assert "SCMP_ARCH_X86_64" in library.facts()[1]


def test_a_build_that_was_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for built in (SimpleNamespace(LIBSECCOMP=None), SimpleNamespace(), None):
        monkeypatch.setitem(sys.modules, "pyrunc.built", built)
        assert library.facts()[0] == compile.version()


def test_an_installed_program_answers_without_loading_anything() -> None:
    for words in ("--version", "features"):
        calls = subprocess.run(["strace", "-f", "-e", "trace=openat", runtimes.find(), words], capture_output=True,
                               text=True, check=True).stderr
        assert "libc.so" in calls
        assert not any(word in calls for word in ("libm.so", "libseccomp", "_cffi", "/encodings")), calls
