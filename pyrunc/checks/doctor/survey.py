"""The facts that `pyrunc doctor` judges: read once, without any effect, as root and as an ordinary user."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from ... import programs
from ..._native import lib
from ...host import Host, probe, user_name
from ...kernel.constants import SECCOMP_FLAGS
from ...kernel.namespaces import NAMESPACES
from ...rootfs.mountinfo import Mount, parse
from ...seccomp.library import facts
from .. import host_files
from ..host_files import subordinate, text
from . import calls as doctor_calls
from .calls import UNKNOWN, YES

ENGINES = ("containerd", "dockerd", "podman", "buildah", "crio", "conmon", "nerdctl", "buildkitd")
HELPERS = ("newuidmap", "newgidmap")
CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb", "rdma")
#: sysctl(8) names, below /proc/sys
SYSCTLS = ("kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns",
           *(f"user/max_{name}_namespaces" for _, name in NAMESPACES.values()))
SECCOMP_ACTIONS = ("kill_process", "kill_thread", "trap", "errno", "user_notif", "trace", "log", "allow")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found. The defaults are a host that has everything, so that a test names only what it lacks.

    calls, into_cgroup   doctor_calls: YES, NO or REFUSED
    namespaces           files in /proc/self/ns
    userns               errno of making a user namespace, 0 when it works
    controllers          of the cgroup v2 hierarchy; old: those mounted as cgroup v1
    delegated            those that a container of this caller can be limited by
    io_weights           whether some cgroup can have a weight for a disk; pressure: whether the kernel measures it
    systemd              its version, 0 when it does not answer
    apparmor_tool        whether profiles can be loaded; selinux: "enforcing", "permissive" or ""
    seccomp_flags        names of the kernel's; libseccomp: its version, "" when pyrunc is built without
    device_filter        errno of loading one
    helpers              newuidmap, newgidmap -> path, "" for none, "!" before one that is not privileged
    subordinate          "uid", "gid" -> how many are granted to the caller
    idmap                file system -> YES, NO, UNKNOWN
    covered              what is mounted below /proc
    only_processes       /proc is mounted with subset=pid
    engines              name -> path
    """
    host: Host = field(default_factory=Host)
    built: bool = True
    release: str = "6.18.0"
    user: str = "root"
    calls: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(doctor_calls.CALLS, YES))
    into_cgroup: str = YES
    namespaces: frozenset[str] = frozenset(name for _, name in NAMESPACES.values())
    userns: int = 0
    sysctls: Mapping[str, str] = field(default_factory=dict)
    filesystems: frozenset[str] = frozenset({"proc", "sysfs", "tmpfs", "devpts", "mqueue", "overlay", "resctrl"})
    idmap: Mapping[str, str] = field(default_factory=lambda: {"ext4": YES, "tmpfs": YES})
    covered: tuple[str, ...] = ()
    only_processes: bool = False
    controllers: frozenset[str] = frozenset(CONTROLLERS)
    old: frozenset[str] = frozenset()
    delegated: frozenset[str] = frozenset(CONTROLLERS)
    io_weights: bool = True
    pressure: bool = True
    numa: bool = True
    systemd: int = 257
    device_filter: int = 0
    lsms: tuple[str, ...] = ("apparmor",)
    apparmor_tool: bool = True
    selinux: str = ""
    seccomp_actions: frozenset[str] = frozenset(SECCOMP_ACTIONS)
    seccomp_flags: frozenset[str] = frozenset(SECCOMP_FLAGS)
    libseccomp: str = "2.6.0"
    keys: bool = True
    criu: str = "4.1"
    helpers: Mapping[str, str] = field(default_factory=lambda: {name: f"/usr/bin/{name}" for name in HELPERS})
    subordinate: Mapping[str, int] = field(default_factory=lambda: {"uid": 65536, "gid": 65536})
    engines: Mapping[str, str] = field(default_factory=dict)


