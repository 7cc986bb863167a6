"""set_mempolicy(2). From inside a container: tests/container/test_properties.py."""
from __future__ import annotations

import struct
from typing import Any

import pytest

from pyrunc.kernel.last_stage import OP_MEMPOLICY
from pyrunc.steps import memory_policy

from .planned import config, done, plan, story


# config-linux.md#memory-policy: "nodes (string, OPTIONAL) - list of memory nodes from which nodemask is constructed to
# set_mempolicy(2). This is a comma-separated list, with dashes to represent ranges. For example, 0-3,7 represents
# memory nodes 0,1,2,3, and 7."
@pytest.mark.parametrize("policy, text, mode, bits, words", [
    ({"mode": "MPOL_DEFAULT"}, "MPOL_DEFAULT", 0, 0, []),
    ({"mode": "MPOL_LOCAL", "nodes": ""}, "MPOL_LOCAL", 4, 0, []),
    ({"mode": "MPOL_INTERLEAVE", "nodes": "0-3,7"}, "MPOL_INTERLEAVE of nodes 0, 1, 2, 3, 7", 3, 8, [0x8F]),
    ({"mode": "MPOL_BIND", "nodes": "64", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_NUMA_BALANCING"]},
     "MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_NUMA_BALANCING of nodes 64", 0xA002, 65, [0, 1]),
    ({"mode": "MPOL_PREFERRED_MANY", "nodes": "1", "flags": ["MPOL_F_RELATIVE_NODES"]},
     "MPOL_PREFERRED_MANY | MPOL_F_RELATIVE_NODES of nodes 1", 0x4005, 2, [2]),
])
def test_mode_flags_and_nodes(policy: dict[str, Any], text: str, mode: int, bits: int, words: list[int]) -> None:
    whole = config(linux={"memoryPolicy": policy})
    assert story(plan(memory_policy.all, whole)) == [
        ("memory_policy.set", "linux.memoryPolicy", f"set memory policy {text}")]
    assert done(memory_policy.all, whole) == [("last", OP_MEMPOLICY, mode, bits, 0,
                                               struct.pack(f"={len(words)}Q", *words))]


def test_without_it_the_policy_is_left_alone() -> None:
    assert plan(memory_policy.all, config()) == []
