"""Which cgroup a process of exec is born in, on the Recorder. Real ones: tests/cgroups, tests/container."""
from __future__ import annotations

import errno
from typing import Any

import pytest

from pyrunc import plan as plans
from pyrunc.engine.facts import Facts
from pyrunc.engine.step import Barrier, Step
from pyrunc.errors import Refused
from pyrunc.host import Host
from pyrunc.kernel.constants import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS
from pyrunc.kernel.recorder import Recorder
from pyrunc.steps import join, namespaces

from .planned import applied, config, facts, plan, story

OUTER = "/sys/fs/cgroup/box"
INIT = "/proc/7/cgroup"
USER = Host(euid=1000, cgroup_own="/user/session")
SCOPE = {"unit": "box.scope", "user_manager": True}


def state(**parts: Any) -> dict[str, Any]:
    return {"pid": 7, "start_time": 1, "cgroup": OUTER, "annotations": {}, **parts}


def planned(container: dict[str, Any], **given: Any) -> list[Step]:
    return plan(lambda want: join.cgroup(want, container), config(), **given)


class Join:
    """The step applied: the cgroup that is found, whether the process is born there, and the calls."""

    def __init__(self, container: dict[str, Any], below: str = "", host: Host | None = None, control: str = "",
                 modes: dict[str, int | None] | None = None, init: str = "0::/elsewhere\n",
                 errors: dict[str, list[int]] | None = None) -> None:
        [step] = planned(container, cgroup=below, host=host)
        assert isinstance(step, join.Cgroup)
        self.step, self.kernel, self.facts = step, Recorder(
            files={"cgroup.subtree_control": control, INIT: init}, modes=modes, errors=errors), Facts()
        facts = self.facts
        step.apply(self.kernel, facts)
        self.found, self.born = facts.kept(step, ""), facts.cgroup_fd >= 0
        #: Nothing else may stay open: the child would inherit it.
        assert list(self.kernel.fds) == ([facts.cgroup_fd] if self.born else [])

    @property
    def opened(self) -> list[str]:
        return [call[1] if call[0] == "open" else call[2] for call in self.kernel.calls if call[0].startswith("open")]


def test_the_containers_own() -> None:
    joined = Join(state())
    assert (joined.found, joined.born, joined.opened) == (OUTER, True, [OUTER])
    assert joined.step.describe() == f"open cgroup {OUTER}"


def test_no_cgroup_no_step() -> None:
    assert planned(state(cgroup="")) == []
    assert list(join.attach([], state(cgroup="", **SCOPE))) == []


def test_one_below_that_the_caller_names() -> None:
    joined = Join(state(), below="a/b", control="memory pids\n")      # not the init's, whatever is passed on
    assert (joined.found, joined.born, joined.opened) == (f"{OUTER}/a/b", True, [OUTER, "a/b"])
    assert joined.step.describe() == f"open cgroup {OUTER}/a/b"
    [call] = [call for call in joined.kernel.calls if call[0] == "open_in_root"]
    assert call[5] == RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS


# cgroups(7): "No internal processes": a cgroup that passes controllers on takes no process.
def test_one_that_takes_no_process_is_left_for_the_inits() -> None:
    joined = Join(state(), control="memory pids\n", init="1:name=x:/\n0::/box/init.scope\n")
    assert (joined.found, joined.born) == ("/sys/fs/cgroup/box/init.scope", True)


def test_create_was_spared_a_cgroup() -> None:
    joined = Join(state(), modes={OUTER: None}, host=USER, init="0::/user/other\n")
    assert (joined.found, joined.born) == ("/sys/fs/cgroup/user/other", True)
    joined = Join(state(), modes={OUTER: None}, host=USER, errors={"open": [0, 0, 0, 0, errno.EACCES]})
    assert not joined.born                        # the caller's own will do: there is none to escape from
    assert not Join(state(), modes={OUTER: None}, host=USER, errors={"open": [0, 0, errno.EACCES]}).born
    with pytest.raises(FileNotFoundError):
        Join(state(), modes={OUTER: None}, below="a")
    with pytest.raises(FileNotFoundError, match="cgroup of process 7"):
        Join(state(), modes={OUTER: None}, init="4:memory:/x\n")


