"""Namespaces: which are new, which are joined, and the clone that makes the container's init.

Who joins is decided by one rule. Without a user namespace to join, the runtime itself enters the others just
before the clone and returns to its own right after it, so the init is born where it belongs. With a user
namespace to join that is not possible (its owner may be all the privilege there is), so a first child joins
everything and clones the init as its sibling (CLONE_PARENT).
"""
from __future__ import annotations

import errno
import posix
from _signal import SIGKILL

from ..config.mappings import init_ids, own_ids, unknown_ids
from ..config.namespaces import Namespaces
from ..engine.step import CHILD, LAST, PARENT, Barrier, Step
from ..kernel.constants import CLONE_PARENT
from ..kernel.last_stage import OP_CLONE, pack_limit
from ..kernel.namespaces import NAMESPACES
from ..state.intent import parent_of, start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

#: Joined by the container's process itself, not by the runtime for it.
BY_CHILD = ("cgroup", "mount")
PR_SET_DUMPABLE = 4


class Open(Step):
    """Open a namespace to be joined, while the path still means what the engine meant."""
    name = "namespaces.open"
    spec = "config-linux.md#namespaces"
    kind: str
    path: str

    def describe(self) -> str:
        return f"open {self.kind} namespace {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.keep(self, kernel.open(self.path, posix.O_RDONLY))


class Foreign(Step):
    """The runtime is in a namespace that is not its own until Return, or until an undo: whatever is taken back and
    whatever hook runs then must not act on the container's. Its result: the runtime's own, open; -1 once it is back."""
    kind: str

    def leave(self, kernel: Kernel, facts: Facts) -> None:
        """Return to the runtime's own; again is no error."""
        own = facts.kept(self, -1)
        if own >= 0:
            kernel.setns(own, NAMESPACES[self.kind][0])
            kernel.close(own)
            facts.keep(self, -1)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        self.leave(kernel, facts)


class Enter(Foreign):
    """The runtime enters the namespace, to let the init be born in it."""
    name = "namespaces.enter"
    spec = "config-linux.md#namespaces"
    target: Open

    def describe(self) -> str:
        return f"enter {self.target.kind} namespace {self.target.path} for the clone"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        flag, file = NAMESPACES[self.target.kind]
        facts.keep(self, kernel.open(f"/proc/self/ns/{file}", posix.O_RDONLY))
        kernel.setns(facts.kept(self.target, -1), flag)


class Return(Step):
    """Back into the runtime's own namespace, before anything else (hooks, later containers) runs from here."""
    name = "namespaces.return"
    spec = "config-linux.md#namespaces"
    entered: Foreign

    def describe(self) -> str:
        return f"return to the runtime's own {self.entered.kind} namespace"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        self.entered.leave(kernel, facts)


class TimeOffsets(Foreign):
    """A new time namespace with its offsets: they can only be written before a process is in it."""
    name = "namespaces.time"
    spec = "config-linux.md#offset-for-time-namespace"
    kind: str = "time"
    offsets: str

    def describe(self) -> str:
        return "make a new time namespace" + (f", offsets {self.offsets!r}" if self.offsets else "")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.keep(self, kernel.open("/proc/self/ns/time", posix.O_RDONLY))
        kernel.unshare(NAMESPACES["time"][0])
        if self.offsets:
            kernel.write_file("/proc/self/timens_offsets", self.offsets)


class Clone(Step):
    """clone3: from here on there are two processes. In the child the engine goes on with the child's steps."""
    name = "namespaces.clone"
    spec = "config-linux.md#namespaces"
    forks = True
    flags: int
    into_cgroup: bool
    kinds: str
    dumpable: bool = False    # an unprivileged runtime may write the id maps only of a dumpable process
    heir: int = 0             # whose child it is, if not the runtime's (Options.heir)

    def describe(self) -> str:
        born = " into its cgroup" if self.into_cgroup else ""
        return f"clone the container's init{born}" + (f", with new namespaces: {self.kinds}" if self.kinds else "")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        cgroup = facts.cgroup_fd if self.into_cgroup else -1
        ours, theirs = kernel.socketpair()
        kernel.prctl(PR_SET_DUMPABLE, int(self.dumpable))
        facts.pid, facts.pidfd = kernel.clone3(self.flags | (CLONE_PARENT if self.heir else 0), cgroup, SIGKILL)
        facts.keep(self, facts.pid)
        if facts.pid and self.dumpable:
            kernel.prctl(PR_SET_DUMPABLE, 0)
            facts.start_time = start_time(kernel, facts.pid)      # as long as hidepid (proc(5)) lets us see it
        kernel.close(theirs if facts.pid else ours)
        facts.sync_fd = ours if facts.pid else theirs

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if facts.pidfd < 0:
            return
        kernel.kill_and_reap(facts.pid, facts.pidfd)
        # What it has cloned itself and nobody has adopted: the end of the container's init would wait for a zombie.
        other = facts.page.child_pid
        if facts.pid == facts.kept(self, 0) and other > 0:
            try:
                pidfd = kernel.pidfd_open(other)
            except ProcessLookupError:
                return
            if parent_of(kernel, other) == self.heir if self.heir else kernel.is_child(pidfd):
                kernel.kill_and_reap(other, pidfd)
            else:
                kernel.close(pidfd)


