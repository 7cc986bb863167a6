"""linux.personality: what kind of Linux the process believes in (personality(2))."""
from __future__ import annotations

from ..engine.step import LAST, Step
from ..kernel.constants import PERSONALITIES, PERSONALITY_FLAGS
from ..kernel.last_stage import OP_PERSONALITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request


class Set(Step):
    """The spec names no flag yet; those of the kernel are taken, where runc ignores and youki refuses them."""
    name = "personality.set"
    spec = "config-linux.md#personality"
    side = LAST
    domain: str
    flags: Sequence[str]

    def describe(self) -> str:
        return "set personality " + " | ".join([self.domain, *self.flags])

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        persona = PERSONALITIES[self.domain]
        for flag in self.flags:
            persona |= PERSONALITY_FLAGS[flag]
        kernel.last(OP_PERSONALITY, persona)


def all(want: Request) -> Iterator[Step]:
    """LAST."""
    wanted = want.config.get("linux", {}).get("personality")
    if wanted:
        yield Set(domain=wanted["domain"], flags=wanted.get("flags", ()), where="linux.personality")
