"""The container's init between its set-up and `start`: it waits, in C, and gives nobody a hold on the host."""
from __future__ import annotations

from ..engine.step import LAST, Step
from ..kernel import last_stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request


class Signals(Step):
    """Handlers, because a pid 1 without any would drop what `kill` sends it before `start` (pid_namespaces(7))."""
    name = "init.signals"
    spec = "runtime.md#kill"
    side = LAST

    def describe(self) -> str:
        return "let SIGTERM and its like end the init until it executes the program"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_SIGNALS)


class Dumpable(Step):
    """/proc/PID of an init that is not dumpable belongs to root; an ordinary user's exec needs it (proc(5), ptrace(2)).

    Only where the user has no more privilege than the container: nobody else gains a right by it.
    """
    name = "init.dumpable"
    spec = "runtime.md#operations"
    side = LAST

    def describe(self) -> str:
        return "make the init dumpable: an exec by the same user has to open its namespaces"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_DUMPABLE)


class LetGo(Step):
    """Of what is mapped from the host's files: whoever is in the init's pid namespace with CAP_SYS_PTRACE and
    CAP_CHECKPOINT_RESTORE could open it for writing as /proc/PID/map_files, while the init waits for `start`.

    Hooks need the C library: it stays, as a copy in memory.
    """
    name = "init.let_go"
    spec = "runtime.md#lifecycle"
    side = LAST
    hooks: bool
    door: bool                # the filter would refuse munmap(2)

    def describe(self) -> str:
        rest = ", but for a copy of the C library" if self.hooks else ""
        door = ", through an exception in the filter" if self.door else ""
        return f"unmap the host's libraries{rest}{door}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_LET_GO, 0, int(self.door), int(self.hooks))


class WaitStart(Step):
    """The container is `created` until `start` writes to the fifo."""
    name = "init.wait_start"
    spec = "runtime.md#start"
    side = LAST

    def describe(self) -> str:
        return "wait for start"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_WAIT_START, facts.fifo_fd)


def signals(want: Request) -> Iterator[Step]:
    """LAST, of create: a process of exec is no pid 1, and has nothing to wait for."""
    yield Signals()


def dumpable(want: Request) -> Iterator[Step]:
    """LAST, of create, when all privileges are given up; before a filter may refuse the call."""
    if want.host.euid != 0 and not want.options.joins:
        yield Dumpable()


def let_go(want: Request) -> Iterator[Step]:
    """LAST. A copy of the C library would not go into little memory."""
    from .cgroup import has_little
    hooks = bool(want.config.get("process") and want.config.get("hooks", {}).get("startContainer"))
    if hooks and has_little(want.config):
        return
    seccomp, door = want.config.get("linux", {}).get("seccomp"), False
    if seccomp:
        from ..seccomp.profile import lets_pass
        door = not lets_pass(seccomp, "munmap")
    yield LetGo(hooks=hooks, door=door)


def wait_start(want: Request) -> Iterator[Step]:
    """LAST, of create."""
    yield WaitStart()
