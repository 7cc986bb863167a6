"""The order of container setup, and nothing else: read it as the table of contents.

Each line yields the steps of one subject. What they are is decided by the planner functions in steps/ from what is
wanted (request.py: config.json, the options and the host), before anything exists. P, C and L are the sides parent,
child and last: the runtime acts, the container's init (Python, on the host's files), or C from pivot_root to execve.
"""
from __future__ import annotations

import sys

from .engine.lazy import Later, Seldom
from .engine.step import CHILD, PARENT, Barrier, Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from .config.types import Config, Resources
    from .criu.options import Choices
    from .engine.step import Step
    from .host import Host
    from .options import Options
    from .request import Request
    from .state.container import Container
    from .steps import (
        capabilities,
        cgroup,
        devices,
        hooks,
        identity,
        init,
        intel_rdt,
        join,
        keyring,
        lsm,
        memory_policy,
        mounts,
        namespaces,
        network,
        paths,
        personality,
        pidfd,
        process,
        root,
        scheduling,
        sd_notify,
        seccomp,
        state,
        sysctl,
        terminal,
        user,
        uts,
    )
    from .steps import delete as deleting
    from .steps import hooks as later_hooks
    from .steps import kill as killing
    from .steps import pause as pausing
    from .steps import resume as resuming
    from .steps import start as starting
    from .steps import update as updating
else:
    # A command imports the steps that it has: start and delete have few, create most of them.
    capabilities = Later("capabilities")
    cgroup = Later("cgroup")
    devices = Later("devices")
    identity = Later("identity")
    init = Later("init")
    join = Later("join")
    keyring = Later("keyring")
    mounts = Later("mounts")
    namespaces = Later("namespaces")
    network = Later("network")
    paths = Later("paths")
    process = Later("process")
    root = Later("root")
    scheduling = Later("scheduling")
    sd_notify = Later("sd_notify")
    state = Later("state")
    terminal = Later("terminal")
    user = Later("user")
    uts = Later("uts")
    deleting = Later("delete")
    killing = Later("kill")
    pausing = Later("pause")
    resuming = Later("resume")
    starting = Later("start")
    updating = Later("update")
    #: Imported when one of these properties is there; without them they plan nothing.
    hooks = Seldom("hooks", "hooks")
    later_hooks = Seldom("hooks", "hooks.poststart", "hooks.poststop")       # of a state, which always has hooks: {}
    intel_rdt = Seldom("intel_rdt", "linux.intelRdt", "resctrl")
    lsm = Seldom("lsm", "process.apparmorProfile", "process.selinuxLabel")
    memory_policy = Seldom("memory_policy", "linux.memoryPolicy")
    personality = Seldom("personality", "linux.personality")
    pidfd = Seldom("pidfd", "pidfd_socket")
    seccomp = Seldom("seccomp", "linux.seccomp")
    sysctl = Seldom("sysctl", "linux.sysctl")

    class Orders(type(sys)):
        """The name pyrunc.plan is also a function of the library: pyrunc.plan(config) is the plan of create."""

        def __call__(self, *arguments, **named):
            return sys.modules["pyrunc"].explain(*arguments, **named)

    sys.modules[__name__].__class__ = Orders


def create(config: Config, options: Options, host: Host) -> Plan:
    """The plan of `create`: from nothing to an init that waits for `start`. Raises ConfigError; no effects."""
    from .request import Request
    return Plan("create", _create(Request(config, options, host)))


