"""The user namespace: the parent writes the maps, then the init becomes root in it."""
from __future__ import annotations

from .. import programs
from ..config.mappings import init_ids, map_text, own_ids, unknown_ids
from ..config.namespaces import Namespaces
from ..engine.step import CHILD, Step
from ..host import allows_setgroups
from .namespaces import PR_SET_DUMPABLE, become

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..host import Host
    from ..kernel.linux import Kernel
    from ..options import Options
    from ..request import Request

SPEC = "config-linux.md#user-namespace-mappings"
#: crun.1: the caller's supplementary groups stay, to reach files that only they open; additionalGids are not set.
KEEP_GROUPS = "run.oci.keep_original_groups"


class DenySetgroups(Step):
    """Without privilege the kernel allows a gid map only after setgroups(2) has been given up (CVE-2014-8989)."""
    name = "user.setgroups"
    spec = SPEC

    def describe(self) -> str:
        return "deny setgroups in the user namespace"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.write_file(f"/proc/{facts.pid}/setgroups", "deny")


class Map(Step):
    """One map, in one write; where this process may not write it, Debian's uidmap helpers may (subuid(5))."""
    name = "user.map"
    spec = SPEC
    file: str                 # uid_map or gid_map
    text: str
    helper: str               # newuidmap or newgidmap

    def describe(self) -> str:
        return f"write {self.file}: " + ", ".join(self.text.rstrip().split("\n"))

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.write_file(f"/proc/{facts.pid}/{self.file}", self.text)
        except PermissionError as refusal:
            for directory in programs.PATH.split(":"):
                program = f"{directory}/{self.helper}"
                try:
                    kernel.stat_path(program)
                except OSError:
                    continue
                status, *said = kernel.run_program(program, [program, str(facts.pid), *self.text.split()], [], b"", 10)
                if status == 0:
                    return
                text = " ".join(" ".join(said).split())
                raise OSError(refusal.errno, refusal.strerror, f"{self.helper}: {text}") from None
            raise


class BecomeRoot(Step):
    """All ids 0, no supplementary groups: the init starts with nothing of the caller's identity.

    In a user namespace that has no id 0, the ids are others; its capabilities are the same.
    """
    name = "user.root"
    spec = SPEC
    side = CHILD
    ids: tuple[int, int]      # uid and gid
    otherwise: tuple[int, int]      # where a joined user namespace does not have those
    groups: bool              # setgroups is allowed here
    shown: bool               # the caller's user may look into it (shows)

    def describe(self) -> str:
        uid, gid = self.ids
        there = ", or where there is none uid {}, gid {}".format(*self.otherwise) if self.otherwise != self.ids else ""
        return f"become uid {uid}, gid {gid}{there}" + (", without supplementary groups" if self.groups else "")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        become(kernel, self.ids, self.otherwise, [] if self.groups else None)
        # A change of ids may make a process dumpable again; it must not be while it holds the host's files.
        kernel.prctl(PR_SET_DUMPABLE, int(self.shown))


def maps(want: Request) -> Iterator[Step]:
    """PARENT steps right after the clone; the init waits for them at the barrier that follows."""
    if "user" not in want.namespaces.new:
        return
    linux = want.config["linux"]
    uids, gids = linux.get("uidMappings") or [], linux.get("gidMappings") or []
    if denies_setgroups(want.config, want.host):
        yield DenySetgroups(where="linux.gidMappings")
    yield Map(file="uid_map", text=map_text(uids), helper="newuidmap", where="linux.uidMappings")
    yield Map(file="gid_map", text=map_text(gids), helper="newgidmap", where="linux.gidMappings")


def denies_setgroups(config: Config, host: Host) -> bool:
    """An unprivileged runtime with one gid to map cannot keep setgroups; newgidmap can, for a range."""
    gids = config["linux"].get("gidMappings") or []
    return host.setgroups and host.euid != 0 and len(gids) == 1 and gids[0]["size"] == 1


def keeps_groups(config: Config) -> bool:
    """Whether the annotation asks to leave the caller's groups."""
    return (config.get("annotations") or {}).get(KEEP_GROUPS, "0") != "0"


def drops_groups(config: Config, host: Host) -> bool:
    """Whether the caller's groups go before a user namespace is joined, in which it may be too late."""
    return host.euid == 0 and host.setgroups and not keeps_groups(config)


def sets_groups(want: Request) -> bool:
    """Whether setgroups(2) is open to the init, and not kept from it by the annotation."""
    if keeps_groups(want.config):
        return False
    spaces = want.namespaces
    if want.options.joins and spaces.private("user"):
        return allows_setgroups(str(want.options.init_pid))
    if "user" in spaces.new:
        return want.host.setgroups and not denies_setgroups(want.config, want.host)
    return want.host.setgroups and want.host.euid == 0


def mapped(config: Config) -> bool:
    """The init must wait for the parent to map its ids."""
    return "user" in Namespaces(config).new


def shows(options: Options, host: Host) -> bool:
    """Whether --break of an ordinary user asks to look into the init, whose /proc/PID is root's else (proc(5))."""
    return options.inspected and host.euid != 0


def become_root(want: Request) -> Iterator[Step]:
    """CHILD: the first thing the init does with its new identity."""
    spaces = want.namespaces
    ids = init_ids(want.config) if spaces.private("user") else (0, 0)
    yield BecomeRoot(ids=ids, otherwise=own_ids(want.config) if unknown_ids(want.config) else ids,
                     groups=sets_groups(want), shown=shows(want.options, want.host),
                     where=spaces.new.get("user", ""))
