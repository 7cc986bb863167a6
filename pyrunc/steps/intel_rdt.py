"""linux.intelRdt: the container's share of caches and memory bandwidth, by a group of resctrl (kernel, resctrl.rst).

Groups are made and checked before the clone; the init's pid goes into their `tasks` right after it, and whatever the
init forks is in them too. A group that pyrunc made for one container has the container's mark, as its cgroup has: only
such a group is removed with the container. One that closID names belongs to all who name it.
"""
from __future__ import annotations

from ..cgroups.path import mark
from ..cgroups.resctrl import WHERE, groups, parse, remove
from ..cgroups.v2 import DIRECTORY, MARKS, STICKY
from ..engine.step import Step
from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..kernel.posix import PosixKernel
    from ..request import Request

SPEC = "config-linux.md#intelrdt"


class RdtStep(Step):
    """What concerns one group. resctrl says in a file of its own why it refused the last command."""
    spec = SPEC
    root: str                        # where resctrl is mounted
    path: str                        # the group's directory

    def refused(self, kernel: PosixKernel, fault: OSError) -> OSError:
        try:
            said = kernel.read_file(f"{self.root}/info/last_cmd_status").strip()
        except OSError:
            said = ""
        return OSError(fault.errno, fault.strerror, said if said != "ok" else "")


class Make(RdtStep):
    """A group for this container alone, of either kind. The sticky bit and the mark tell whose it is."""
    name: str  # type: ignore[misc]  # intel_rdt.group or intel_rdt.monitor
    mark: str

    def describe(self) -> str:
        return f"make resctrl group {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.mkdir(self.path, 0o755 | STICKY)
            facts.keep(self, True)
            fd = kernel.open(self.path, DIRECTORY)
            kernel.setxattr(fd, MARKS[0], self.mark.encode())
            kernel.close(fd)
        except OSError as fault:
            raise self.refused(kernel, fault) from None

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if facts.kept(self, False):
            remove(kernel, self.path, self.mark)


class Find(RdtStep):
    """closID without anything to set: another program has prepared the group."""
    name = "intel_rdt.find"

    def describe(self) -> str:
        return f"find resctrl group {self.path}"

    def failure(self, fault: OSError) -> str:
        return f"clos dir not accessible (must be pre-created when schemata, l3CacheSchema and memBwSchema are " \
               f"empty): {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.stat_path(self.path)


class Share(RdtStep):
    """closID with something to set: the group is made unless it is there. One that is there must say the same."""
    name = "intel_rdt.share"
    lines: Mapping[str, str]         # l3CacheSchema, memBwSchema

    def describe(self) -> str:
        return f"make resctrl group {self.path}, or check it"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.mkdir(self.path, 0o755)
            facts.keep(self, True)
        except FileExistsError:
            self.check(kernel)
        except OSError as fault:
            raise self.refused(kernel, fault) from None

    def check(self, kernel: Kernel) -> None:
        # "… runtimes MUST compare l3CacheSchema and/or memBwSchema value with schemata file, and generate an error if
        # doesn't match."
        there = kernel.read_file(f"{self.path}/schemata").splitlines()
        for key, line in self.lines.items():
            resource, wanted = parse(line)
            found = next((parse(other)[1] for other in there if other.strip().startswith(f"{resource}:")), {})
            step = self.granularity(kernel) if resource == "MB" else 1
            if any(found.get(domain) != value + -value % step for domain, value in wanted.items()):
                raise ConfigError(f"resctrl group {self.path} exists with something other than {line}",
                                  f"{WHERE}.{key}")

    def granularity(self, kernel: Kernel) -> int:
        """The kernel rounds bandwidths up to multiples of this."""
        try:
            return int(kernel.read_file(f"{self.root}/info/MB/bandwidth_gran"))
        except FileNotFoundError:
            return 1

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        # Another process may have come in since: removing the group would put them out.
        if facts.kept(self, False) and not kernel.read_file(f"{self.path}/tasks").strip():
            kernel.rmdir(self.path)


