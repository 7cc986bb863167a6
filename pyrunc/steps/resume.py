"""resume: by the cgroup freezer."""
from __future__ import annotations

from ..engine.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.posix import Files
    from ..state.container import Container


class Thaw(Step):
    """The processes of the cgroup go on."""
    name = "resume.thaw"
    container: Container

    def describe(self) -> str:
        return f"thaw {self.container.state['cgroup']}"

    def apply(self, kernel: Files, facts: Facts) -> None:
        cgroup = self.container.cgroup(kernel)
        try:
            cgroup.thaw()
        finally:
            cgroup.close()


def thaw(container: Container) -> Iterator[Step]:
    """PARENT."""
    yield Thaw(container=container)