def _create(want: Request) -> Iterator[Step]:
    want = sd_notify.mounted(want)

    # P: what must be there first, so that whatever happens from here on can be found and undone
    yield from hooks.poststop_after_failure(want)
    yield from state.reserve(want)
    place = list(state.pid_place(want))
    yield from place
    yield from sd_notify.folder(want)
    yield from cgroup.create(want)
    yield from root.check(want)
    yield from seccomp.compile(want)
    yield from mounts.sources(want)
    yield from terminal.sources(want)
    yield from hooks.output(want)
    yield from cgroup.limits(want)
    yield from intel_rdt.group(want)

    # P, C: two processes
    into_cgroup = cgroup.born_inside(want)
    cloning = list(namespaces.clone(want, into_cgroup))
    yield from cloning
    yield from mounts.release(want)
    yield from cgroup.join(want)
    yield from intel_rdt.join(want)
    yield from scheduling.any_cpu(want)
    yield from process.oom_score_adj(want)
    yield from user.maps(want)
    yield from network.devices(want)
    yield from ready_for_child(want)

    # P: what can be written while the init is at work
    yield from state.prepare(want)

    # C: the init becomes root of its namespaces
    yield from terminal.session(want)
    yield from user.become_root(want)
    yield from namespaces.inside(want)
    yield from keyring.session(want)
    yield from network.loopback(want)
    yield from namespaces.join_mount(cloning)

    # C: the container's file system, put together by descriptor below a root that is not "/" yet
    yield from root.prepare(want)
    yield from mounts.all(want)
    yield from devices.all(want)
    yield from paths.all(want)
    yield from terminal.console(want)

    # P, C: the engine's say, before the root is switched
    yield from hooks.create_runtime(want)
    yield from hooks.create_container(want)

    # C: what is written by descriptor
    yield from uts.all(want)
    yield from sysctl.all(want)
    yield from lsm.exec_labels(want)
    yield from process.make_cwd(want)
    yield from process.prepare(want)
    yield from mounts.finish(want)
    yield from root.finish(want)
    yield from terminal.stdio(want)

    # L: one C function from here on
    yield from root.switch(want)
    yield from terminal.control(want)
    yield from process.umask(want)
    yield from process.no_new_privileges(want)
    yield from scheduling.all(want)
    yield from personality.all(want)
    yield from memory_policy.all(want)

    yield from init.signals(want)

    # P: the last things that only the runtime may do
    yield Barrier(label="the container is set up", waits=PARENT)
    yield from terminal.receive(want)
    yield from pidfd.send(want)
    yield from process.rlimits(want)
    yield from state.save(want)
    yield Barrier(label="limits and state are written", waits=CHILD)
    yield from cgroup.late_limits(want)

    # L: privileges are given up, the filter is loaded, and the init waits
    yield from _give_up_privileges(want)
    yield from init.let_go(want)
    yield Barrier(label="the init waits for start", waits=PARENT, parting=True)
    yield from state.pid_file(place)
    yield from init.wait_start(want)
    yield from hooks.start_container(want)
    yield from process.execute(want)


def ready_for_child(want: Request) -> Iterator[Step]:
    """One barrier if the parent had anything to do for the new process before it may go on."""
    linux = want.config.get("linux", {})
    if (user.mapped(want.config) or cgroup.joins_later(want) or linux.get("netDevices")
            or linux.get("intelRdt") is not None):
        yield Barrier(label="the runtime has done its part", waits=CHILD)


def _give_up_privileges(want: Request) -> Iterator[Step]:
    """L: one order for the init and for every process of exec, so that no way in is weaker than the other."""
    yield from process.directory(want)
    yield from seccomp.load_early(want)
    yield from capabilities.bound(want)
    yield from identity.become(want)
    yield from capabilities.set(want)
    yield from identity.verify(want)
    yield from process.find_executable(want)
    yield from init.dumpable(want)
    yield from process.outlive(want)
    yield from seccomp.load_late(want)


def exec(config: Config, options: Options, host: Host, container: Mapping[str, Any]) -> Plan:
    """The plan of `exec`: one more process in a container that exists.

    config      the container's, with `process` replaced by the new one
    container   state.json: the init's pid and start_time, the cgroup
    """
    from .request import Request
    return Plan("exec", _exec(Request(config, options, host), container))


def _exec(want: Request, container: Mapping[str, Any]) -> Iterator[Step]:
    # P: what is there already is opened, and proved to be the container's
    yield from state.page()
    place = list(state.pid_place(want))
    yield from place
    joining = list(join.cgroup(want, container))
    yield from joining
    yield from seccomp.compile(want)
    yield from terminal.sources(want)
    yield from scheduling.initial_affinity(want)

    # P, C: the new process, born in the container's cgroup and namespaces
    cloning = list(join.clone(want, container))
    yield from cloning
    yield from join.enter(want, joining, container)
    yield from intel_rdt.enter(container)
    yield from process.oom_score_adj(want)
    yield Barrier(label="the runtime has done its part", waits=CHILD)
    yield from terminal.session(want)
    yield from user.become_root(want)
    yield from keyring.session(want)
    yield from terminal.console(want, joining=True)
    yield from root.proc(want)
    yield from lsm.exec_labels(want)
    yield from process.prepare(want)
    yield from terminal.stdio(want)

    # L: from the mount namespace on, C
    inside, known = join.clones(cloning), [*pidfd.send(want), *state.pid_file(place)]
    yield from join.enter_late(want, joining, container)
    yield from join.switch(cloning)
    yield from terminal.control(want, inside)
    yield from process.umask(want)
    yield from process.no_new_privileges(want)
    yield from scheduling.all(want, inside)
    yield from personality.all(want)
    yield from memory_policy.all(want)
    yield Barrier(label="the process is set up", waits=PARENT)
    yield from terminal.receive(want)
    yield from process.rlimits(want, inside)
    yield from () if inside else known
    yield Barrier(label="limits are set", waits=CHILD)
    yield from _give_up_privileges(want)

    # L, P: the pid namespace last of all, where the container's processes may seize it
    yield from join.clone_inside(want, cloning)
    yield from scheduling.after_clone(want, inside)
    yield from known if inside else ()
    yield from join.go_on(cloning)
    yield from process.execute(want)
    yield Barrier(label="the process runs", waits=PARENT, parting=True, by_exec=True)


