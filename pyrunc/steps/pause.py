"""pause: by the cgroup freezer."""
from __future__ import annotations

from ..engine.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.posix import PosixKernel
    from ..state.container import Container


class Freeze(Step):
    """Every process of the cgroup stops where it is (the kernel's cgroup-v2.rst, cgroup.freeze)."""
    name = "pause.freeze"
    container: Container

    def describe(self) -> str:
        return f"freeze {self.container.state['cgroup']}"

    def apply(self, kernel: PosixKernel, facts: Facts) -> None:
        with self.container.cgroup(kernel) as cgroup:
            cgroup.freeze()


def freeze(container: Container) -> Iterator[Step]:
    """PARENT."""
    yield Freeze(container=container)
