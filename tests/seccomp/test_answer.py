"""What `explain --syscall` says is what the profile means; and the rule that it names is one that applies."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from pyrunc.errors import ConfigError, UsageError
from pyrunc.kernel.constants import SECCOMP_ACTIONS
from pyrunc.seccomp.answer import DEFAULT, action, answer, numbers

from . import oracle
from .test_compile import conditions

NAMES = ["read", "clone", "personality", "socketpair", "close_range", "getpid"]


@st.composite
def profiles(draw: st.DrawFn) -> dict[str, Any]:
    rules = [{"names": draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)),
              "action": "SCMP_ACT_ERRNO", "errnoRet": index + 5, "args": draw(conditions())}
             for index in range(draw(st.integers(0, 2)))]
    return {"defaultAction": draw(st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"])),
            "syscalls": rules}


@settings(max_examples=60)
@given(profiles(), st.sampled_from([*NAMES, "write", "futex_waitv"]), st.lists(st.integers(0, 2 ** 64 - 1), min_size=6,
                                                                             max_size=6))
def test_the_answer_is_the_meaning(seccomp: dict[str, Any], call: str, arguments: list[int]) -> None:
    names = [rule for rule in seccomp["syscalls"] if call in rule["names"]]
    try:
        found = answer(seccomp, call, arguments)  # type: ignore[arg-type]
    except ConfigError as fault:           # libseccomp takes no two rules of one call with the same conditions
        assert "file exists" in str(fault)
        reject()
    if len(names) < 2:                     # libseccomp has an order of its own between rules of one call
        assert found.value == oracle.Meaning(seccomp).of(oracle.NATIVE, oracle.number(call), arguments)
    if found.where.startswith("linux.seccomp.syscalls"):
        rule = seccomp["syscalls"][int(found.where[len("linux.seccomp.syscalls["):-1])]
        assert call in rule["names"] and found.value == oracle.action(rule["action"], rule["errnoRet"])
        assert oracle.matches(rule["args"], arguments, oracle.NATIVE)
    elif found.where == DEFAULT:
        assert action(found.value or 0) == seccomp["defaultAction"]
    else:
        assert found.value == oracle.ENOSYS and not names


def test_arguments_that_are_not_known_leave_it_open() -> None:
    seccomp: Any = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}]}
    found = answer(seccomp, "clone")
    assert found.value is None and found.record()["answer"] is None
    assert found.text().splitlines() == [
        "clone: it depends on the arguments",
        "  linux.seccomp.syscalls[0]: allowed where argument 0 & 0x7e020000 == 0x0",
        "  linux.seccomp.defaultAction: refused with errno 1 (operation not permitted), where no rule does"]
    assert answer(seccomp, "clone", [0x11]).where == "linux.seccomp.syscalls[0]"
    refused = answer(seccomp, "clone", [0x10000000])
    assert refused.where == DEFAULT and refused.text().startswith("clone(0x10000000): refused with errno 1")


def test_a_call_that_is_newer_than_the_profile() -> None:
    seccomp: Any = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}
    found = answer(seccomp, "close_range")
    assert found.value == oracle.ENOSYS and found.where == "" and "newer than all" in found.text()
    assert answer(seccomp, "0").call == "read"


@pytest.mark.parametrize("name", [name for name in SECCOMP_ACTIONS if name not in ("SCMP_ACT_KILL", "SCMP_ACT_NOTIFY")])
def test_every_action_has_words(name: str) -> None:
    seccomp: Any = {"defaultAction": "SCMP_ACT_ALLOW" if name != "SCMP_ACT_ALLOW" else "SCMP_ACT_ERRNO",
                    "syscalls": [{"names": ["getpid"], "action": name}]}
    found = answer(seccomp, "getpid")
    assert found.record()["answer"] == name and "SCMP" not in found.text().splitlines()[0]


def test_numbers() -> None:
    assert numbers(["1", "0x10", "-1", "0o7"]) == [1, 16, 2 ** 64 - 1, 7]
    for words in (["x"], [str(1 << 64)], ["1"] * 7, ["-9223372036854775809"]):
        with pytest.raises(UsageError):
            numbers(words)