class Join(Step):
    """The first child joins everything: first what needs privilege outside the user namespace, then that one,
    then what only its owner may enter. The kind is passed to setns, so that a wrong one is refused."""
    name = "namespaces.join"
    spec = "config-linux.md#namespaces"
    side = CHILD
    targets: list[Open]
    ids: tuple[int, int] = (0, 0)   # uid and gid, after a user namespace
    otherwise: tuple[int, int] = (0, 0)     # where it does not have those
    drop_groups: bool = False # the user namespace may be one in which setgroups(2) is denied

    def describe(self) -> str:
        groups = ", without supplementary groups" if self.drop_groups else ""
        return "join namespaces: " + ", ".join(f"{t.kind} {t.path}" for t in self.targets) + groups

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if self.drop_groups:
            kernel.set_ids(0, 0, [])
        postponed = []
        user = [t for t in self.targets if t.kind == "user"]
        for target in [t for t in self.targets if t.kind != "user"]:
            try:
                kernel.setns(facts.kept(target, -1), NAMESPACES[target.kind][0])
            except PermissionError:
                postponed.append(target)
        for target in user + postponed:
            kernel.setns(facts.kept(target, -1), NAMESPACES[target.kind][0])
        if user:
            become(kernel, self.ids, self.otherwise, None)


def become(kernel: Kernel, ids: tuple[int, int], otherwise: tuple[int, int], groups: list[int] | None) -> None:
    """Set uid and gid; in place of one that the user namespace does not have (EINVAL, setresuid(2)), the other one."""
    (uid, gid), (other_uid, other_gid) = ids, otherwise
    pairs = [(uid, gid), (uid, other_gid), (other_uid, gid), otherwise] if ids != otherwise else [ids]
    for pair in pairs[:-1]:
        try:
            kernel.set_ids(*pair, groups)
            return
        except OSError as fault:
            if fault.errno != errno.EINVAL:
                raise
    kernel.set_ids(*pairs[-1], groups)


class CloneAgain(Step):
    """The first child clones the init as its own sibling in the joined namespaces, and is done."""
    name = "namespaces.clone_again"
    spec = "config-linux.md#namespaces"
    side = CHILD
    forks = True
    flags: int
    kinds: str

    def describe(self) -> str:
        return "clone the init in the joined namespaces" + (f", with new ones: {self.kinds}" if self.kinds else "")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        pid, _ = kernel.clone3(self.flags | CLONE_PARENT, -1, SIGKILL)
        if pid:
            facts.page.child_pid = pid
            kernel.exit(0)


class CloneInside(Step):
    """The same for a process of exec, in C, the last thing before execve: from its first instruction in the container's
    pid namespace it can be seized there by who has CAP_SYS_PTRACE. So it has the container's files, its own identity,
    capabilities, limits and filter by then, and nothing of the host is mapped (CVE-2016-9962, last_tail.c).
    """
    name = "namespaces.clone_inside"
    spec = "config-linux.md#namespaces"
    side = LAST
    terminal: bool
    door: bool                # the filter would refuse what this takes
    processes: tuple[int, int] | None = None     # soft and hard RLIMIT_NPROC: it is one less than until now
    handed_on: bool = False   # not the runtime's child, but of who adopts what that leaves

    def describe(self) -> str:
        terminal = " with its terminal" if self.terminal else ""
        door = ", through an exception in the filter" if self.door else ""
        return ("unmap the host's libraries, and clone the process in the container's pid namespace, as the leader "
                f"of a session{terminal}{door}")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        limit = pack_limit(*self.processes) if self.processes else b""
        kernel.last(OP_CLONE, facts.sync_fd, int(self.door), int(self.terminal) | 2 * self.handed_on, limit)


class Adopt(Step):
    """The runtime lets go of the first child and takes the process it made."""
    name = "namespaces.adopt"
    spec = "config-linux.md#namespaces"
    heir: int = 0             # whose child it has become, if not the runtime's (Options.heir)

    def describe(self) -> str:
        return "adopt the process that the first child cloned"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        first, first_pidfd = facts.pid, facts.pidfd
        # The new one may have been heard of before the first child could write its pid down, and end.
        kernel.wait_status(first_pidfd)
        pid = facts.page.child_pid
        if pid <= 0:
            raise OSError(errno.ESRCH, "the first child made no other")
        # Both are unreaped children of this process, so neither number can mean anybody else; unless somebody in the
        # container has got at the page. Of one that is handed on the heir is the parent by now, and it waits.
        pidfd = kernel.pidfd_open(pid)
        if not (parent_of(kernel, pid) == self.heir if self.heir else kernel.is_child(pidfd)):
            kernel.close(pidfd)
            raise OSError(errno.ECHILD, posix.strerror(errno.ECHILD), f"process {pid}")
        facts.pid, facts.pidfd = pid, pidfd
        if facts.start_time:
            facts.start_time = start_time(kernel, pid)
        kernel.kill_and_reap(first, first_pidfd)


