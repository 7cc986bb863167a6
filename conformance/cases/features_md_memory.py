"""features-linux.md, memory policies: the modes and flags that are named are taken, and the program has them."""
from __future__ import annotations

import ctypes
import os
import re

from ..harness.trial import Trial
from ..model import NotOffered, case
from .features_md import features

#: As the kernel numbers them, and what /proc/self/numa_maps begins with (mm/mempolicy.c, mpol_to_str).
MODES = {"MPOL_DEFAULT": (0, "default"), "MPOL_PREFERRED": (1, "prefer"), "MPOL_BIND": (2, "bind"),
         "MPOL_INTERLEAVE": (3, "interleave"), "MPOL_LOCAL": (4, "local"), "MPOL_PREFERRED_MANY": (5, "prefer (many)"),
         "MPOL_WEIGHTED_INTERLEAVE": (6, "weighted interleave")}
FLAGS = {"MPOL_F_STATIC_NODES": (1 << 15, "=static"), "MPOL_F_RELATIVE_NODES": (1 << 14, "=relative"),
         "MPOL_F_NUMA_BALANCING": (1 << 13, "")}
SET_MEMPOLICY = {"x86_64": 238, "aarch64": 237}


def kernel_has(number: int, nodes: bool) -> bool:
    """Whether set_mempolicy(2) takes this here; it is tried in another process."""
    child = os.fork()
    if child == 0:
        mask = ctypes.byref(ctypes.c_ulong(1)) if nodes else None
        call = ctypes.CDLL(None).syscall(SET_MEMPOLICY.get(os.uname().machine, -1), number, mask, 64 if nodes else 0)
        os._exit(call != 0)
    return os.waitpid(child, 0)[1] == 0


def policies(t: Trial, name: str) -> list[str]:
    found = (features(t).get("linux") or {}).get("memoryPolicy") or {}
    if not found.get(name):
        raise NotOffered(f"features: linux.memoryPolicy.{name} is not there")
    t.needs_file("/proc/self/numa_maps")
    return [str(word) for word in found[name]]


def policy(t: Trial, **given: object) -> str:
    """The policy of the first mapping of a program with this memoryPolicy."""
    said = t.inside("head -n 1 /proc/self/numa_maps", linux={"memoryPolicy": given})
    return re.split(r" (?:file=|anon=|heap|stack|mapped=)", said.partition(" ")[2])[0]


@case("features-linux.md#memorypolicy", "memoryPolicy", "modes", "each mode is recognized",
      also={"config-linux.md#memory-policy": ("memoryPolicy", "mode", "nodes")})
def modes_of_memory(t: Trial) -> None:
    """A program has each mode of linux.memoryPolicy.modes that the kernel has"""
    for name in policies(t, "modes"):
        t.true(name in MODES, f"features names a mode {name}, which is none")
        number, shown = MODES[name]
        nodes = name not in ("MPOL_DEFAULT", "MPOL_LOCAL")
        if kernel_has(number, nodes):
            seen = policy(t, mode=name, **({"nodes": "0"} if nodes else {}))
            t.true(seen.startswith(f"{shown}:0" if nodes else shown), f"policy with {name}: {seen!r}")


@case("features-linux.md#memorypolicy", "flags", "each flag is recognized",
      also={"config-linux.md#memory-policy": ("flags",)})
def flags_of_memory(t: Trial) -> None:
    """A program has each flag of linux.memoryPolicy.flags that the kernel has"""
    for name in policies(t, "flags"):
        t.true(name in FLAGS, f"features names a flag {name}, which is none")
        number, shown = FLAGS[name]
        if kernel_has(MODES["MPOL_BIND"][0] | number, True):
            seen = policy(t, mode="MPOL_BIND", nodes="0", flags=[name])
            t.true(seen.startswith(f"bind{shown}"), f"policy with {name}: {seen!r}")