def look() -> Facts:
    """The facts of this host, as this caller sees it."""
    host, built = probe(), _built()
    user = user_name(host.euid)
    controllers, old = _controllers(host)
    seccomp_flags, libseccomp = _seccomp()
    return Facts(
        host=host, built=built, release=os.uname().release, user=user,
        calls=doctor_calls.calls(), into_cgroup=doctor_calls.clone_into_cgroup(),
        namespaces=frozenset(os.listdir("/proc/self/ns")), userns=doctor_calls.user_namespace() if built else 0,
        sysctls={name: value for name in SYSCTLS if (value := text(f"/proc/sys/{name}").strip())},
        filesystems=frozenset(line.split()[-1] for line in text("/proc/filesystems").splitlines()),
        idmap=_idmap(host) if built else {},
        covered=tuple(sorted({mount.point for mount in _mounts() if mount.point.startswith("/proc/")})),
        only_processes=not os.path.exists("/proc/filesystems"),
        controllers=controllers, old=old, delegated=_delegated(host, controllers),
        io_weights=_io_weights(host), pressure=os.path.exists("/proc/pressure"),
        numa=os.path.exists("/proc/self/numa_maps"), systemd=_systemd(host),
        device_filter=doctor_calls.device_filter() if built else 0,
        lsms=tuple(filter(None, text("/sys/kernel/security/lsm").split(","))),
        apparmor_tool=shutil.which("apparmor_parser", path=_path()) is not None,
        selinux={"0": "permissive", "1": "enforcing"}.get(text("/sys/fs/selinux/enforce"), "") if host.selinux else "",
        seccomp_actions=frozenset(text("/proc/sys/kernel/seccomp/actions_avail").split()),
        seccomp_flags=seccomp_flags, libseccomp=libseccomp, keys=os.path.exists("/proc/keys"), criu=_criu(),
        helpers={name: _helper(name) for name in HELPERS},
        subordinate={kind: _granted(kind, user, host.euid) for kind in ("uid", "gid")},
        engines={name: path for name in ENGINES if (path := shutil.which(name, path=_path()))})


def _path() -> str:
    """An ordinary user's PATH often lacks the administrator's directories."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def _built() -> bool:
    return find_spec("pyrunc._native._native") is not None


def _mounts() -> list[Mount]:
    return list(parse(text("/proc/self/mountinfo")).values())


def _idmap(host: Host) -> dict[str, str]:
    """The root's file system and those on disks, each at the first place where it is mounted; and what can be made."""
    virtual = {line.split()[-1] for line in text("/proc/filesystems").splitlines() if line.startswith("nodev")}
    places: dict[str, str] = {}
    for mount in sorted(_mounts(), key=lambda mount: mount.point != "/"):
        if mount.point == "/" or mount.kind not in virtual:
            places.setdefault(mount.kind, mount.point)
    if host.privileged:
        return doctor_calls.idmapped(places)
    return dict.fromkeys((*places, "tmpfs", "overlay"), UNKNOWN)


def _controllers(host: Host) -> tuple[frozenset[str], frozenset[str]]:
    """Those of cgroup v2, and those of cgroup v1: /proc/self/cgroup has them as "4:memory:/path" (cgroups(7))."""
    old = {name for line in text("/proc/self/cgroup").splitlines() for name in line.split(":")[1].split(",")
           if name and not name.startswith("name=")}
    return host_files.controllers(host), frozenset("io" if name == "blkio" else name for name in old)


def _delegated(host: Host, controllers: frozenset[str]) -> frozenset[str]:
    """Root may use them all. Another has those of the cgroup it is in, if it may make cgroups there, or those of its
    own systemd, which makes them on request."""
    if host.privileged or not host.cgroup_mount:
        return controllers
    own = f"{host.cgroup_mount}{host.cgroup_own}".rstrip("/")
    if os.access(own, os.W_OK) and os.access(f"{own}/cgroup.procs", os.W_OK):
        return frozenset(text(f"{own}/cgroup.controllers").split())
    manager = re.match(r"(.*/user@\d+\.service)(/|$)", own)
    return frozenset(text(f"{manager[1]}/cgroup.controllers").split()) if manager else frozenset()


def _io_weights(host: Host) -> bool:
    """A weight needs the iocost policy of the kernel, whose files are in the root cgroup, or a disk with BFQ."""
    return (os.path.exists(f"{host.cgroup_mount}/io.cost.qos")
            or any("[bfq]" in text(str(path)) for path in Path("/sys/block").glob("*/queue/scheduler")))


def _systemd(host: Host) -> int:
    from ...cgroups.systemd.unit import Manager
    from ...kernel.posix import PosixKernel
    manager = Manager(not host.privileged, PosixKernel())
    try:
        return manager.version()
    except OSError:
        return 0
    finally:
        manager.close()


def _seccomp() -> tuple[frozenset[str], str]:
    try:
        version, _ = facts()
    except ImportError:
        return frozenset(), ""
    supported = lib.pr_seccomp_flags()
    return frozenset(name for name, bit in SECCOMP_FLAGS.items() if supported & bit), version


def _criu() -> str:
    """Its version; "" when there is none that runs."""
    program = shutil.which("criu", path=programs.PATH)
    if program is None:
        return ""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"^Version: (\S+)", said, re.MULTILINE)
    return found[1] if found else ""


def _helper(name: str) -> str:
    """newuidmap(1) must be set-user-ID root or have a file capability to be of use."""
    path = shutil.which(name, path=programs.PATH)
    if path is None:
        return ""
    try:
        privileged = bool(os.stat(path).st_mode & 0o4000) or "security.capability" in os.listxattr(path)
    except OSError:
        privileged = False
    return path if privileged else f"!{path}"


def _granted(kind: str, user: str, uid: int) -> int:
    """How many subordinate ids are the caller's (subuid(5))."""
    return sum(count for _, count in subordinate(kind, user, uid))
