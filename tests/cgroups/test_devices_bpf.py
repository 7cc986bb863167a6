"""Device rules: what the exceptions mean, and that the program says the same."""
from __future__ import annotations

import os
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.cgroups import devices_bpf
from pyrunc.cgroups.devices_bpf import ALL, ANY, BLOCK, CHAR, MKNOD, READ, WRITE
from pyrunc.config.types import DeviceRule
from pyrunc.errors import ConfigError
from pyrunc.kernel.linux import Kernel

from . import bpf

Rule = dict[str, typing.Any]
KINDS = {"b": BLOCK, "c": CHAR}
BITS = {"m": MKNOD, "r": READ, "w": WRITE}


def state(rules: list[Rule]) -> devices_bpf.Exceptions:
    return devices_bpf.exceptions(typing.cast(list[DeviceRule], rules))


def allowed(rules: list[Rule], kind: int, access: int, major: int, minor: int) -> bool:
    """What the generated program says."""
    return bool(bpf.run(devices_bpf.program(state(rules)), kind, access, major, minor))


def allow(kind: str, major: int, minor: int, access: str) -> Rule:
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}


def deny(kind: str, major: int, minor: int, access: str) -> Rule:
    return {**allow(kind, major, minor, access), "allow": False}


DENY_ALL: Rule = {"allow": False, "access": "rwm"}
ALLOW_ALL: Rule = {"allow": True, "access": "rwm"}


# ---- what is allowed without asking -----------------------------------------------------------------------------
DEFAULTS = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, 0), (136, 1 << 20), (10, 200)]


# GHSA-g54h-m393-cpwq: without rules everything was allowed.
@pytest.mark.parametrize("rules", [[], [DENY_ALL], [{"allow": False, "type": "a", "access": "rwm"}]])
def test_the_default_is_deny(rules: list[Rule]) -> None:
    for major, minor in DEFAULTS:
        assert allowed(rules, CHAR, READ | WRITE, major, minor), (major, minor)
    assert allowed(rules, BLOCK, MKNOD, 8, 0) and allowed(rules, CHAR, MKNOD, 10, 229)
    for kind, major, minor in [(BLOCK, 8, 0), (CHAR, 1, 1), (CHAR, 1, 11), (CHAR, 10, 229), (BLOCK, 1, 3)]:
        for access in (READ, WRITE, READ | WRITE, READ | MKNOD):
            assert not allowed(rules, kind, access, major, minor), (kind, major, minor, access)


def test_a_privileged_container_needs_no_program() -> None:
    assert state([ALLOW_ALL]).everything
    assert state([DENY_ALL, deny("c", 1, 1, "r"), ALLOW_ALL]).everything
    assert not state([]).everything and not state([ALLOW_ALL, deny("c", 1, 1, "r")]).everything


# config-linux.md#allowed-device-list: "The runtime MUST apply entries in the listed order."
@pytest.mark.spec("config-linux.md#allowed-device-list", "rules apply in the listed order")
def test_order() -> None:
    assert allowed([DENY_ALL, allow("b", 8, 0, "rw")], BLOCK, READ | WRITE, 8, 0)
    assert not allowed([allow("b", 8, 0, "rw"), DENY_ALL], BLOCK, READ, 8, 0)
    assert not allowed([allow("b", 8, 0, "rw"), deny("b", 8, 0, "w")], BLOCK, WRITE, 8, 0)
    assert allowed([allow("b", 8, 0, "rw"), deny("b", 8, 0, "w")], BLOCK, READ, 8, 0)
    assert allowed([deny("b", 8, 0, "w"), allow("b", 8, 0, "rw")], BLOCK, WRITE, 8, 0)


@pytest.mark.parametrize("extra", [{}, {"major": -1, "minor": -1}])
def test_unset_numbers_are_all(extra: Rule) -> None:
    rules: list[Rule] = [{"allow": True, "type": "b", "access": "r", **extra}]
    assert allowed(rules, BLOCK, READ, 4294967295, 7) and not allowed(rules, BLOCK, WRITE, 4294967295, 7)


def test_numbers_of_a_rule_for_all_are_not_looked_at() -> None:
    assert state([{"allow": True, "type": "a", "major": 1, "minor": 2, "access": "r"}]).everything


def test_read_and_write_are_both_asked_for() -> None:
    rules = [allow("b", 8, 0, "r"), allow("b", 8, 1, "rw")]
    assert not allowed(rules, BLOCK, READ | WRITE, 8, 0) and allowed(rules, BLOCK, READ | WRITE, 8, 1)


