"""Who the process is: user and groups, and whether that is really so before anything of the container runs."""
from __future__ import annotations

from ..engine.step import LAST, Step
from ..errors import ConfigError
from ..kernel import last_stage
from . import capabilities
from .process import Directory, VerifyDirectory
from .user import KEEP_GROUPS, sets_groups, shows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..config.types import Process
    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

SPEC = "config.md#posix-platform-user"
#: What OP_VERIFY calls when the filter is loaded already.
VERIFY_CALLS = ("capget", "getgroups", "getresgid", "getresuid", "prctl")


class OwnStdio(Step):
    """fchown(2) of the standard streams, so that the user can open /dev/stdout again; not of /dev/null."""
    name = "identity.stdio_owner"
    spec = SPEC
    side = LAST
    uid: int

    def describe(self) -> str:
        return f"make uid {self.uid} the owner of the standard streams"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_CHOWN_STDIO, self.uid)


class Groups(Step):
    """setgroups(2): these and no others."""
    name = "identity.groups"
    spec = SPEC
    side = LAST
    groups: Sequence[int]

    def describe(self) -> str:
        return "set supplementary groups: " + (", ".join(map(str, self.groups)) or "none")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_SETGROUPS, data=last_stage.pack_groups(self.groups))


class Gid(Step):
    """setresgid(2)."""
    name = "identity.gid"
    spec = SPEC
    side = LAST
    gid: int
    shown: bool               # it stays dumpable (user.shows): a change of ids ends that

    def describe(self) -> str:
        return f"become gid {self.gid}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_SETGID, self.gid)
        if self.shown:
            kernel.last(last_stage.OP_DUMPABLE)


class Uid(Step):
    """setresuid(2): the privileges of root end here, apart from kept capabilities."""
    name = "identity.uid"
    spec = SPEC
    side = LAST
    uid: int
    shown: bool               # it stays dumpable (user.shows): a change of ids ends that

    def describe(self) -> str:
        return f"become uid {self.uid}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_SETUID, self.uid)
        if self.shown:
            kernel.last(last_stage.OP_DUMPABLE)


class Verify(Step):
    """Read back what has been set, and go no further if it is not so: the kernel takes some wrong values in silence."""
    name = "identity.verify"
    spec = SPEC
    side = LAST
    ids: tuple[int, int]
    groups: Sequence[int] | None
    sets: capabilities.Sets | None
    no_new_privileges: bool
    filtered: bool

    def describe(self) -> str:
        parts = ["ids"]
        if self.groups is not None:
            parts.append("groups")
        if self.sets is not None:
            parts.append("capabilities")
        if self.no_new_privileges:
            parts.append("no_new_privs")
        if self.filtered:
            parts.append("the filter")
        return "read back " + ", ".join(parts)

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        uid, gid = self.ids
        masks = {} if self.sets is None else self.sets.masks()
        data = last_stage.pack_verify(uid, gid, self.groups, no_new_privs=self.no_new_privileges, seccomp=self.filtered,
                                      **masks)
        kernel.last(last_stage.OP_VERIFY, data=data)


def become(want: Request) -> Iterator[Step]:
    """LAST: groups before gid before uid, for each takes the privilege that the next one gives up."""
    process = want.config.get("process")
    if process is None:
        return
    uid, gid = _ids(process)
    yield OwnStdio(uid=uid, where="process.user.uid")
    groups = _groups(want)
    if groups is not None:
        yield Groups(groups=groups, where="process.user.additionalGids" if groups else "")
    shown = shows(want.options, want.host)
    yield Gid(gid=gid, shown=shown, where="process.user.gid")
    yield Uid(uid=uid, shown=shown, where="process.user.uid")
    yield Directory(cwd=process["cwd"], again=True, where="process.cwd")
    yield VerifyDirectory(where="process.cwd")


def verify(want: Request) -> Iterator[Step]:
    """LAST. Not where a filter loaded early would refuse the asking, or kill for it."""
    process = want.config.get("process")
    if process is None:
        return
    nnp = bool(process.get("noNewPrivileges"))
    filtered = not nnp and bool(want.config.get("linux", {}).get("seccomp"))
    if filtered:
        from ..seccomp.profile import allows
        if not allows(want.config, VERIFY_CALLS):
            return
    yield Verify(ids=_ids(process), groups=_groups(want), sets=capabilities.given(want.config, want.host),
                 no_new_privileges=nnp, filtered=filtered, where="process")


def _ids(process: Process) -> tuple[int, int]:
    """(uid, gid). Without a user it is root, as Go's zero value has it in runc."""
    user = process.get("user", {})
    return user.get("uid", 0), user.get("gid", 0)


def _groups(want: Request) -> list[int] | None:
    """The supplementary groups, each once, ascending; None where setgroups(2) is not open to the init."""
    groups = sorted(set(want.config["process"].get("user", {}).get("additionalGids", ())))
    if sets_groups(want):
        return groups
    if groups and KEEP_GROUPS not in (want.config.get("annotations") or {}):
        raise ConfigError("supplementary groups cannot be set in this user namespace: setgroups is denied",
                          "process.user.additionalGids")
    return None
