"""resume: by the cgroup freezer."""
from __future__ import annotations

from ..engine.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.posix import PosixKernel
    from ..state.container import Container


class Thaw(Step):
    """The processes of the cgroup go on."""
    name = "resume.thaw"
    container: Container

    def describe(self) -> str:
        return f"thaw {self.container.state['cgroup']}"

    def apply(self, kernel: PosixKernel, facts: Facts) -> None:
        with self.container.cgroup(kernel) as cgroup:
            cgroup.thaw()


def thaw(container: Container) -> Iterator[Step]:
    """PARENT."""
    yield Thaw(container=container)