def test_a_device_denied_for_writing_is_not_opened_for_both() -> None:
    rules = [ALLOW_ALL, deny("b", 8, 0, "w")]
    assert allowed(rules, BLOCK, READ, 8, 0)
    assert not allowed(rules, BLOCK, WRITE, 8, 0) and not allowed(rules, BLOCK, READ | WRITE, 8, 0)
    assert allowed(rules, BLOCK, READ | WRITE, 8, 1)


@pytest.mark.parametrize(("rules", "index"), [
    ([allow("c", 10, -1, "rw"), deny("c", 10, 229, "r")], 1),
    ([allow("c", -1, -1, "rw"), deny("c", 10, -1, "w")], 1),
    ([allow("c", -1, 3, "m"), deny("c", 7, 3, "m")], 1),
    ([ALLOW_ALL, deny("b", -1, -1, "w"), allow("b", 8, 0, "rw")], 2),
])
def test_no_hole_in_a_range(rules: list[Rule], index: int) -> None:
    with pytest.raises(ConfigError, match="cannot punch hole in existing wildcard rule") as caught:
        state(rules)
    assert caught.value.where == f"linux.resources.devices[{index}]"


@pytest.mark.parametrize("rules", [
    [allow("c", 10, -1, "rw"), deny("c", 10, -1, "r")],     # the range itself
    [allow("c", 10, -1, "r"), deny("c", 10, 229, "w")],     # nothing of the range is taken
    [allow("b", 10, -1, "rw"), deny("c", 10, 229, "w")],    # another type
])
def test_what_is_no_hole(rules: list[Rule]) -> None:
    state(rules)


