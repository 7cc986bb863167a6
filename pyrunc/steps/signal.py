"""kill, pause and resume: one step each, so that they can be traced like the rest."""
from __future__ import annotations

import _signal
import posix

from ..errors import NOT_RUNNING, StateError
from ..state.identity import NO_PROCESS
from ..step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..facts import Facts
    from ..files import Files
    from ..state.container import Container


def by_cgroup(container: Container, number: int, all: bool) -> bool:
    """Whether the signal goes to every process of the container's cgroup, and not to the init alone.

    SIGKILL reaches all of them anyway when the init has a pid namespace of its own; when it has not, the cgroup says
    who belongs to the container, whether the init still lives or not.
    """
    everything = all or (number == _signal.SIGKILL and not container.state["pid_namespace"])
    return everything and container.made and bool(container.state["cgroup"])


def send(container: Container, number: int, all: bool) -> None:
    """Send the signal. StateError when there is nobody to send it to, which with all is no failure."""
    try:
        if by_cgroup(container, number, all):
            signal_cgroup(container, number)
        else:
            container.signal(number)
    except StateError:
        if not all:
            raise


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
        send(self.container, self.number, self.all)


def signal_cgroup(container: Container, number: int) -> None:
    """Signal every process below the container's cgroup; StateError when there is none."""
    cgroup = container.cgroup()
    pids = cgroup.procs()
    if not pids:
        raise StateError(NOT_RUNNING)
    if number == _signal.SIGKILL:
        cgroup.kill()
        return
    for pid in pids:
        try:
            fd = posix.pidfd_open(pid)
        except OSError as fault:
            if fault.errno not in NO_PROCESS:
                raise
            continue
        try:
            if pid in cgroup.procs():     # the pidfd is of the process that was listed, not of a later one
                _signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            pass
        finally:
            posix.close(fd)


class Freeze(Step):
    """Every process of the cgroup stops where it is (the kernel's cgroup-v2.rst, cgroup.freeze)."""
    name = "pause.freeze"
    container: Container

    def describe(self) -> str:
        return f"freeze {self.container.state['cgroup']}"

    def apply(self, kernel: Files, facts: Facts) -> None:
        self.container.cgroup().freeze()


class Thaw(Step):
    name = "resume.thaw"
    container: Container

    def describe(self) -> str:
        return f"thaw {self.container.state['cgroup']}"

    def apply(self, kernel: Files, facts: Facts) -> None:
        self.container.cgroup().thaw()
