"""exec: a second process in a container that exists already.

Everything is opened from the init's /proc/PID first and the init's identity is checked afterwards, so a recycled
pid can never lend its namespaces. The mount namespace is entered only in C (OP_SETNS): Python stays on the
host's files. The pid namespace comes after it: nobody in the container sees a process with the host's files.
"""
from __future__ import annotations

import errno
import posix

from ..cgroups.create import may_enter
from ..cgroups.path import of_process
from ..config.mappings import init_ids, own_ids, unknown_ids
from ..engine.step import CHILD, LAST, PARENT, Barrier, Step
from ..errors import NOT_RUNNING, StateError
from ..kernel.constants import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS
from ..kernel.last_stage import OP_CHROOT, OP_SETNS
from ..kernel.namespaces import NAMESPACES
from .cgroup import has_little
from .namespaces import BY_CHILD, Adopt, Clone, CloneInside, Enter, Join, Open, Return, join_cgroup
from .process import own_oom_score_adj
from .scheduling import final_affinity
from .user import drops_groups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

SPEC = "runtime.md#operations"
#: With what last_tail.c calls clone(2): CLONE_PARENT, or SIGCHLD for a process that is handed on; CLONE_PARENT_SETTID.
SIBLING, HANDED_ON = 0x00008000 | 0x00100000, 17 | 0x00100000


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
        from ..state.intent import start_time
        try:
            same = start_time(kernel, self.pid) == self.start_time
        except OSError as fault:
            if fault.errno not in (errno.ENOENT, errno.ESRCH):
                raise
            same = False
        if not same:
            raise StateError(NOT_RUNNING)


class Cgroup(Step):
    """Where the process is born: the container's cgroup, or one below it that the caller names.

    The container's own is the subgroup where it has one (run.oci.systemd.subgroup). A container that manages cgroups
    of its own has moved its init into an inner one, and cgroup v2 then takes no process in the outer one: the process
    joins the init instead (as runc does). So it does where create was spared a cgroup (--rootless). Where the caller
    may not put it there it is born in the caller's own cgroup, if systemd moves it afterwards (scope.attach) or the
    container has none; otherwise it would escape the container's limits. Born in a cgroup of little memory it would be
    killed for what the runtime has: it enters that later (enter_late).
    """
    name = "join.cgroup"
    spec = SPEC
    path: str
    subgroup: str             # below path, what the container has for its cgroup; "" for path itself
    below: str                # below that
    pid: int
    mounted: str              # where the host has cgroup2
    own: str                  # the runtime's own cgroup; "" when it may move processes everywhere
    moved: bool               # systemd puts the process there when the runtime may not
    made: bool                # create was not spared a cgroup

    def describe(self) -> str:
        return f"open cgroup {'/'.join(part for part in (self.path, self.subgroup, self.below) if part)}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        found, fd = self.open(kernel)
        facts.keep(self, found)
        facts.cgroup_fd = fd

    def open(self, kernel: Kernel) -> tuple[str, int]:
        """The path of the cgroup to be in, and a descriptor of it: -1 where the process is born in the caller's."""
        directory, spared = posix.O_RDONLY | posix.O_DIRECTORY, False
        inner = "/".join(part for part in (self.subgroup, self.below) if part)
        found = f"{self.path}/{inner}" if inner else self.path
        try:
            fd = kernel.open(self.path, directory | posix.O_NOFOLLOW)
        except FileNotFoundError:
            from ..cgroups.v2 import hidden, refuse_hidden
            if self.made:
                refuse_hidden(kernel, self.path)
            if inner:
                raise
            if not self.made and hidden(kernel, self.path):
                return self.path, -1         # nor has its init one
            found, spared = self.of_init(kernel), True
            try:
                fd = kernel.open(found, directory)
            except PermissionError:          # another user has made it for their own use
                if not self.own:
                    raise
                return found, -1
        else:
            if inner:
                outer = fd
                fd = kernel.open_in_root(outer, inner, directory, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
                kernel.close(outer)
            if not self.below and kernel.read_file("cgroup.subtree_control", fd).strip():
                kernel.close(fd)
                found = self.of_init(kernel)
                fd = kernel.open(found, directory)
        if self.own:
            try:
                kernel.close(kernel.open("cgroup.procs", posix.O_WRONLY, 0, fd))
                may_enter(kernel, self.mounted, self.own, found)
            except PermissionError:
                kernel.close(fd)
                if spared or self.moved:
                    return found, -1
                raise
        return found, fd

    def of_init(self, kernel: Kernel) -> str:
        found = of_process(kernel.read_file(f"/proc/{self.pid}/cgroup"))
        if found:
            return self.mounted + found
        raise OSError(errno.ENOENT, posix.strerror(errno.ENOENT), f"cgroup of process {self.pid}")


class EnterCgroup(Step):
    """A process that could not be born in the container's cgroup, for it had more memory than the container."""
    name = "join.enter_cgroup"
    spec = SPEC

    def describe(self) -> str:
        return "move the process into the cgroup"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if facts.cgroup_fd >= 0:
            kernel.write_file("cgroup.procs", str(facts.pid), facts.cgroup_fd)


class Chroot(Step):
    """A container without a mount namespace: its root is all it has of its own."""
    name = "join.root_directory"
    spec = SPEC
    side = LAST

    def describe(self) -> str:
        return "chroot to the container's root"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_CHROOT, facts.root_fd)


class EnterInC(Step):
    """Enter a namespace of the container in C: no Python runs with the container's files in reach."""
    name: str  # type: ignore[misc]  # join.<kind>
    spec = SPEC
    side = LAST
    target: Open

    def describe(self) -> str:
        return f"enter {self.target.kind} namespace {self.target.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_SETNS, facts.kept(self.target, -1), NAMESPACES[self.target.kind][0])