def checkpoint(config: Config, options: Options, container: Mapping[str, Any], choices: Choices) -> Plan:
    """The plan of `checkpoint`, all P. container: state.json of one that runs. PyruncError without criu; no effects."""
    from .steps.checkpoint import dump
    return Plan("checkpoint", dump(config, options, container, choices))


def restore(config: Config, options: Options, host: Host, choices: Choices) -> Plan:
    """The plan of `restore`, all P: criu makes the processes. PyruncError without criu; no effects."""
    from .request import Request
    return Plan("restore", _restore(Request(config, options, host), choices))


def _restore(want: Request, choices: Choices) -> Iterator[Step]:
    from .steps.restore import Restore, reserve
    criu = Restore(want, choices)
    yield from hooks.poststop_after_failure(want)
    yield from reserve(want)
    place = list(state.pid_place(want))
    yield from place
    yield from criu.prepare()
    yield from hooks.output(want)
    yield from cgroup.create(want)
    yield from cgroup.limits(want, at_once=True)
    yield from intel_rdt.group(want)
    yield from criu.start()
    yield from cgroup.join(want, at_once=True)
    yield from intel_rdt.join(want)
    yield from criu.processes()
    yield from state.prepare(want)
    yield from state.save(want)
    yield from criu.run()
    yield from pidfd.send(want)
    yield from state.pid_file(place)


def start(container: Container) -> Plan:
    """The plan of `start`. container: a created one; facts.lock_fd is its lock."""
    return Plan("start", _start(container))


def _start(container: Container) -> Iterator[Step]:
    yield from starting.release(container)
    yield from later_hooks.poststart(container.state, container)


def kill(container: Container, number: int, all: bool) -> Plan:
    """The plan of `kill`: a signal to the init, or with all to every process of the container."""
    return Plan("kill", killing.send(container, number, all))


def pause(container: Container) -> Plan:
    """The plan of `pause`."""
    return Plan("pause", pausing.freeze(container))


def resume(container: Container) -> Plan:
    """The plan of `resume`."""
    return Plan("resume", resuming.thaw(container))


def update(new: Resources, saved: Resources, host: Host, container: Container, shares: Mapping[str, str]) -> Plan:
    """The plan of `update`. Raises ConfigError; no effects.

    new, saved   the resources asked for, and those of the container until now (cgroups.update.merged: the next saved)
    shares       l3CacheSchema and memBwSchema, where they are to change
    """
    return Plan("update", _update(new, saved, host, container, shares))


def _update(new: Resources, saved: Resources, host: Host, container: Container,
            shares: Mapping[str, str]) -> Iterator[Step]:
    updating.check(new)
    yield from updating.open(container)
    yield from cgroup.check_usage(new.get("memory") or {}, updating.merged(saved, new))
    yield from updating.properties(new, saved, container)
    yield from updating.limits(new, saved, host, container)
    yield from intel_rdt.update(container.state, shares)


def delete(container: Container) -> Plan:
    """The plan of `delete`: each thing goes before the record of it does."""
    return Plan("delete", _delete(container))


def _delete(container: Container) -> Iterator[Step]:
    yield from deleting.processes(container)
    yield from deleting.cgroup(container)
    yield from intel_rdt.delete(container.state)
    yield from deleting.mounts(container)
    yield from later_hooks.poststop(container.state, container)
    yield from deleting.forget(container)