class Schemata(RdtStep):
    """All lines in one write, in the order that the spec gives; the kernel takes all or none."""
    name = "intel_rdt.schemata"
    lines: list[str]

    def describe(self) -> str:
        return f"set the schemata of {self.path}: {', '.join(self.lines)}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.write_file(f"{self.path}/schemata", "".join(f"{line}\n" for line in self.lines))
        except OSError as fault:
            raise self.refused(kernel, fault) from None


class Change(Schemata):
    """update: as Schemata, and undone by writing what was there."""
    name = "intel_rdt.change"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        before = kernel.read_file(f"{self.path}/schemata")
        super().apply(kernel, facts)
        facts.keep(self, before)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if before := facts.kept(self, ""):
            kernel.write_file(f"{self.path}/schemata", before)


class Join(RdtStep):
    """The process, before it has children."""
    name = "intel_rdt.join"

    def describe(self) -> str:
        return f"put the process into resctrl group {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.write_file(f"{self.path}/tasks", str(facts.pid))
        except OSError as fault:
            raise self.refused(kernel, fault) from None


class Remove(Step):
    """delete: the monitoring group and the container's own one; what is gone already is fine."""
    name = "intel_rdt.remove"
    spec = SPEC
    groups: list[str]
    mark: str

    def describe(self) -> str:
        return f"remove resctrl group {', '.join(self.groups)}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        for path in self.groups:
            remove(kernel, path, self.mark)


def group(want: Request) -> Iterator[Step]:
    """PARENT, before the clone: everything but the process is there."""
    # "If intelRdt is not set, the runtime MUST NOT manipulate any resctrl pseudo-filesystems."
    rdt = want.config.get("linux", {}).get("intelRdt")
    if rdt is None:
        return
    made = groups(want.config, want.options, want.host)
    place = {"root": made["root"], "path": made["group"]}
    single = {key: text for key in ("l3CacheSchema", "memBwSchema") if (text := str(rdt.get(key) or ""))}
    lines = [*single.values(), *(rdt.get("schemata") or ())]
    if made["own"]:
        yield Make(name="intel_rdt.group", **place, mark=mark(want.options), where=WHERE)
    elif lines:
        for line in single.values():
            parse(line)
        yield Share(**place, lines=single, where=f"{WHERE}.closID")
    else:
        yield Find(**place, where=f"{WHERE}.closID")
    if lines:
        yield Schemata(**place, lines=lines, where=WHERE)
    if made["monitor"]:
        yield Make(name="intel_rdt.monitor", root=made["root"], path=made["monitor"], mark=mark(want.options),
                   where=f"{WHERE}.enableMonitoring")


def join(want: Request) -> Iterator[Step]:
    """PARENT, after the clone; the init waits until it is done."""
    if want.config.get("linux", {}).get("intelRdt") is not None:
        yield from enter({"resctrl": groups(want.config, want.options, want.host)})


def enter(container: Mapping[str, Any]) -> Iterator[Step]:
    """PARENT, of create and exec: the process joins the groups that the container's state names."""
    made = container.get("resctrl", {})
    for path in (made.get("group"), made.get("monitor")):
        if path:
            yield Join(root=made["root"], path=path, where=WHERE)


def delete(container: Mapping[str, Any]) -> Iterator[Step]:
    """PARENT, of delete: what goes with the container: never a group that closID named."""
    made = container.get("resctrl")
    if made is None:
        return
    own = [path for path in (made["monitor"], made["group"] if made["own"] else "") if path]
    if own:
        yield Remove(groups=own, mark=container["mark"])


def update(container: Mapping[str, Any], changes: Mapping[str, str]) -> Iterator[Step]:
    """PARENT, of update: for l3CacheSchema and memBwSchema. container: its state."""
    if changes:
        made = container["resctrl"]
        yield Change(root=made["root"], path=made["group"], lines=list(changes.values()), where=WHERE)
