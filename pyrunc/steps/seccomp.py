"""The system call filter: compiled by the runtime, loaded in C as late as can be, handed to an agent if one is asked.

Loading a filter needs no_new_privs or CAP_SYS_ADMIN (seccomp(2)). With the first, it is loaded after everything that
it might refuse; without, it must be loaded before privileges are given up, and what follows must pass it.
"""
from __future__ import annotations

from ..engine.step import CHILD, LAST, PARENT, Barrier, Step
from ..kernel.constants import SECCOMP_FLAGS
from ..kernel.last_stage import OP_SECCOMP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..config.types import Seccomp
    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

SPEC = "config-linux.md#seccomp"
WHERE = "linux.seccomp"
#: How the listener reaches the runtime: it takes it by its number, or the init sends it.
NO_LISTENER, LISTENER, PASSED_ON = 0, 1, 2
#: Names that no library knows are told of, but not a whole profile of them.
MOST_NOTES = 5


class Compile(Step):
    """The program, from the cache or by libseccomp, which is loaded only for that, and never in the container."""
    name = "seccomp.compile"
    spec = SPEC
    seccomp: Seccomp
    root: str

    def describe(self) -> str:
        calls = {name for entry in self.seccomp.get("syscalls", ()) for name in entry["names"]}
        return f"compile the system call filter: {self.seccomp['defaultAction']}, rules for {len(calls)} calls"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        from ..seccomp.cache import Entry
        entry = Entry(kernel, self.root, self.seccomp)
        program = entry.find()
        if program is None:
            from ..seccomp import compile, profile
            read = profile.read(self.seccomp)
            program = compile.program(read)
            unknown = [f"{name} is no system call that libseccomp {compile.version()} knows, so the filter does not "
                       f"look "
                       f"for it: at {where} in "
                       f"config.json" for name, where in compile.unknown_names(read, refused=True)]
            facts.notes += unknown[:MOST_NOTES]
            if not unknown:              # what is remembered is not looked at again, and a warning is to be seen again
                entry.keep(program)
        facts.seccomp = program


class Load(Step):
    """From here on every system call of the init passes the filter."""
    name = "seccomp.load"
    spec = SPEC
    side = LAST
    flags: int
    listener: int                    # NO_LISTENER, LISTENER or PASSED_ON

    def describe(self) -> str:
        prefix = "SECCOMP_FILTER_FLAG_"
        names = [name.removeprefix(prefix) for name, bit in SECCOMP_FLAGS.items() if self.flags & bit]
        if self.listener:
            names.append("NEW_LISTENER")
        return "load the system call filter" + (f" ({', '.join(names)})" if names else "")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_SECCOMP, self.flags, self.listener, facts.sync_fd if self.listener == PASSED_ON else 0,
                    data=facts.seccomp)


class Notify(Step):
    """The agent gets the listener while the init waits: from here on it answers for the calls it was asked about."""
    name = "seccomp.notify"
    spec = "config-linux.md#the-container-process-state"
    path: str
    metadata: str
    state: dict[str, Any]
    init_pid: int                    # of exec: the pid in the state is not that of the new process
    passed_on: bool

    def describe(self) -> str:
        return f"send the filter's listener to {self.path}"

    def failure(self, fault: OSError) -> str:
        return f"failed to connect with seccomp agent: {self.describe()}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        from ..formats.json_text import dumps
        message: dict[str, Any] = {"ociVersion": self.state["ociVersion"], "fds": ["seccompFd"], "pid": facts.pid}
        if self.metadata:
            message["metadata"] = self.metadata
        message["state"] = {**self.state, "pid": self.init_pid or facts.pid}
        if self.passed_on:
            try:
                listener = kernel.receive_on(facts.sync_fd)
            except (BrokenPipeError, ConnectionResetError):
                return               # the init is gone: the barrier that follows finds out why
        else:
            listener = kernel.pidfd_getfd(facts.pidfd, facts.page.listener_fd)
        try:
            kernel.send_fd(self.path, dumps(message).encode(), listener)
        finally:
            kernel.close(listener)


def compile(want: Request) -> Iterator[Step]:
    """PARENT: before there is anything to undo."""
    seccomp = want.config.get("linux", {}).get("seccomp")
    if seccomp:
        yield Compile(seccomp=seccomp, root=want.options.root, where=WHERE)


def load_early(want: Request) -> Iterator[Step]:
    """LAST, while the init still has CAP_SYS_ADMIN: without noNewPrivileges."""
    if not want.config.get("process", {}).get("noNewPrivileges"):
        yield from _load(want)


def load_late(want: Request) -> Iterator[Step]:
    """LAST, when nothing is left to do but to wait and to execute: with noNewPrivileges."""
    if want.config.get("process", {}).get("noNewPrivileges"):
        yield from _load(want)


def _load(want: Request) -> Iterator[Step]:
    seccomp = want.config.get("linux", {}).get("seccomp")
    if not seccomp:
        return
    from ..seccomp import profile
    if not profile.asks_agent(seccomp):
        yield Load(flags=profile.flags(seccomp), listener=NO_LISTENER, where=WHERE)
        return
    from .hooks import oci_state
    # Taking a descriptor out of a process that is not dumpable is a right of root.
    listener = LISTENER if want.host.euid == 0 else PASSED_ON
    notify = Notify(path=seccomp["listenerPath"], metadata=seccomp.get("listenerMetadata", ""),
                    state=oci_state(want, "running" if want.options.joins else "creating"),
                    init_pid=want.options.init_pid, passed_on=listener == PASSED_ON, where=f"{WHERE}.listenerPath")
    there = Barrier(label="the filter's listener is there", waits=PARENT)
    yield Load(flags=profile.flags(seccomp), listener=listener, where=WHERE)
    yield from [notify, there] if notify.passed_on else [there, notify]
    yield Barrier(label="the agent has the listener", waits=CHILD)
