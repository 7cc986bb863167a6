"""(step, errno) -> one clause that says what it usually is. Loaded only when something failed.

A hint must not contain a text that an engine classifies by (docs/errors.md): it would change the exit code that
Docker or Podman report. Each entry names the thread or man page it comes from.
"""
from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .step import Plan, Step

_MASKED = ("an outer container's masked paths below /proc forbid a new procfs (mount_namespaces(7)): unmask them "
           "there, or "
           "bind /proc")

#: step name, or its part before the dot; first match wins
HINTS: list[tuple[str, int, str]] = [
    # the state root of whoever is not root, and has no XDG_RUNTIME_DIR: su, cron, CI
    ("state.reserve", errno.EACCES, "without root: set XDG_RUNTIME_DIR, or give --root a directory of your own"),
    # mount_setattr(2): EINVAL with MOUNT_ATTR_IDMAP; runc#3949, crun#1380, podman#24918
    ("idmap", errno.EINVAL, "the file system of the source may not support idmapped mounts on this kernel"),
    # fsopen(2): ENODEV is an unknown file system type
    ("mounts", errno.ENODEV, "the kernel knows no such file system (see /proc/filesystems)"),
    # moby#36428, runc#3318
    ("binds.attach", errno.ENOTDIR, "source and destination must both be directories or both be files"),
    # mount_setattr(2): the destination must be the root of a mount
    ("binds.change", errno.EINVAL, "no mount is there whose attributes could be changed: leave out remount"),
    # mount_namespaces(7): a part of a locked tree could uncover what its mounts cover
    ("binds.source", errno.EINVAL, "for a container with a user namespace a tree of mounts is bound whole (rbind)"),
    ("devices.node", errno.EEXIST, "the image has something else at the path of the device"),
    ("devices.bind", errno.ENOENT, "in a user namespace devices are bound, and the host has none at this path"),
    # unix(7), devpts: no mount of type devpts on /dev/pts
    ("terminal.open", errno.ENOENT, "process.terminal needs a devpts mounted on /dev/pts"),
    ("terminal.open", errno.ENODEV, "process.terminal needs a devpts mounted on /dev/pts"),
    # runc#1658, runc#2639, podman#20453: locked mounts below the outer /proc
    ("mounts.proc", errno.EPERM, _MASKED),
    ("root.proc", errno.EPERM, _MASKED),
    ("mounts.sysfs", errno.EPERM, "a new sysfs needs a network namespace owned by the container's user namespace"),
    # FS_USERNS_MOUNT in the kernel's file systems
    ("mounts", errno.EPERM, "in a user namespace only proc, sysfs, tmpfs, devpts, mqueue, cgroup, overlay, fuse and "
                            "a few "
     "more can be mounted"),
    # user_namespaces(7); podman#13360
    ("user.map", errno.EPERM, "the ranges must lie in /etc/subuid and /etc/subgid (needs newuidmap, newgidmap)"),
    ("user.map", errno.EINVAL, "the kernel takes at most 340 lines, and none may overlap"),
    # clone.c: the child would have one thread, and what the others hold would stay locked in it for ever
    ("namespaces.clone", errno.EDEADLK, "this process has other threads, a debugger's perhaps (debugpy): use --pdb, "
     "python -m pdb, or gdb (docs/tracing.md)"),
    # user_namespaces(7): every other namespace needs CAP_SYS_ADMIN
    ("namespaces.clone", errno.EPERM, "without root a container needs a user namespace: linux.namespaces has none, or "
     "the host allows none (pyrunc spec --rootless; pyrunc doctor)"),
    # clone(2): ENOSPC is a limit on nesting or /proc/sys/user/max_*_namespaces
    ("namespaces", errno.ENOSPC, "a limit in /proc/sys/user/max_*_namespaces or the nesting limit is reached"),
    ("namespaces.enter", errno.EINVAL, "the path is not a namespace of this type"),
    ("namespaces.join", errno.EINVAL, "the path is not a namespace of this type, or the process is in it already"),
    # cgroups(7) "no internal processes"
    ("cgroup", errno.EBUSY, "processes sit in an inner cgroup; cgroup v2 allows them only in leaves"),
    # runc#3952: "write /proc/self/attr/exec: invalid argument" is a profile that is not loaded
    ("lsm.apparmor", errno.ENOENT, "the profile is not loaded (apparmor_parser -r)"),
    ("lsm.apparmor", errno.EINVAL, "the profile is not loaded (apparmor_parser -r)"),
    ("process.rlimits", errno.EPERM, "raising a hard limit needs CAP_SYS_RESOURCE"),
    # proc_pid_oom_score_adj(5)
    ("process.oom_score_adj", errno.EACCES, "going below the lowest value so far needs CAP_SYS_RESOURCE"),
    ("process.oom_score_adj", errno.EPERM, "going below the lowest value so far needs CAP_SYS_RESOURCE"),
    ("scheduling", errno.EPERM, "real-time and deadline policies need CAP_SYS_NICE, and deadline no cpuset"),
    ("scheduling.affinity", errno.EINVAL, "none of these CPUs is online and in the cgroup's cpuset"),
    ("scheduling.scheduler", errno.EINVAL, "the kernel does not have this policy, or not with these flags"),
    # set_mempolicy(2)
    ("memory_policy", errno.EINVAL, "a node is not there or not in the cgroup's cpuset, or the kernel lacks the mode"),
    # moby#42681, moby#42871, crun#867: the filter's answer looks like any other. That of the config is looked at
    # (below)
    ("process.exec", errno.EPERM, "a seccomp filter of an outer container may refuse execve"),
    # seccomp(2)
    ("seccomp.load", errno.EACCES, "without noNewPrivileges this needs CAP_SYS_ADMIN"),
    ("seccomp.load", errno.EINVAL, "the kernel does not know a flag or an action of the profile"),
    ("seccomp.load", errno.EBUSY, "a filter of an outer container has a listener, and there can be one only"),
    ("seccomp.notify", errno.ENOENT, "no agent listens there"),
    ("seccomp.notify", errno.ECONNREFUSED, "no agent listens there"),
    # keyrings(7); moby#22336: a key for each container, and a quota for each user
    ("keyring", errno.EDQUOT, "the user's quota of keys is used up (/proc/sys/kernel/keys/maxkeys)"),
    # runc#4972, moby#51405: AppArmor saw a detached procfs
    ("sysctl", errno.EACCES, "a security module may refuse it (see dmesg)"),
]


