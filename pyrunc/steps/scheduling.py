"""When and where the process runs: scheduler, I/O priority, CPU affinity."""
from __future__ import annotations

from ..engine.step import LAST, PARENT, Step
from ..errors import strerror
from ..kernel.constants import IOPRIO_CLASS_SHIFT, IOPRIO_CLASSES, SCHED_FLAGS, SCHED_POLICIES
from ..kernel.last_stage import OP_IOPRIO, OP_SCHEDULER, pack_nodes, pack_scheduler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.types import Scheduler
    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

SPEC = "config.md#linux-process"
#: More than any kernel has CPUs (CONFIG_NR_CPUS); it takes those bits of a mask that it has CPUs for.
ALL_CPUS = b"\xff" * 1024


class SetScheduler(Step):
    """sched_setattr(2)."""
    name = "scheduling.scheduler"
    spec = SPEC
    side = LAST
    scheduler: Scheduler

    def describe(self) -> str:
        numbers = ", ".join(f"{key} {value}" for key, value in self.scheduler.items() if key not in ("policy", "flags"))
        names = " | ".join([self.scheduler["policy"], *self.scheduler.get("flags", ())])
        return f"set scheduling policy {names}" + (f": {numbers}" if numbers else "")

    def packed(self) -> bytes:
        """It as the kernel wants it."""
        wanted, flags = self.scheduler, 0
        for flag in wanted.get("flags", ()):
            flags |= SCHED_FLAGS[flag]
        return pack_scheduler(
            SCHED_POLICIES[wanted["policy"]], flags, wanted.get("nice", 0), wanted.get("priority", 0),
            wanted.get("runtime", 0), wanted.get("deadline", 0), wanted.get("period", 0))

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_SCHEDULER, data=self.packed())


class SetSchedulerOfClone(SetScheduler):
    """The same by the runtime, for what the clone of a process does not get or must not be made with."""
    side = PARENT

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.sched_setattr(facts.pid, self.packed())


class SetIOPriority(Step):
    """ioprio_set(2), of the init: what it starts inherits it."""
    name = "scheduling.io_priority"
    spec = SPEC
    side = LAST
    kind: str
    priority: int

    def describe(self) -> str:
        return f"set I/O priority {self.kind} {self.priority}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_IOPRIO, IOPRIO_CLASSES[self.kind] << IOPRIO_CLASS_SHIFT | self.priority)


class SetAffinity(Step):
    """sched_setaffinity(2): of the runtime, for a process it is about to make, or of that process."""
    name = "scheduling.affinity"
    spec = SPEC
    side = PARENT
    cpus: str                        # "" for every CPU that the cgroup allows
    own: bool

    def describe(self) -> str:
        whose = "the runtime" if self.own else "the process"
        return f"let {whose} run on CPUs {self.cpus}" if self.cpus else f"let {whose} run on any CPU of its cgroup"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.sched_setaffinity(0 if self.own else facts.pid, _mask(self.cpus) if self.cpus else ALL_CPUS)
        except PermissionError as fault:
            if self.cpus:
                raise
            # Nobody has asked for it; an outer container's filter may not know the call.
            facts.warnings.append(f"{self.describe()}: {strerror(fault.errno or 0)}")


def all(want: Request, cloned_later: bool = False) -> Iterator[Step]:
    """LAST: while the init still has the capabilities that real-time classes need."""
    process = want.config.get("process", {})
    if "scheduler" in process and not (cloned_later and _stays_behind(process["scheduler"])):
        yield SetScheduler(scheduler=process["scheduler"], where="process.scheduler")
    if "ioPriority" in process:
        wanted = process["ioPriority"]
        yield SetIOPriority(kind=wanted["class"], priority=wanted["priority"], where="process.ioPriority")


def after_clone(want: Request, cloned: bool) -> Iterator[Step]:
    """PARENT, of exec."""
    scheduler = want.config.get("process", {}).get("scheduler")
    if cloned and scheduler and _stays_behind(scheduler):
        yield SetSchedulerOfClone(scheduler=scheduler, where="process.scheduler")


def _stays_behind(scheduler: Scheduler) -> bool:
    """Whether a child does not get it: it is reset, or the kernel refuses the fork (sched(7))."""
    return scheduler["policy"] == "SCHED_DEADLINE" or "SCHED_FLAG_RESET_ON_FORK" in scheduler.get("flags", ())


def any_cpu(want: Request) -> Iterator[Step]:
    """PARENT, of create, once the init is in its cgroup: an engine's own affinity is no business of the container."""
    yield SetAffinity(cpus="", own=False)


def initial_affinity(want: Request) -> Iterator[Step]:
    """PARENT, of exec, before the clone: execCPUAffinity.initial."""
    initial = want.config.get("process", {}).get("execCPUAffinity", {}).get("initial")
    if initial:
        yield SetAffinity(cpus=initial, own=True, where="process.execCPUAffinity.initial")


def final_affinity(want: Request) -> Iterator[Step]:
    """PARENT, of exec, when the process is in the container's cgroup: execCPUAffinity.final.

    With an initial one alone the kernel decides; with neither of them, any CPU of the cgroup, as for the init.
    """
    affinity = want.config.get("process", {}).get("execCPUAffinity", {})
    if affinity.get("final"):
        yield SetAffinity(cpus=affinity["final"], own=False, where="process.execCPUAffinity.final")
    elif not affinity.get("initial"):
        yield SetAffinity(cpus="", own=False)


def _mask(cpus: str) -> bytes:
    """A CPU list as cpu_set_t, which is made like a mask of memory nodes."""
    from ..config.numbers import parse_numbers
    return pack_nodes(parse_numbers(cpus))[1]