class Unshare(Step):
    """A namespace that has to wait: a cgroup namespace has as its "/" the cgroup that its maker is in, and the
    mqueue file system belongs to the ids that the maker of its ipc namespace has, which must be mapped by then."""
    name = "namespaces.unshare"
    spec = "config-linux.md#namespaces"
    side = CHILD
    kind: str

    def describe(self) -> str:
        root = ", rooted at the container's cgroup" if self.kind == "cgroup" else ""
        return f"make a new {self.kind} namespace{root}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.unshare(NAMESPACES[self.kind][0])


class JoinMount(Step):
    """A joined mount namespace is entered last of all: from here on paths mean what they mean there."""
    name = "namespaces.join_mount"
    spec = "config-linux.md#namespaces"
    side = CHILD
    target: Open

    def describe(self) -> str:
        return f"join mount namespace {self.target.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.setns(facts.kept(self.target, -1), NAMESPACES["mount"][0])


def clone(want: Request, into_cgroup: bool) -> Iterator[Step]:
    """From the namespaces to be joined to the init's existence, both sides."""
    spaces = want.namespaces
    targets = [Open(kind=kind, path=path, where=where) for kind, (path, where) in spaces.joined.items()]
    yield from targets
    # A process born in a time namespace can no longer have its offsets set.
    new = [kind for kind in spaces.new if kind != "time" and kind not in unshared(spaces)]
    flags = 0
    for kind in new:
        flags |= NAMESPACES[kind][0]
    kinds = ", ".join(new)
    dumpable = "user" in spaces.new and not want.host.privileged
    if "user" not in spaces.joined and (want.host.privileged or all(target.kind in BY_CHILD for target in targets)):
        entered: list[Foreign] = []
        for target in targets:
            if target.kind not in BY_CHILD:
                enter = Enter(target=target, where=target.where, kind=target.kind)
                entered.append(enter)
                yield enter
        if "time" in spaces.new:
            entered.append(_time(want.config, spaces, PARENT))
            yield entered[-1]
        yield Clone(flags=flags, into_cgroup=into_cgroup, kinds=kinds, where="linux.namespaces", dumpable=dumpable,
                    heir=want.options.heir)
        for entry in entered:
            yield Return(entered=entry, where=entry.where)
        yield from join_cgroup(targets)
    else:
        # Root of a user namespace gets into those of its containers, but not back: the runtime's own belong to others.
        from .process import own_oom_score_adj
        from .user import drops_groups
        yield Clone(flags=0, into_cgroup=into_cgroup, kinds="", where="linux.namespaces", dumpable=dumpable,
                    heir=want.options.heir)
        yield from own_oom_score_adj(want)
        yield Join(targets=[t for t in targets if t.kind != "mount"], ids=init_ids(want.config),
                   otherwise=own_ids(want.config) if unknown_ids(want.config) else init_ids(want.config),
                   drop_groups="user" in spaces.joined and drops_groups(want.config, want.host),
                   where="linux.namespaces")
        if "time" in spaces.new:
            yield _time(want.config, spaces, CHILD)
        yield CloneAgain(flags=flags, kinds=kinds, where="linux.namespaces")
        yield from adoption(want.options.heir)


def join_cgroup(targets: list[Open]) -> Iterator[Step]:
    """CHILD: a joined cgroup namespace. In it the runtime could not make a child in a cgroup outside of it
    (cgroup-v2.rst, nsdelegate)."""
    found = [target for target in targets if target.kind == "cgroup"]
    if found:
        yield Join(targets=found, where=found[0].where)


def adoption(heir: int) -> Iterator[Step]:
    """After CloneAgain: the runtime takes over the init, which waits for it."""
    yield Barrier(label="the init exists", waits=PARENT)
    yield Adopt(heir=heir, where="linux.namespaces")
    yield Barrier(label="the init is adopted", waits=CHILD)


def unshared(spaces: Namespaces) -> tuple[str, ...]:
    """The new namespaces that the init makes itself."""
    late = ("ipc", "cgroup") if "user" in spaces.new else ("cgroup",)
    return tuple(kind for kind in late if kind in spaces.new)


def inside(want: Request) -> Iterator[Step]:
    """What only the init itself can do, once its ids are mapped."""
    spaces = want.namespaces
    for kind in unshared(spaces):
        yield Unshare(kind=kind, where=spaces.new[kind])


def join_mount(cloning: list[Step]) -> Iterator[Step]:
    """CHILD, after every other joining; cloning are the steps that clone() gave."""
    for step in cloning:
        if isinstance(step, Open) and step.kind == "mount":
            yield JoinMount(target=step, where=step.where)


def _time(config: Config, spaces: Namespaces, side: str) -> TimeOffsets:
    lines = []
    offsets: dict[str, Any] = dict(config.get("linux", {}).get("timeOffsets") or {})
    for clock, offset in offsets.items():
        lines.append(f"{clock} {offset.get('secs', 0)} {offset.get('nanosecs', 0)}\n")
    return TimeOffsets(offsets="".join(lines), side=side, where="linux.timeOffsets" if lines else spaces.new["time"])
