"""process.capabilities: the five sets of capabilities(7).

Without the property nothing is touched: what the kernel does at setuid(2) and execve(2) is what happens. An empty
object gives everything up. What cannot be granted is left out with a warning, as the spec demands.
"""
from __future__ import annotations

from ..config.namespaces import Namespaces
from ..engine.step import LAST, PARENT, Step
from ..kernel.constants import CAPABILITIES
from ..kernel.last_stage import OP_AMBIENT, OP_BOUNDING, OP_CAPSET, OP_KEEP_CAPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..host import Host
    from ..kernel.linux import Kernel
    from ..request import Request

SPEC = "config.md#linux-process"
WHERE = "process.capabilities"
NUMBERS = {name: number for number, name in enumerate(CAPABILITIES)}


class Sets:
    """The sets as masks, so that the kernel will take them, and what had to be left out for that."""

    def __init__(self, config: Config, host: Host) -> None:
        self.left_out: list[tuple[str, str]] = []        # (JSON path, reason)
        self.known = (1 << host.last_capability + 1) - 1
        # A user namespace of its own gives the init every capability in it.
        self.available = self.known if Namespaces(config).private("user") else self.known & host.capabilities
        wanted = config["process"]["capabilities"]
        self._wanted = wanted
        self.bounding = self._mask("bounding", self.available, "the runtime does not have it")
        self.permitted = self._mask("permitted", self.available, "the runtime does not have it")
        self.effective = self._mask("effective", self.permitted, "it is not in the permitted set")
        # capset(2) takes no more into the inheritable set than the bounding set still has.
        self.inheritable = self._mask("inheritable", self.bounding, "it is not in the bounding set")
        self.ambient = self._mask("ambient", self.permitted & self.inheritable,
                                  "it is not in both the permitted and the inheritable set")

    def masks(self) -> dict[str, int]:
        """By the names of the config."""
        return {"effective": self.effective, "permitted": self.permitted, "inheritable": self.inheritable,
                "bounding": self.bounding, "ambient": self.ambient}

    def _mask(self, kind: str, limit: int, reason: str) -> int:
        mask = 0
        names: list[str] = self._wanted.get(kind, [])    # type: ignore[assignment]
        for index, name in enumerate(names):
            bit = 1 << NUMBERS[name] if name in NUMBERS else 0
            if not bit & self.known:
                self.left_out.append((f"{WHERE}.{kind}[{index}]", f"{name} is unknown to this kernel{_meant(name)}"))
            elif not bit & limit:
                self.left_out.append((f"{WHERE}.{kind}[{index}]", f"{name} cannot be granted: {reason}"))
            mask |= bit & limit
        return mask


def _meant(name: str) -> str:
    from ..config.near import meant
    return meant(name, NUMBERS)


class LeaveOut(Step):
    """A warning: the container does not get a capability that the config has.

    usual   engines ask for it as a matter of course (Buildah, for the ambient set): it is for a log, and must not come
            between the lines of a program that has this command's stderr
    """
    name = "capabilities.leave_out"
    spec = SPEC
    side = PARENT
    reason: str
    usual: bool

    def describe(self) -> str:
        return f"ignore a capability: {self.reason}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        (facts.notes if self.usual else facts.warnings).append(f"{self.reason}: at {self.where} in config.json")


class Bound(Step):
    """prctl(2) PR_CAPBSET_DROP for each of the others: no execve(2) can bring them back."""
    name = "capabilities.bounding"
    spec = SPEC
    side = LAST
    mask: int

    def describe(self) -> str:
        return f"limit the bounding set to {names(self.mask)}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_BOUNDING, self.mask)


class Keep(Step):
    """prctl(2) PR_SET_KEEPCAPS: setuid(2) would clear the permitted set, from which the sets are taken."""
    name = "capabilities.keep"
    spec = SPEC
    side = LAST
    keep: bool

    def describe(self) -> str:
        return "keep capabilities over the change of user" if self.keep else "stop keeping capabilities"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_KEEP_CAPS, int(self.keep))


class Set(Step):
    """capset(2)."""
    name = "capabilities.set"
    spec = SPEC
    side = LAST
    effective: int
    permitted: int
    inheritable: int

    def describe(self) -> str:
        return (f"set capabilities: effective {names(self.effective)}; permitted {names(self.permitted)}; "
                f"inheritable {names(self.inheritable)}")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_CAPSET, self.effective, self.permitted, self.inheritable)


class Ambient(Step):
    """prctl(2) PR_CAP_AMBIENT: clear the set, then raise these."""
    name = "capabilities.ambient"
    spec = SPEC
    side = LAST
    mask: int

    def describe(self) -> str:
        return f"set ambient capabilities {names(self.mask)}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_AMBIENT, self.mask)


def names(mask: int) -> str:
    """A mask for people: the names without CAP_, or how many where that would be all or many."""
    found = [name[len("CAP_"):] for number, name in enumerate(CAPABILITIES) if mask >> number & 1]
    if len(found) > len(CAPABILITIES) // 2:
        missing = [name[len("CAP_"):] for number, name in enumerate(CAPABILITIES) if not mask >> number & 1]
        return f"all but {', '.join(missing)}" if missing else "all"
    return ", ".join(found) or "none"


def given(config: Config, host: Host) -> Sets | None:
    """The sets to be, or None where the config leaves capabilities alone."""
    return Sets(config, host) if "capabilities" in config.get("process", {}) else None


def bound(want: Request) -> Iterator[Step]:
    """LAST, before the change of user: it takes CAP_SETPCAP. The warnings are the runtime's."""
    sets = given(want.config, want.host)
    if sets is None:
        return
    for where, reason in sets.left_out:
        yield LeaveOut(reason=reason, where=where, usual=where.startswith(f"{WHERE}.ambient"))
    yield Bound(mask=sets.bounding, where=f"{WHERE}.bounding")
    yield Keep(keep=True, where=WHERE)


def set(want: Request) -> Iterator[Step]:
    """LAST, after the change of user."""
    sets = given(want.config, want.host)
    if sets is None:
        return
    yield Keep(keep=False, where=WHERE)
    yield Set(effective=sets.effective, permitted=sets.permitted, inheritable=sets.inheritable, where=WHERE)
    yield Ambient(mask=sets.ambient, where=f"{WHERE}.ambient")
