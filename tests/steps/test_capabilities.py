"""The five sets of capabilities. From inside a container: tests/container/test_inside.py."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.host import Host
from pyrunc.kernel import constants
from pyrunc.kernel.last_stage import OP_AMBIENT, OP_BOUNDING, OP_CAPSET, OP_KEEP_CAPS
from pyrunc.steps import capabilities

from .planned import config, done, facts, plan, story

CHOWN, KILL, NET_RAW, SYS_ADMIN, SYS_RESOURCE = 1 << 0, 1 << 5, 1 << 13, 1 << 21, 1 << 24
ALL = (1 << 41) - 1


def process(**sets: list[str]) -> dict[str, Any]:
    return config(process={"capabilities": {kind: [f"CAP_{name}" for name in names] for kind, names in sets.items()}})


def last(code: int, a: int, b: int = 0, c: int = 0) -> tuple[object, ...]:
    return ("last", code, a, b, c, b"")


# config.md#linux-process: "bounding … is an array of bounding capabilities that are kept for the process", and so for
# effective, inheritable, permitted and ambient.
def test_each_set_where_it_belongs() -> None:
    wanted = process(bounding=["CHOWN", "KILL", "NET_RAW"], permitted=["CHOWN", "KILL"], effective=["CHOWN"],
                     inheritable=["KILL"], ambient=["KILL"])
    assert story(plan(capabilities.bound, wanted)) == [
        ("capabilities.bounding", "process.capabilities.bounding", "limit the bounding set to CHOWN, KILL, NET_RAW"),
        ("capabilities.keep", "process.capabilities", "keep capabilities over the change of user")]
    assert done(capabilities.bound, wanted) == [last(OP_BOUNDING, CHOWN | KILL | NET_RAW), last(OP_KEEP_CAPS, 1)]
    assert story(plan(capabilities.set, wanted)) == [
        ("capabilities.keep", "process.capabilities", "stop keeping capabilities"),
        ("capabilities.set", "process.capabilities",
         "set capabilities: effective CHOWN; permitted CHOWN, KILL; inheritable KILL"),
        ("capabilities.ambient", "process.capabilities.ambient", "set ambient capabilities KILL")]
    assert done(capabilities.set, wanted) == [last(OP_KEEP_CAPS, 0), last(OP_CAPSET, CHOWN, CHOWN | KILL, KILL),
                                              last(OP_AMBIENT, KILL)]


def test_without_the_property_nothing_is_touched() -> None:
    for wanted in (config(), config(process=None)):
        assert plan(capabilities.bound, wanted) == plan(capabilities.set, wanted) == []
        assert capabilities.given(wanted, Host()) is None  # type: ignore[arg-type]


def test_an_empty_object_gives_everything_up() -> None:
    assert done(capabilities.bound, process())[0] == last(OP_BOUNDING, 0)
    assert done(capabilities.set, process()) == [last(OP_KEEP_CAPS, 0), last(OP_CAPSET, 0), last(OP_AMBIENT, 0)]


# CVE-2022-29162: what is bounding, permitted and effective is not inheritable by that, nor ambient.
def test_no_set_is_filled_from_another() -> None:
    wanted = process(bounding=["KILL"], permitted=["KILL"], effective=["KILL"])
    assert done(capabilities.set, wanted)[1:] == [last(OP_CAPSET, KILL, KILL, 0), last(OP_AMBIENT, 0)]


# config.md#linux-process: "Any value which cannot be mapped to a relevant kernel interface, or cannot be granted
# otherwise MUST be logged as a warning by the runtime. Runtimes SHOULD NOT fail if the container configuration requests
# capabilities that cannot be granted"
@pytest.mark.parametrize("sets, host, reason, place", [
    ({"bounding": ["KILL", "TEST"]}, Host(), "CAP_TEST is unknown to this kernel", "bounding[1]"),
    ({"bounding": ["CHECKPOINT_RESTORE"]}, Host(last_capability=39), "CAP_CHECKPOINT_RESTORE is unknown to this kernel",
     "bounding[0]"),
    ({"permitted": ["SYS_RESOURCE"]}, Host(capabilities=ALL & ~SYS_RESOURCE),
     "CAP_SYS_RESOURCE cannot be granted: the runtime does not have it", "permitted[0]"),
    ({"effective": ["KILL"]}, Host(), "CAP_KILL cannot be granted: it is not in the permitted set", "effective[0]"),
    ({"inheritable": ["KILL"]}, Host(), "CAP_KILL cannot be granted: it is not in the bounding set", "inheritable[0]"),
    ({"permitted": ["KILL"], "bounding": ["KILL"], "ambient": ["KILL"]}, Host(),
     "CAP_KILL cannot be granted: it is not in both the permitted and the inheritable set", "ambient[0]"),
])
def test_what_cannot_be_granted_is_a_warning(sets: dict[str, list[str]], host: Host, reason: str, place: str) -> None:
    step, *rest = plan(capabilities.bound, process(**sets), host=host)
    assert [step.name, *(other.name for other in rest)] == [
        "capabilities.leave_out", "capabilities.bounding", "capabilities.keep"]
    known = facts()
    step.apply(None, known)  # type: ignore[arg-type]  # it has no effect on the kernel
    assert known.warnings + known.notes == [f"{reason}: at process.capabilities.{place} in config.json"]
    assert step.describe() == f"ignore a capability: {reason}"


def test_a_user_namespace_has_them_all() -> None:
    wanted = {**process(permitted=["SYS_RESOURCE"]), "linux": {"namespaces": [{"type": "user"}]}}
    assert done(capabilities.set, wanted, host=Host(capabilities=0, euid=1000))[1] == last(OP_CAPSET, 0, SYS_RESOURCE)


KINDS = ("bounding", "permitted", "effective", "inheritable", "ambient")
NAMES = st.lists(st.sampled_from([*constants.CAPABILITIES, "CAP_X"]))


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(KINDS, NAMES)),
       st.integers(0, ALL), st.integers(30, 40))
def test_the_kernel_takes_whatever_comes_out(sets: dict[str, list[str]], own: int, highest: int) -> None:
    """capset(2): effective within permitted, inheritable within bounding; PR_CAP_AMBIENT: within both of its own."""
    host = Host(capabilities=own, last_capability=highest)
    found = capabilities.Sets(config(process={"capabilities": sets}), host)  # type: ignore[arg-type]
    known = own & (1 << highest + 1) - 1
    assert found.bounding | found.permitted == (found.bounding | found.permitted) & known
    assert found.effective & ~found.permitted == 0
    assert found.inheritable & ~found.bounding == 0
    assert found.ambient & ~(found.permitted & found.inheritable) == 0
    granted = sum(mask.bit_count() for mask in found.masks().values())
    assert granted + len(found.left_out) >= len({(kind, name) for kind, names in sets.items() for name in names})


@pytest.mark.parametrize("mask, text", [(0, "none"), (CHOWN | SYS_ADMIN, "CHOWN, SYS_ADMIN"), (ALL, "all"),
                                        (ALL & ~KILL, "all but KILL")])
def test_masks_for_people(mask: int, text: str) -> None:
    assert capabilities.names(mask) == text