@pytest.mark.parametrize(("rule", "where"), [
    ({"allow": True, "type": "c", "major": 1, "minor": 1}, "access"),
    ({"allow": True, "type": "c", "major": 1, "minor": 1, "access": ""}, "access"),
    ({"allow": True, "type": "p", "access": "r"}, "type"),
    ({"allow": True, "type": "u", "access": "r"}, "type"),
    ({"allow": True, "type": "c", "major": -2, "access": "r"}, "major"),
    ({"allow": True, "type": "c", "minor": 1 << 32, "access": "r"}, "minor"),
])
def test_refused(rule: Rule, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        state([DENY_ALL, rule])
    assert caught.value.where == f"linux.resources.devices[1].{where}"


def test_only_r_w_and_m_mean_something() -> None:
    """Old configurations have "rwa", say: runc and crun leave out what is no access."""
    rule: Rule = {"allow": True, "type": "c", "major": 1, "minor": 11}
    assert state([DENY_ALL, {**rule, "access": "rwa"}]).rules == state([DENY_ALL, {**rule, "access": "rw"}]).rules
    assert state([DENY_ALL, {**rule, "access": "a"}]).rules == state([DENY_ALL]).rules
    assert state([{"allow": False, "access": "x"}]).rules == state([DENY_ALL]).rules


def test_the_words_of_an_empty_access() -> None:
    with pytest.raises(ConfigError, match="device access at 0 field cannot be empty"):
        state([{"allow": False}])


def test_the_last_number() -> None:
    rules = [allow("c", 4294967295, 2147483648, "r")]
    assert allowed(rules, CHAR, READ, 4294967295, 2147483648)
    assert not allowed(rules, CHAR, READ, 4294967295, 0) and not allowed(rules, CHAR, READ, 0, 2147483648)


# ---- the program and the rules say the same -----------------------------------------------------------------------
def direct(rules: list[Rule], kind: int, access: int, major: int, minor: int) -> bool | None:
    """The rules' meaning, evaluated as cgroup v1 does it: a default and a list of exceptions. None: refused."""
    default, exceptions = False, []  # type: bool, list[list[int]]
    runtime = [{"allow": True, "type": "c" if device == CHAR else "b", "major": a, "minor": b,
                "access": "".join(letter for letter, bit in BITS.items() if mask & bit)}
               for device, a, b, mask in devices_bpf.ALLOWED]
    for rule in [*rules, *runtime]:
        if rule.get("type", "a") == "a":
            default, exceptions = rule["allow"], []
            continue
        device = [KINDS[rule["type"]], rule.get("major", ANY), rule.get("minor", ANY)]
        mask = sum({BITS[letter] for letter in rule["access"]})
        if rule["allow"] != default:
            exceptions.append([*device, mask])
            continue
        for other in exceptions:
            if other[:3] == device:
                other[3] &= ~mask
            elif other[3] & mask and other[0] == device[0] and \
                    all(wide in (ANY, narrow) for wide, narrow in zip(other[1:3], device[1:])):
                return None
    # Rules of one device add up; an access is allowed by one device's rules, or denied by any of their bits.
    summed: dict[tuple[int, ...], int] = {}
    for other in exceptions:
        summed[tuple(other[:3])] = summed.get(tuple(other[:3]), 0) | other[3]
    matching = [mask for (device_kind, a, b), mask in summed.items()
                if device_kind == kind and a in (ANY, major) and b in (ANY, minor)]
    if default:
        return not any(mask & access for mask in matching)
    return any(mask & access == access for mask in matching)


NUMBERS = st.sampled_from([ANY, 0, 1, 3, 5, 8, 10, 136, 200, 4294967295])
RULES = st.lists(st.one_of(
    st.builds(lambda a, k, x, y, m: {"allow": a, "type": k, "major": x, "minor": y, "access": m}, st.booleans(),
              st.sampled_from("bc"), NUMBERS, NUMBERS, st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm"])),
    st.builds(lambda a: {"allow": a, "type": "a", "access": "rwm"}, st.booleans())), max_size=8)


@pytest.mark.spec("config-linux.md#allowed-device-list", "allow", "type", "major, minor", "access")
@given(RULES, st.sampled_from([BLOCK, CHAR]), st.integers(1, ALL), NUMBERS.filter(lambda n: n != ANY),
       NUMBERS.filter(lambda n: n != ANY))
def test_program_and_rules_agree(rules: list[Rule], kind: int, access: int, major: int, minor: int) -> None:
    expected = direct(rules, kind, access, major, minor)
    if expected is None:
        with pytest.raises(ConfigError):
            state(rules)
    else:
        assert allowed(rules, kind, access, major, minor) == expected


@given(RULES)
def test_no_instruction_is_out_of_reach(rules: list[Rule]) -> None:
    """The kernel's verifier refuses dead code, jumps out of the program, and an end that is no answer."""
    try:
        program = devices_bpf.program(state(rules))
    except ConfigError:
        return
    assert bpf.reached(program) == set(range(len(program) // 8))


@pytest.mark.parametrize("rules", [
    [allow("c", -1, -1, "rwm")], [allow("c", 7, -1, "rwm"), allow("c", 7, 1, "r")], [allow("b", -1, 3, "rwm")],
    [allow("c", -1, -1, "rwm"), allow("b", -1, -1, "rwm"), allow("c", 8, 0, "r")]])
def test_nor_behind_a_rule_for_everything(rules: list[Rule]) -> None:
    program = devices_bpf.program(state(rules))
    assert bpf.reached(program) == set(range(len(program) // 8))


def test_length_is_linear() -> None:
    rules = [allow("c", 1000 + i, i, "r") for i in range(1000)]
    assert len(devices_bpf.program(state(rules))) // 8 < 1000 * 13


@pytest.mark.parametrize("rules", [
    [allow("c", 1000 + i, i, "r") for i in range(9000)], [allow("c", 1000, i, "r") for i in range(9000)],
    [allow("bc"[i % 2], i % 7 if i > 500 else -1, i, "rw") for i in range(3000)],
    [allow("c", 7, i, "rwm") for i in range(-1, 3000)],
    [{"allow": True, "access": "rwm"}, *(deny("c", 7, i, "w") for i in range(3000))]],
    ids=["majors", "minors", "both types", "all of one", "all but"])
def test_more_rules_than_one_jump_can_pass(rules: list[Rule]) -> None:
    """The kernel's verifier has the last word: it follows every path, and gives up on too many."""
    program = devices_bpf.program(state(rules))
    assert bpf.reached(program) == set(range(len(program) // 8))
    os.close(Kernel().bpf_load_device(program))
    for number in (0, 999, 1000, 1001, 2999):
        for kind, major in ((CHAR, 0), (CHAR, 7), (CHAR, 1000), (CHAR, 1000 + number), (BLOCK, 1), (BLOCK, 7)):
            assert allowed(rules, kind, READ, major, number) == direct(rules, kind, READ, major, number)


def test_more_wide_rules_than_the_kernel_looks_through() -> None:
    with pytest.raises(ConfigError, match=r"^300 rules for one minor .*; the kernel can check at most 256:") as caught:
        devices_bpf.program(state([allow("b", -1, i, "r") for i in range(300)]))
    assert caught.value.where == "linux.resources.devices"