def clone(want: Request, container: Mapping[str, Any]) -> Iterator[Step]:
    """From the init's namespaces to a new process in them. config.linux.namespaces tells which are private."""
    pid, start_time = container["pid"], container["start_time"]
    into_cgroup = bool(container["cgroup"]) and not has_little(want.config)
    spaces = want.namespaces
    targets = [Open(kind=kind, path=f"/proc/{pid}/ns/{file}", where="linux.namespaces")
               for kind, (_, file) in NAMESPACES.items() if spaces.private(kind)]
    yield from targets
    yield Root(pid=pid)
    yield Verify(pid=pid, start_time=start_time)
    if not spaces.private("user") and want.host.privileged:
        entered = [Enter(target=t, kind=t.kind, where=t.where) for t in targets if t.kind not in (*BY_CHILD, "pid")]
        yield from entered
        yield Clone(flags=0, into_cgroup=into_cgroup, kinds="")
        for entry in entered:
            yield Return(entered=entry, where=entry.where)
        yield from join_cgroup(targets)
        return
    yield Clone(flags=0, into_cgroup=into_cgroup, kinds="")
    yield from own_oom_score_adj(want)
    yield Join(targets=[t for t in targets if t.kind not in ("mount", "pid")], ids=init_ids(want.config),
               otherwise=own_ids(want.config) if unknown_ids(want.config) else init_ids(want.config),
               drop_groups=spaces.private("user") and drops_groups(want.config, want.host), where="linux.namespaces")


def cgroup(want: Request, container: Mapping[str, Any]) -> Iterator[Step]:
    """PARENT: facts.cgroup_fd."""
    if not container["cgroup"]:
        return
    subgroup = ""
    if "unit" in container:
        from .scope import SUBGROUP
        subgroup = container["annotations"].get(SUBGROUP, "")
    yield Cgroup(path=container["cgroup"], subgroup=subgroup, below=want.options.cgroup, pid=container["pid"],
                 mounted=want.host.cgroup_mount, own="" if want.host.privileged else want.host.cgroup_own,
                 moved="unit" in container, made="cgroup_inode" in container)


def enter(want: Request, joining: list[Step], container: Mapping[str, Any]) -> Iterator[Step]:
    """PARENT, after the clone: into the cgroup, of a process that is not born there. joining: the steps of cgroup().

    Not yet when it has little memory. CPUs count from the moment when it is there.
    """
    if not has_little(want.config):
        yield from attach(joining, container)
        yield from final_affinity(want)


def enter_late(want: Request, joining: list[Step], container: Mapping[str, Any]) -> Iterator[Step]:
    """PARENT, when only C's memory is left: what the process has had until then stays charged to the caller's cgroup.

    It is in the container's before a process of the container can see it.
    """
    if has_little(want.config):
        yield Barrier(label="the process has done with the runtime's memory", waits=PARENT, in_last=True)
        if joining:
            yield EnterCgroup()
        yield from attach(joining, container)
        yield from final_affinity(want)
        yield Barrier(label="it is in the container's cgroup", waits=CHILD, in_last=True)


def attach(joining: list[Step], container: Mapping[str, Any]) -> Iterator[Step]:
    """PARENT: systemd moves the process where the runtime itself may not."""
    if "unit" in container:
        from .scope import Attach
        for step in joining:
            assert isinstance(step, Cgroup)
            yield Attach(unit=container["unit"], user=container["user_manager"], joined=step)


def switch(cloning: list[Step]) -> Iterator[Step]:
    """LAST: exec's way into the container's root, and then among its processes; cloning are the steps of clone()."""
    opened = {step.kind: step for step in cloning if isinstance(step, Open)}
    if "mount" in opened:
        yield EnterInC(name="join.mount", target=opened["mount"], where=opened["mount"].where)
    else:
        yield Chroot()
    if "pid" in opened:
        yield EnterInC(name="join.pid", target=opened["pid"], where=opened["pid"].where)


def clones(cloning: list[Step]) -> bool:
    """Whether the process is cloned once more, in the container's pid namespace."""
    return any(isinstance(step, Open) and step.kind == "pid" for step in cloning)


def clone_inside(want: Request, cloning: list[Step]) -> Iterator[Step]:
    """LAST, PARENT: the process among those of the container, where it waits; the runtime, or its parent, adopts it."""
    if not clones(cloning):
        return
    process: Any = want.config.get("process") or {}
    seccomp = want.config.get("linux", {}).get("seccomp")
    terminal = bool(process.get("terminal"))
    limits = [(limit["soft"], limit["hard"]) for limit in process.get("rlimits", ()) if limit["type"] == "RLIMIT_NPROC"]
    door = False
    if seccomp:
        from ..seccomp.profile import lets_pass
        needed = ["munmap", "setsid", *(["ioctl"] if terminal else []), *(["prlimit64"] if limits else [])]
        flags = HANDED_ON if want.options.heir else SIBLING
        door = not (lets_pass(seccomp, "clone", flags) and all(lets_pass(seccomp, call) for call in needed))
    yield CloneInside(terminal=terminal, door=door, processes=limits[0] if limits else None,
                      handed_on=bool(want.options.heir), where="linux.namespaces")
    yield Barrier(label="the process is among the container's", waits=PARENT, by_end=True)
    yield Adopt(heir=want.options.heir, where="linux.namespaces")


def go_on(cloning: list[Step]) -> Iterator[Step]:
    """PARENT: all is done for the process that waits there."""
    if clones(cloning):
        yield Barrier(label="the process is known", waits=CHILD)
