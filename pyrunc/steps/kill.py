"""kill: a signal to the init, or to everything in the container's cgroup."""
from __future__ import annotations

import _signal

from ..engine.step import Step
from ..errors import NOT_RUNNING, StateError
from ..kernel.pidfd import NO_PROCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.posix import Files
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

    def apply(self, kernel: Files, facts: Facts) -> None:
        try:
            if by_cgroup(self.container, self.number, self.all):
                signal_cgroup(kernel, self.container, self.number)
            else:
                self.container.signal(self.number, kernel)
        except StateError:           # nobody is there to send it to, which with all is no failure
            if not self.all:
                raise


def signal_cgroup(kernel: Files, container: Container, number: int) -> None:
    """Signal every process below the container's cgroup; StateError when there is none."""
    cgroup = container.cgroup(kernel)
    try:
        pids = cgroup.procs()
        if not pids:
            raise StateError(NOT_RUNNING)
        if number == _signal.SIGKILL:
            cgroup.kill()
            return
        for pid in pids:
            try:
                fd = kernel.pidfd_open(pid)
            except OSError as fault:
                if fault.errno not in NO_PROCESS:
                    raise
                continue
            try:
                if pid in cgroup.procs():     # the pidfd is of the process that was listed, not of a later one
                    kernel.pidfd_send_signal(fd, number)
            except ProcessLookupError:
                pass
            finally:
                kernel.close(fd)
    finally:
        cgroup.close()


def send(container: Container, number: int, all: bool) -> Iterator[Step]:
    """PARENT."""
    yield Send(container=container, number=number, all=all)