def test_no_cgroup_can_be_seen() -> None:
    """The cgroup file system is covered, or not mounted any more."""
    covered: dict[str, int | None] = {OUTER: None, **{f"{above}/cgroup.controllers": None for above in (
        "/sys/fs/cgroup", "/sys/fs", "/sys")}}
    assert not Join(state(), modes=covered, host=USER).born         # there is none to escape from
    with pytest.raises(Refused, match="cgroup v2 is not mounted there, or covered by another mount"):
        Join(state(cgroup_inode=7, cgroup_made=True), modes=covered)


def test_whether_the_caller_may_put_a_process_there() -> None:
    joined = Join(state(), host=USER)
    assert joined.born and joined.opened == [OUTER, "cgroup.procs", "/sys/fs/cgroup/cgroup.procs"]
    for refusals in ([0, errno.EACCES], [0, 0, errno.EACCES]):      # its own, or that of the nearest common ancestor
        with pytest.raises(PermissionError):
            Join(state(), host=USER, errors={"open": list(refusals)})
        joined = Join(state(**SCOPE), host=USER, errors={"open": list(refusals)})
        assert (joined.found, joined.born) == (OUTER, False)
    assert Join(state(), host=Host()).opened == [OUTER]             # root may everywhere


# crun.1, run.oci.systemd.subgroup: what the container has for its cgroup is below the unit's.
def test_a_subgroup_is_the_containers_cgroup() -> None:
    marked = {"annotations": {"run.oci.systemd.subgroup": "inner"}}
    joined = Join(state(**SCOPE, **marked))
    assert (joined.found, joined.opened) == (f"{OUTER}/inner", [OUTER, "inner"])
    assert joined.step.describe() == f"open cgroup {OUTER}/inner"
    assert Join(state(**SCOPE, **marked), below="a").found == f"{OUTER}/inner/a"
    joined = Join(state(**SCOPE, **marked), control="pids\n", init="0::/box/inner/init.scope\n")
    assert joined.found == f"{OUTER}/inner/init.scope"
    assert Join(state(**marked)).found == OUTER                     # an annotation of the systemd driver's


@pytest.mark.parametrize(("annotation", "init", "control", "below"), [
    ("", "", "", ""), ("inner", "", "", "/inner"), ("", "0::/box/init.scope\n", "pids\n", "/init.scope"),
    ("inner", "0::/box/inner/init.scope\n", "pids\n", "/inner/init.scope")])
