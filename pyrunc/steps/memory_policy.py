"""linux.memoryPolicy: from which NUMA nodes the process gets its memory (set_mempolicy(2))."""
from __future__ import annotations

from ..engine.step import LAST, Step
from ..kernel.constants import MPOL_FLAGS, MPOL_MODES
from ..kernel.last_stage import OP_MEMPOLICY, pack_nodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request


class Set(Step):
    """The policy of the init, which everything it starts inherits."""
    name = "memory_policy.set"
    spec = "config-linux.md#memory-policy"
    side = LAST
    mode: str
    flags: Sequence[str]
    nodes: Sequence[int]

    def describe(self) -> str:
        nodes = f" of nodes {', '.join(map(str, self.nodes))}" if self.nodes else ""
        return "set memory policy " + " | ".join([self.mode, *self.flags]) + nodes

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        mode = MPOL_MODES[self.mode]
        for flag in self.flags:
            mode |= MPOL_FLAGS[flag]
        bits, mask = pack_nodes(self.nodes)
        kernel.last(OP_MEMPOLICY, mode, bits, data=mask)


def all(want: Request) -> Iterator[Step]:
    """LAST."""
    policy = want.config.get("linux", {}).get("memoryPolicy")
    if policy:
        from ..config.numbers import parse_numbers
        yield Set(mode=policy["mode"], flags=policy.get("flags", ()), nodes=parse_numbers(policy.get("nodes", "")),
                  where="linux.memoryPolicy")
