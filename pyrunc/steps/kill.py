"""kill: a signal to the init, or to everything in the container's cgroup."""
from __future__ import annotations

import _signal

from ..engine.step import Step
from ..errors import NOT_RUNNING, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.posix import PosixKernel
    from ..state.container import Container


def by_cgroup(container: Container, number: int, all: bool) -> bool:
    """Whether the signal goes to every process of the container's cgroup, and not to the init alone.

    SIGKILL reaches all of them anyway when the init has a pid namespace of its own; when it has not, the cgroup says
    who belongs to the container, whether the init still lives or not.
    """
    everything = all or (number == _signal.SIGKILL and not container.state["pid_namespace"])
    return everything and container.made and bool(container.state["cgroup"])


class Send(Step):
    name = "kill.send"
    spec = "runtime.md#kill"
    container: Container
    number: int
    all: bool

    def describe(self) -> str:
        if by_cgroup(self.container, self.number, self.all):
            return f"send signal {self.number} to every process in {self.container.state['cgroup']}"
        return f"send signal {self.number} to process {self.container.pid}"

    def apply(self, kernel: PosixKernel, facts: Facts) -> None:
        try:
            if by_cgroup(self.container, self.number, self.all):
                signal_cgroup(kernel, self.container, self.number)
            else:
                self.container.signal(self.number, kernel)
        except StateError:           # nobody is there to send it to, which with all is no failure
            if not self.all:
                raise


def signal_cgroup(kernel: PosixKernel, container: Container, number: int) -> None:
    """Signal every process below the container's cgroup; StateError when there is none."""
    with container.cgroup(kernel) as cgroup:
        pids = cgroup.procs()
        if not pids:
            raise StateError(NOT_RUNNING)
        if number == _signal.SIGKILL:
            cgroup.kill()            # also those that are being forked
        else:
            cgroup.signal(number, pids)


def send(container: Container, number: int, all: bool) -> Iterator[Step]:
    """PARENT."""
    yield Send(container=container, number=number, all=all)