def explain(step: Step, number: int, hint: str, where: str, plan: Plan) -> tuple[str, str]:
    """(hint, JSON path) for a failed step and its errno, 0 for a process that was killed. What is known stays."""
    if step.name == "process.exec" and not hint:
        compiled = next((other for other in plan if other.name == "seccomp.compile"), None)
        seccomp = getattr(compiled, "seccomp", None)
        refused = of_filter(seccomp, number)
        if refused:
            return refused
    return hint or hint_for(step.name, number), where


def of_filter(seccomp: Any, number: int | None) -> tuple[str, str] | None:
    """(hint, JSON path) when linux.seccomp surely has answered execve so; number 0: it has killed; None: either."""
    if not seccomp:
        return None
    rules = [(f"linux.seccomp.syscalls[{index}]", rule["action"], rule.get("errnoRet"))
             for index, rule in enumerate(seccomp.get("syscalls") or ())
             if "execve" in rule["names"] and not rule.get("args")]
    if not rules:
        rules = [("linux.seccomp.defaultAction", seccomp["defaultAction"], seccomp.get("defaultErrnoRet"))]
    for where, action, answer in rules:
        answer = errno.EPERM if answer is None else answer
        if action == "SCMP_ACT_ERRNO" and number in (answer, None):
            return f"the filter answers execve with errno {answer}: no program can be started under it", where
        if not number and (action.startswith("SCMP_ACT_KILL") or action == "SCMP_ACT_TRAP"):
            return "the filter kills for execve: no program can be started under it", where
    return None


def hint_for(step: str, number: int) -> str:
    """The clause for the name of a failed step and its errno, or ""."""
    for prefix, wanted, clause in HINTS:
        if number == wanted and (step == prefix or step.startswith(prefix + ".")):
            return clause
    for kind, ask in _ASK:
        if step.startswith(kind):
            return ask(number)
    return ""


def _lsm(number: int) -> str:
    """Who else may have refused: an enforcing security module that confines the runtime itself."""
    if number not in (errno.EACCES, errno.EPERM):
        return ""
    from ..kernel.small_file import read
    try:
        label = read("/proc/self/attr/current").rstrip("\0\n")
    except OSError:
        return ""
    return "" if label in ("", "unconfined") else f"the runtime itself is confined by {label}"


_ASK: list[tuple[str, Callable[[int], str]]] = [("", _lsm)]
