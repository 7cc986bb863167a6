"""The order of container setup, and nothing else: read it as the table of contents.

Each line yields the steps of one subject; what they are is decided by the planner functions in steps/ and
cgroups/, from config.json, the options and the host, before anything exists. P, C and L say who acts: the
runtime, the container's init (Python, on the host's files), or C from pivot_root to execve.
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
    from .state.container import Container
    from .steps import (
        capabilities,
        cgroup,
        devices,
        hooks,
        identity,
        intel_rdt,
        join,
        keyring,
        lsm,
        memory_policy,
        mounts,
        namespaces,
        network,
        notify,
        paths,
        personality,
        pidfd,
        process,
        root,
        scheduling,
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
    join = Later("join")
    keyring = Later("keyring")
    mounts = Later("mounts")
    namespaces = Later("namespaces")
    network = Later("network")
    notify = Later("notify")
    paths = Later("paths")
    process = Later("process")
    root = Later("root")
    scheduling = Later("scheduling")
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
    return Plan("create", _create(config, options, host))


def _create(config: Config, options: Options, host: Host) -> Iterator[Step]:
    config = notify.mounted(config, options)

    # P: what must be there first, so that whatever happens from here on can be found and undone
    yield from hooks.poststop_after_failure(config, options, host)
    yield from state.reserve(config, options, host)
    place = list(state.pid_place(config, options, host))
    yield from place
    yield from notify.folder(config, options, host)
    yield from cgroup.create(config, options, host)
    yield from root.check(config, options, host)
    yield from seccomp.compile(config, options, host)
    yield from mounts.sources(config, options, host)
    yield from terminal.sources(config, options, host)
    yield from hooks.output(config, options, host)
    yield from cgroup.limits(config, options, host)
    yield from intel_rdt.group(config, options, host)

    # P, C: two processes
    into_cgroup = cgroup.born_inside(config, options, host)
    cloning = list(namespaces.clone(config, options, host, into_cgroup))
    yield from cloning
    yield from mounts.release(config, options, host)
    yield from cgroup.join(config, options, host)
    yield from intel_rdt.join(config, options, host)
    yield from scheduling.any_cpu(config, options, host)
    yield from process.oom_score_adj(config, options, host)
    yield from user.maps(config, options, host)
    yield from network.devices(config, options, host)
    yield from ready_for_child(config, options, host)

    # C: the init becomes root of its namespaces
    yield from terminal.session(config, options, host)
    yield from user.become_root(config, options, host)
    yield from namespaces.inside(config, options, host)
    yield from keyring.session(config, options, host)
    yield from network.loopback(config, options, host)
    yield from namespaces.join_mount(cloning)

    # C: the container's file system, put together by descriptor below a root that is not "/" yet
    yield from root.prepare(config, options, host)
    yield from mounts.all(config, options, host)
    yield from devices.all(config, options, host)
    yield from paths.all(config, options, host)
    yield from terminal.console(config, options, host)

    # P, C: the engine's say, before the root is switched
    yield from hooks.create_runtime(config, options, host)
    yield from hooks.create_container(config, options, host)

    # C: what is written by descriptor
    yield from uts.all(config, options, host)
    yield from sysctl.all(config, options, host)
    yield from lsm.exec_labels(config, options, host)
    yield from process.make_cwd(config, options, host)
    yield from process.prepare(config, options, host)
    yield from mounts.finish(config, options, host)
    yield from root.finish(config, options, host)
    yield from terminal.stdio(config, options, host)

    # L: one C function from here on
    yield from root.switch(config, options, host)
    yield from terminal.control(config, options, host)
    yield from process.umask(config, options, host)
    yield from process.no_new_privileges(config, options, host)
    yield from scheduling.all(config, options, host)
    yield from personality.all(config, options, host)
    yield from memory_policy.all(config, options, host)

    yield from process.signals(config, options, host)

    # P: the last things that only the runtime may do
    yield Barrier(label="the container is set up", waits=PARENT)
    yield from terminal.receive(config, options, host)
    yield from pidfd.send(config, options, host)
    yield from process.rlimits(config, options, host)
    yield from state.save(config, options, host)
    yield Barrier(label="limits and state are written", waits=CHILD)
    yield from cgroup.late_limits(config, options, host)

    # L: privileges are given up, the filter is loaded, and the init waits
    yield from _give_up_privileges(config, options, host)
    yield from process.let_go(config, options, host)
    yield Barrier(label="the init waits for start", waits=PARENT, parting=True)
    yield from state.pid_file(place)
    yield from process.wait_start(config, options, host)
    yield from hooks.start_container(config, options, host)
    yield from process.execute(config, options, host)


def ready_for_child(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """One barrier if the parent had anything to do for the new process before it may go on."""
    linux = config.get("linux", {})
    if (user.mapped(config) or cgroup.joins_later(config, options, host) or linux.get("netDevices")
            or linux.get("intelRdt") is not None):
        yield Barrier(label="the runtime has done its part", waits=CHILD)


def _give_up_privileges(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """L: one order for the init and for every process of exec, so that no way in is weaker than the other."""
    yield from process.directory(config, options, host)
    yield from seccomp.load_early(config, options, host)
    yield from capabilities.bound(config, options, host)
    yield from identity.become(config, options, host)
    yield from capabilities.set(config, options, host)
    yield from identity.verify(config, options, host)
    yield from process.find_executable(config, options, host)
    yield from process.dumpable(config, options, host)
    yield from process.outlive(config, options, host)
    yield from seccomp.load_late(config, options, host)


def exec(config: Config, options: Options, host: Host, container: Mapping[str, Any]) -> Plan:
    """The plan of `exec`: one more process in a container that exists.

    config      the container's, with `process` replaced by the new one
    container   state.json: the init's pid and start_time, the cgroup
    """
    return Plan("exec", _exec(config, options, host, container))


def _exec(config: Config, options: Options, host: Host, container: Mapping[str, Any]) -> Iterator[Step]:
    # P: what is there already is opened, and proved to be the container's
    yield from state.page()
    place = list(state.pid_place(config, options, host))
    yield from place
    joining = list(join.cgroup(config, options, host, container))
    yield from joining
    yield from seccomp.compile(config, options, host)
    yield from terminal.sources(config, options, host)
    yield from scheduling.initial_affinity(config, options, host)

    # P, C: the new process, born in the container's cgroup and namespaces
    cloning = list(join.clone(config, options, host, container))
    yield from cloning
    yield from join.enter(config, options, host, joining, container)
    yield from intel_rdt.enter(container)
    yield from process.oom_score_adj(config, options, host)
    yield Barrier(label="the runtime has done its part", waits=CHILD)
    yield from terminal.session(config, options, host)
    yield from user.become_root(config, options, host)
    yield from keyring.session(config, options, host)
    yield from terminal.console(config, options, host, joining=True)
    yield from root.proc(config, options, host)
    yield from lsm.exec_labels(config, options, host)
    yield from process.prepare(config, options, host)
    yield from terminal.stdio(config, options, host)

    # L: from the mount namespace on, C
    inside, known = join.clones(cloning), [*pidfd.send(config, options, host), *state.pid_file(place)]
    yield from join.enter_late(config, options, host, joining, container)
    yield from join.switch(cloning)
    yield from terminal.control(config, options, host, inside)
    yield from process.umask(config, options, host)
    yield from process.no_new_privileges(config, options, host)
    yield from scheduling.all(config, options, host, inside)
    yield from personality.all(config, options, host)
    yield from memory_policy.all(config, options, host)
    yield Barrier(label="the process is set up", waits=PARENT)
    yield from terminal.receive(config, options, host)
    yield from process.rlimits(config, options, host, inside)
    yield from () if inside else known
    yield Barrier(label="limits are set", waits=CHILD)
    yield from _give_up_privileges(config, options, host)

    # L, P: the pid namespace last of all, where the container's processes may seize it
    yield from join.clone_inside(config, options, cloning)
    yield from scheduling.after_clone(config, options, host, inside)
    yield from known if inside else ()
    yield from join.go_on(cloning)
    yield from process.execute(config, options, host)
    yield Barrier(label="the process runs", waits=PARENT, parting=True, by_exec=True)


def checkpoint(config: Config, options: Options, container: Mapping[str, Any], choices: Choices) -> Plan:
    """The plan of `checkpoint`, all P. container: state.json of one that runs. PyruncError without criu; no effects."""
    from .steps.checkpoint import dump
    return Plan("checkpoint", dump(config, options, container, choices))


def restore(config: Config, options: Options, host: Host, choices: Choices) -> Plan:
    """The plan of `restore`, all P: criu makes the processes. PyruncError without criu; no effects."""
    return Plan("restore", _restore(config, options, host, choices))


def _restore(config: Config, options: Options, host: Host, choices: Choices) -> Iterator[Step]:
    from .steps.restore import Restore, reserve
    criu = Restore(config, options, host, choices)
    yield from hooks.poststop_after_failure(config, options, host)
    yield from reserve(config, options, host)
    place = list(state.pid_place(config, options, host))
    yield from place
    yield from criu.prepare()
    yield from hooks.output(config, options, host)
    yield from cgroup.create(config, options, host)
    yield from cgroup.limits(config, options, host, at_once=True)
    yield from intel_rdt.group(config, options, host)
    yield from criu.start()
    yield from cgroup.join(config, options, host, at_once=True)
    yield from intel_rdt.join(config, options, host)
    yield from criu.processes()
    yield from state.save(config, options, host)
    yield from criu.run()
    yield from pidfd.send(config, options, host)
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
    yield from updating.left_out(new)
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
