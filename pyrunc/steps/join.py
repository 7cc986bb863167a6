"""exec: a second process in a container that exists already.

Everything is opened from the init's /proc/PID first and the init's identity is checked afterwards, so a recycled
pid can never lend its namespaces. The mount namespace is entered only in C (OP_SETNS): Python stays on the
host's files.
"""
from __future__ import annotations

import errno
import posix

from ..errors import NOT_RUNNING, StateError
from ..last import OP_SETNS
from ..step import LAST, Step
from .namespaces import KINDS, Clone, CloneAgain, Enter, Join, Namespaces, Open, Return, adoption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..config.types import Config
    from ..facts import Facts
    from ..host import Host
    from ..kernel import Kernel
    from ..options import Options

SPEC = "runtime.md#operations"



class Root(Step):
    """A descriptor of the container's root: its /etc/passwd and terminal are looked up below it."""
    name = "join.root"
    spec = SPEC
    pid: int

    def describe(self) -> str:
        return f"open the root of the container's init {self.pid}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.root_fd = kernel.open(f"/proc/{self.pid}/root", posix.O_PATH | posix.O_DIRECTORY)


class Verify(Step):
    """The pid still is the container's init: what was opened from its /proc directory is its own."""
    name = "join.verify"
    spec = SPEC
    pid: int
    start_time: int

    def describe(self) -> str:
        return f"check that process {self.pid} is still the container's init"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        from ..state.record import start_time
        try:
            same = start_time(kernel, self.pid) == self.start_time
        except OSError as fault:
            if fault.errno not in (errno.ENOENT, errno.ESRCH):
                raise
            same = False
        if not same:
            raise StateError(NOT_RUNNING)


class Mount(Step):
    """Enter the container's mount namespace, in C: no Python runs with the container's files in reach."""
    name = "join.mount"
    spec = SPEC
    side = LAST
    target: Open

    def describe(self) -> str:
        return f"enter mount namespace {self.target.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_SETNS, self.target.fd, KINDS["mount"][0])


def clone(config: Config, options: Options, host: Host, container: Mapping[str, Any]) -> Iterator[Step]:
    """From the init's namespaces to a new process in them. config.linux.namespaces tells which are private."""
    pid, start_time, into_cgroup = container["pid"], container["start_time"], bool(container["cgroup"])
    spaces = Namespaces(config)
    targets = [Open(kind=kind, path=f"/proc/{pid}/ns/{file}", where="linux.namespaces")
               for kind, (_, file) in KINDS.items() if spaces.private(kind)]
    yield from targets
    yield Root(pid=pid)
    yield Verify(pid=pid, start_time=start_time)
    if not spaces.private("user"):
        entered = [Enter(target=t, kind=t.kind, where=t.where) for t in targets if t.kind != "mount"]
        yield from entered
        yield Clone(flags=0, into_cgroup=into_cgroup, kinds="")
        for entry in entered:
            yield Return(entered=entry, where=entry.where)
        return
    yield Clone(flags=0, into_cgroup=into_cgroup, kinds="")
    yield Join(targets=[t for t in targets if t.kind != "mount"], where="linux.namespaces")
    yield CloneAgain(flags=0, kinds="")
    yield from adoption()


def mount(steps: list[Step]) -> Iterator[Step]:
    """LAST: the switch of exec; steps are those planned so far."""
    for step in steps:
        if isinstance(step, Open) and step.kind == "mount":
            yield Mount(target=step, where=step.where)


