"""What the facts of a host mean for containers: what it offers, what each missing thing costs, how to get it."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ...errors import strerror
from ...kernel.constants import CAPABILITIES, SECCOMP_FLAGS
from ...kernel.namespaces import NAMESPACES
from .calls import NO, REFUSED, UNKNOWN, YES
from .survey import CONTROLLERS, ENGINES, HELPERS, SECCOMP_ACTIONS, Facts

CONFINED = "or a seccomp profile of the outer container that allows it"


@dataclass(frozen=True)
class Finding:
    """state: YES, NO or UNKNOWN (only root can find out, or nobody here). costs and remedy are empty where
    nothing is missing.

    area     what it belongs to; name: what is asked for; detail: a version, a value, a reason
    needed   no container runs without it
    """
    area: str
    name: str
    state: str
    detail: str = ""
    costs: str = ""
    remedy: str = ""
    needed: bool = False


#: What depends on a finding, most first.
RANKS = ("no container runs without", "engines ask for it in every container", "only some containers ask for it")
#: Names, or their beginnings, of what engines set whatever their user asks for.
USUAL = ("cgroup v2", "controller cpu", "controller memory", "controller pids", "controller io", "device filters",
         "seccomp", "libseccomp", "file system", "all capabilities", "a user namespace", "new", "subordinate",
         "/proc is not covered", "the system's systemd", "the user's systemd", "clone3 into a cgroup", "ipc", "uts",
         "network", "pid", "cgroup")


#: Names, or their beginnings, of what a /proc says that has more than processes in it.
IN_PROC = ("file system", "id-mapped mounts", "pressure", "seccomp", "seccomp actions", "keyrings")


def rank(finding: Finding) -> int:
    """The place in RANKS."""
    if finding.needed and finding.state == NO:
        return 0
    return 1 if finding.state == NO and finding.name.startswith(USUAL) else 2


def usual(finding: Finding) -> int:
    """For sorting: the place in USUAL."""
    return next((number for number, name in enumerate(USUAL) if finding.name.startswith(name)), len(USUAL))


def examine(facts: Facts) -> list[Finding]:
    """All findings, area by area."""
    found = [*_kernel(facts), *_namespaces(facts), *_users(facts), *_mounts(facts), *_cgroups(facts),
             *_security(facts), *_programs(facts)]
    return [replace(finding, state=UNKNOWN, remedy="a /proc without subset=pid to find out")
            if facts.only_processes and finding.state == NO and finding.name.startswith(IN_PROC) else finding
            for finding in found]


def able(found: Iterable[Finding]) -> bool:
    """Whether containers can be run at all."""
    return not any(finding.needed and finding.state == NO for finding in found)


def _ask(area: str, name: str, good: bool, costs: str, remedy: str, detail: str = "", *, needed: bool = False,
         unknown: bool = False) -> Finding:
    if good:
        return Finding(area, name, YES, detail, needed=needed)
    return Finding(area, name, UNKNOWN if unknown else NO, detail, costs, remedy, needed)


#: System call -> the Linux that brought it, what it costs when it is missing, whether nothing works then.
CALLS = {
    "clone3": ("5.3", "every container", True),
    "openat2": ("5.6", "every container: it looks up the paths in the root", True),
    "open_tree": ("5.2", "every container", True),
    "move_mount": ("5.2", "every container", True),
    "fsopen": ("5.2", "every container", True),
    "mount_setattr": ("5.12", "every container: mount options and propagation", True),
    "pidfd_open": ("5.3", "kill, start, delete: a process could be mistaken for another", True),
    "pidfd_send_signal": ("5.1", "kill, delete", True),
    "pidfd_getfd": ("5.6", "linux.seccomp.listenerPath", False),
    "close_range": ("5.9", "nothing but time: descriptors are then closed one by one", False),
}


def _kernel(facts: Facts) -> Iterator[Finding]:
    area = "kernel"
    yield Finding(area, "Linux", YES, facts.release)
    yield _ask(area, "pyrunc's native module", facts.built, "every container", "make build", needed=True)
    yield _ask(area, "NUMA", facts.numa, "linux.memoryPolicy", "a kernel with CONFIG_NUMA")
    for name, (since, costs, needed) in CALLS.items():
        answer = facts.calls[name]
        yield _ask(area, name, answer == YES, costs, f"Linux {since}, {CONFINED}",
                   "refused to this process" if answer == REFUSED else "", needed=needed)
    yield _ask(area, "clone3 into a cgroup", facts.into_cgroup == YES, "every container with a cgroup",
               f"Linux 5.7, {CONFINED}", needed=bool(facts.host.cgroup_mount))


def _namespaces(facts: Facts) -> Iterator[Finding]:
    for kind, (_, name) in NAMESPACES.items():
        limit = facts.sysctls.get(f"user/max_{name}_namespaces", "")
        there = name in facts.namespaces
        yield _ask("namespaces", kind, there and limit != "0", f'linux.namespaces with the type "{kind}"',
                   f"sysctl user.max_{name}_namespaces=10000" if there else
                   "Linux 5.6 with CONFIG_TIME_NS" if kind == "time" else f"a kernel with CONFIG_{name.upper()}_NS",
                   f"user.max_{name}_namespaces is 0" if there and limit == "0" else "",
                   needed=kind == "mount" or (kind == "user" and not facts.host.privileged))


def _users(facts: Facts) -> Iterator[Finding]:
    area, host = "users", facts.host
    yield Finding(area, "caller", YES, f"{facts.user}{', in a user namespace' if host.in_userns else ''}"
                                       f"{'' if host.privileged else ': rootless'}")
    reason, remedy = "", "sysctl user.max_user_namespaces=10000"
    if facts.userns:
        reason = strerror(facts.userns)
        if facts.sysctls.get("kernel/unprivileged_userns_clone") == "0":
            reason, remedy = "kernel.unprivileged_userns_clone is 0", "sysctl kernel.unprivileged_userns_clone=1"
        elif facts.sysctls.get("kernel/apparmor_restrict_unprivileged_userns") == "1":
            reason = "kernel.apparmor_restrict_unprivileged_userns is 1"
            remedy = "an AppArmor profile for pyrunc with `userns,`, or the sysctl 0"
        elif facts.sysctls.get("user/max_user_namespaces") == "0":
            reason = "user.max_user_namespaces is 0"
    yield _ask(area, "a user namespace can be made", not facts.userns,
               "linux.uidMappings, linux.gidMappings" if host.privileged else "every container without root", remedy,
               reason, needed=not host.privileged)
    if host.privileged:
        missing = [name for number, name in enumerate(CAPABILITIES[:host.last_capability + 1])
                   if not host.capabilities >> number & 1]
        costs = [text for name, text in COSTS_OF_CAPABILITIES.items() if name in missing]
        yield _ask(area, "all capabilities", not missing,
                   "; ".join([*costs, "process.capabilities with one of them: it is ignored with a warning"]),
                   "start the caller with them", f"without {', '.join(missing)}" if missing else "",
                   needed="CAP_SYS_ADMIN" in missing)
        return
    for name in HELPERS:
        path = facts.helpers[name]
        yield _ask(area, name, path.startswith("/"), f"linux.{name[3:6]}Mappings with more than one id",
                   "apt-get install uidmap", f"{path[1:]} is neither set-user-ID root nor has a capability"
                   if path.startswith("!") else path)
    for kind, count in facts.subordinate.items():
        yield _ask(area, f"subordinate {kind}s", bool(count), f"linux.{kind}Mappings with more than one id",
                   f"usermod --add-sub{kind}s 100000-165535 {facts.user}", f"{count} for {facts.user}")


#: What root cannot do without one of these. Of the others only the container itself has need.
COSTS_OF_CAPABILITIES = {
    "CAP_SYS_ADMIN": "every container",
    "CAP_SYS_RESOURCE": "process.rlimits above those of the caller, a process.oomScoreAdj below its own",
    "CAP_SYS_NICE": "process.scheduler with a real-time policy",
    "CAP_NET_ADMIN": "linux.netDevices, linux.sysctl of net",
    "CAP_MKNOD": "linux.devices",
    "CAP_CHECKPOINT_RESTORE": "checkpoint and restore without CAP_SYS_ADMIN",
}


def _mounts(facts: Facts) -> Iterator[Finding]:
    area = "mounts"
    for kind in ("proc", "sysfs", "tmpfs", "devpts", "mqueue", "overlay"):
        yield _ask(area, f"file system {kind}", kind in facts.filesystems, f'mounts with the type "{kind}"'
                   if kind != "overlay" else "the engines' images, unless they have another storage driver",
                   f"modprobe {kind}" if kind == "overlay" else "a kernel that has it")
    for kind, answer in facts.idmap.items():
        yield _ask(area, f"id-mapped mounts of {kind}", answer == YES,
                   f"mounts with uidMappings, gidMappings or idmap whose source is on {kind}",
                   "run this as root to find out" if answer == UNKNOWN else "a newer kernel, or another file system",
                   "" if facts.host.privileged else "only root of the host may make them", unknown=answer == UNKNOWN)
    if not facts.host.privileged:
        yield _ask(area, "/proc is not covered", not facts.covered,
                   "a new proc in a container with a user namespace: it would show what the mounts on /proc cover",
                   "run the outer container with unmasked paths", ", ".join(facts.covered[:3]))


UNIFIED = "systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
COSTS_OF_CONTROLLERS = {
    "cpu": "linux.resources.cpu, except cpus and mems", "cpuset": "linux.resources.cpu.cpus and mems",
    "memory": "linux.resources.memory; events cannot report an OOM kill", "pids": "linux.resources.pids",
    "io": "linux.resources.blockIO", "hugetlb": "linux.resources.hugepageLimits", "rdma": "linux.resources.rdma",
}


def _cgroups(facts: Facts) -> Iterator[Finding]:
    area, host = "cgroups", facts.host
    detail = host.cgroup_mount + (", beside cgroup v1" if host.cgroup_mount and host.cgroup_hybrid else "")
    yield _ask(area, "cgroup v2", bool(host.cgroup_mount), "every limit, update, events, pause"
               + ("; and create and run need --cgroup-manager disabled" if host.privileged else ""), UNIFIED, detail)
    for name in CONTROLLERS:
        there, usable = name in facts.controllers, name in facts.delegated
        if there:
            remedy = f"Delegate={name} for user@.service (systemd.resource-control(5))"
            reason = "" if usable else "not delegated to this user"
        elif name in facts.old:
            remedy, reason = UNIFIED, "it is mounted as cgroup v1"
        else:
            remedy, reason = "a kernel that has it, without cgroup_disable= on its command line", ""
        yield _ask(area, f"controller {name}", there and usable, COSTS_OF_CONTROLLERS[name], remedy, reason)
    yield _ask(area, "io weights", facts.io_weights, "linux.resources.blockIO.weight and weightDevice",
               "BFQ for a disk (echo bfq >/sys/block/DISK/queue/scheduler), or CONFIG_BLK_CGROUP_IOCOST")
    yield _ask(area, "pressure", facts.pressure, "psi in events", "psi=1 on the kernel's command line")
    if host.privileged:
        yield _ask(area, "device filters", not facts.device_filter, "every container with a cgroup: its "
                   "linux.resources.devices cannot be enforced", "a kernel with CONFIG_CGROUP_BPF, and CAP_BPF",
                   strerror(facts.device_filter) if facts.device_filter else "")
    whose = "system's" if host.privileged else "user's"
    yield _ask(area, f"the {whose} systemd", bool(facts.systemd), "--systemd-cgroup",
               "boot with systemd, and D-Bus" if host.privileged else
               "log in through PAM, so that XDG_RUNTIME_DIR/bus is there (loginctl enable-linger)",
               str(facts.systemd or ""))
    yield _ask(area, "resctrl", bool(host.resctrl), "linux.intelRdt",
               "mount -t resctrl resctrl /sys/fs/resctrl" if "resctrl" in facts.filesystems else
               "a processor with cache or bandwidth allocation, and a kernel with CONFIG_X86_CPU_RESCTRL", host.resctrl)


def _security(facts: Facts) -> Iterator[Finding]:
    area, host = "security", facts.host
    yield _ask(area, "seccomp", bool(facts.seccomp_actions), "linux.seccomp", "a kernel with CONFIG_SECCOMP_FILTER")
    yield _ask(area, "libseccomp", bool(facts.libseccomp), "linux.seccomp",
               "apt-get install libseccomp-dev, then make build", facts.libseccomp)
    actions = [name for name in SECCOMP_ACTIONS if name not in facts.seccomp_actions]
    yield _ask(area, "seccomp actions", not actions, f"rules of linux.seccomp with {', '.join(actions)}",
               "a newer kernel")
    flags = [name.removeprefix("SECCOMP_FILTER_FLAG_") for name in SECCOMP_FLAGS if name not in facts.seccomp_flags]
    costs = [f"linux.seccomp.{'listenerPath' if flag == 'NEW_LISTENER' else f'flags with {flag}'}" for flag in flags]
    yield _ask(area, "seccomp flags", not flags, ", ".join(costs), "a newer kernel")
    yield _ask(area, "AppArmor", host.apparmor, "process.apparmorProfile",
               "a kernel with CONFIG_SECURITY_APPARMOR, apparmor=1 security=apparmor", ", ".join(facts.lsms))
    if host.apparmor:
        yield _ask(area, "apparmor_parser", facts.apparmor_tool, "profiles that are not loaded yet cannot be loaded",
                   "apt-get install apparmor")
    yield _ask(area, "SELinux", host.selinux, "process.selinuxLabel; linux.mountLabel has no effect",
               "a kernel with CONFIG_SECURITY_SELINUX, selinux=1 security=selinux, and a policy", facts.selinux)
    yield _ask(area, "keyrings", facts.keys, "nothing: there are no keys to keep from a container",
               "a kernel with CONFIG_KEYS")


def _programs(facts: Facts) -> Iterator[Finding]:
    area = "programs"
    yield _ask(area, "criu", bool(facts.criu), "checkpoint, restore", "apt-get install criu", facts.criu)
    for name in ENGINES:
        if name in facts.engines:
            yield Finding(area, name, YES, facts.engines[name])