def test_systemd_is_asked_for_the_cgroup_that_was_found(annotation: str, init: str, control: str, below: str,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    container = state(**SCOPE, annotations={"run.oci.systemd.subgroup": annotation})
    joined = Join(container, host=USER, init=init, control=control,
                  errors={"open": [0] * (3 if control else 1) + [errno.EACCES]})
    assert not joined.born
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr("pyrunc.cgroups.systemd.unit.Manager.attach",
                        lambda self, *given: asked.append((self.user, *given)))
    [attach] = join.attach([joined.step], container)
    facts = joined.facts
    facts.pid = 99
    attach.apply(Recorder(), facts)
    assert asked == [(True, "box.scope", below, [99])]
    facts.cgroup_fd = 100                                           # born there: nothing to ask
    attach.apply(Recorder(), facts)
    assert len(asked) == 1


def test_attach_comes_after_the_clone_and_only_where_a_unit_is() -> None:
    def steps(**parts: Any) -> list[Step]:
        return plan(lambda want: iter(plans.exec(want.config, want.options, want.host, state(**parts))), config())

    names = [step.name for step in steps(**SCOPE)]
    assert names.index("join.cgroup") < names.index("namespaces.clone") < names.index("scope.attach")
    assert not [step for step in steps() if step.name == "scope.attach"]
    [attach] = [step for step in steps(**SCOPE) if step.name == "scope.attach"]
    assert story([attach]) == [("scope.attach", "", "make sure that the process is in box.scope")]


def test_where_memory_is_little_the_process_enters_the_cgroup_without_the_runtime_s() -> None:
    """And before anybody in the container can see it."""
    def steps(limit: int, **parts: Any) -> list[Step]:
        wanted = config(linux={"resources": {"memory": {"limit": limit}},
                               "namespaces": [{"type": "pid"}, {"type": "mount"}]})
        return plan(lambda want: iter(plans.exec(want.config, want.options, want.host, state(**parts))), wanted)

    names = [step.name for step in steps(1 << 20, **SCOPE)]
    entering = names.index("join.enter_cgroup")
    assert names[entering - 1:entering + 5] == [
        "barrier", "join.enter_cgroup", "scope.attach", "scheduling.affinity", "barrier", "join.mount"]
    assert entering < names.index("namespaces.clone_inside")
    little, much = steps(1 << 20), steps(1 << 30)
    for whole, born in (little, False), (much, True):
        [clone] = [step for step in whole if step.name == "namespaces.clone"]
        assert ("into its cgroup" in clone.describe()) == born
        assert ("join.enter_cgroup" in [step.name for step in whole]) != born
        assert [step.name for step in whole].count("scheduling.affinity") == 1
    [enter] = [step for step in little if step.name == "join.enter_cgroup"]
    assert applied(enter) == []                                     # create was spared a cgroup
    known = facts()
    known.cgroup_fd = 50
    assert applied(enter, known=known) == [("write_file", "cgroup.procs", str(known.pid), 50)]


# config-linux.md#namespaces: "The runtime MUST place the container process in the namespace associated with that path."
@pytest.mark.parametrize(("host", "entered"), [(Host(), True), (Host(in_userns=True), False), (USER, False)],
                         ids=["root", "root of a user namespace", "user"])
def test_who_could_not_return_from_a_namespace_leaves_it_to_the_child(host: Host, entered: bool) -> None:
    """Root of a user namespace may enter those that are made in it, not the ones it came with."""
    given = config(linux={"namespaces": [{"type": "network", "path": "/proc/9/ns/net"}, {"type": "mount"}]})
    create = plan(lambda want: namespaces.clone(want, False), given, host=host)
    execute = plan(lambda want: join.clone(want, state()), given, host=host)
    for steps in (create, execute):
        names = [step.name for step in steps if not isinstance(step, Barrier)]
        assert ("namespaces.enter" in names, "namespaces.return" in names) == (entered, entered), names
        assert ("namespaces.join" in names) is not entered, names


# Whoever has CAP_SYS_PTRACE in there may seize it at once: so it has given up everything before.
def test_the_pid_namespace_comes_last() -> None:
    def names(**process: Any) -> list[str]:
        wanted = config(process={"args": ["x"], "cwd": "/", "user": {"uid": 1, "gid": 1}, "terminal": False,
                                 "capabilities": {}, "rlimits": [{"type": "RLIMIT_NPROC", "soft": 3, "hard": 4}],
                                 **process},
                        linux={"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
                               "namespaces": [{"type": "pid"}, {"type": "mount"}]})
        steps = plan(lambda want: iter(plans.exec(want.config, want.options, want.host, state())), wanted)
        return [step.name for step in steps]

    for process in ({}, {"noNewPrivileges": True}):
        found = names(**process)
        cloned = found.index("namespaces.clone_inside")
        for before in ("seccomp.load", "identity.uid", "capabilities.bounding", "capabilities.set",
                       "capabilities.ambient", "identity.verify", "process.find_executable", "process.rlimits",
                       "process.umask", "join.mount"):
            assert found.index(before) < cloned, before
        assert [name for name in found[cloned + 1:] if name != "barrier"] == [
            "namespaces.adopt", "process.close_files", "process.exec"]


@pytest.mark.parametrize(("seccomp", "door"), [
    ({"defaultAction": "SCMP_ACT_ALLOW"}, False),
    ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["clone"], "action": "SCMP_ACT_ERRNO"}]}, True),
    ({"defaultAction": "SCMP_ACT_ERRNO"}, True),
    ({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["munmap", "setsid"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}]}, False),
    ({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["munmap", "setsid"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 17, "op": "SCMP_CMP_EQ"}]}]}, True)])
def test_a_door_only_in_a_filter_that_would_refuse_it(seccomp: dict[str, Any], door: bool) -> None:
    wanted = config(linux={"seccomp": seccomp, "namespaces": [{"type": "pid"}, {"type": "mount"}]})
    steps = plan(lambda want: iter(plans.exec(want.config, want.options, want.host, state())), wanted)
    [inside] = [step for step in steps if step.name == "namespaces.clone_inside"]
    assert ("through an exception" in inside.describe()) == door
