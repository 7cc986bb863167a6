"""What this host offers, read once, so that the planner decides without acting. Tests make their own Host.

What cannot be found out is an error, never a default: a container made on a guess may be weaker than the one that was
asked for. Absent is only what says by a definite errno that the kernel, or whoever mounted /proc, does not have it.
"""
from __future__ import annotations

import errno
import posix

from .cgroups.path import of_process
from .engine.fields import Fields
from .kernel.posix import PosixKernel, lines
from .paths import absolute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: As the kernel's own limit (path_resolution(7)).
MAX_LINKS = 40
#: What says nothing about a path, so that no answer may be made of it.
OF_THE_CALLER = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class Host(Fields):
    """Facts about the caller and the kernel that change the plan."""
    euid: int = 0
    egid: int = 0
    in_userns: bool = False              # not in the initial user namespace
    setgroups: bool = True               # setgroups(2) has not been given up in this user namespace
    cgroup_mount: str = "/sys/fs/cgroup"  # where cgroup2 is mounted, "" when nowhere
    cgroup_own: str = "/"                # this process's cgroup in it
    cgroup_hybrid: bool = False          # some controllers sit in cgroup v1 hierarchies
    resctrl: str = ""                    # where resctrl is mounted, "" when nowhere
    apparmor: bool = False
    selinux: bool = False
    capabilities: int = (1 << 41) - 1    # that this process may hand on: its permitted set
    last_capability: int = 40            # the highest one that the kernel knows
    real: Callable[[str], str] = staticmethod(lambda path: path)     # real_path, below

    @property
    def privileged(self) -> bool:
        """Root of the initial user namespace: may use host mounts, devices and any cgroup."""
        return self.euid == 0 and not self.in_userns


PR_CAPBSET_READ = 23
#: The kernel is built without it (user namespaces, cgroups, AppArmor), or /sys is not there.
ABSENT = (errno.ENOENT, errno.ENOTDIR)


def _read(path: str, absent: tuple[int, ...] = ()) -> str:
    """The text of a file; "" where that fails with one of the errnos. Any other failure is an OSError that names the
    path."""
    try:
        return PosixKernel().read_file(path)
    except OSError as fault:
        if fault.errno in absent:
            return ""
        raise OSError(fault.errno, fault.strerror, path) from None


def real_path(path: str) -> str:
    """An absolute path without the links in it, as they are now; what does not exist stays as it is written."""
    rest, links = "", 0
    while path:
        try:
            fd = posix.open(path, posix.O_PATH | posix.O_CLOEXEC)
        except OSError as fault:
            if fault.errno in OF_THE_CALLER:
                raise
            above, _, name = path.rpartition("/")
            try:
                target = posix.readlink(path) if links < MAX_LINKS else ""
            except OSError as no_link:
                if no_link.errno in OF_THE_CALLER:
                    raise
                target = ""
            if target:                              # of a link to what is not there
                path, links = absolute(target, above or "/"), links + 1
            else:
                path, rest = above, f"/{name}{rest}"
            continue
        try:
            return posix.readlink(f"/proc/self/fd/{fd}").rstrip("/") + rest
        except OSError as fault:
            if fault.errno in OF_THE_CALLER:
                raise
            return path + rest                      # there is no /proc
        finally:
            posix.close(fd)
    return rest


def user_name(uid: int) -> str:
    """The user's name; the number where there is none (docker run --user 1234)."""
    import pwd
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def allows_setgroups(process: str) -> bool:
    """Whether setgroups(2) is open in the user namespace of a process: "self" or its pid (user_namespaces(7)).

    It was given up for good where an unprivileged user mapped a group; namespaces made in there inherit that. Of a
    process that has ended, or is hidden, nothing is known; where it matters, setgroups(2) then fails.
    """
    return not _read(f"/proc/{process}/setgroups", (*ABSENT, errno.ESRCH, errno.EACCES, errno.EPERM)).startswith("deny")


def last_capability() -> int:
    """The highest capability that the kernel knows (capabilities(7)): asked of itself, for /proc/sys may be hidden."""
    from ._native import lib
    number = Host.last_capability
    while number < 63 and lib.pr_prctl(PR_CAPBSET_READ, number + 1, 0, 0, 0) >= 0:
        number += 1
    while number and lib.pr_prctl(PR_CAPBSET_READ, number, 0, 0, 0) < 0:
        number -= 1
    return number


def _permitted() -> int:
    for line in lines(_read("/proc/self/status")):
        if line.startswith("CapPrm:\t"):
            return int(line[8:], 16)
    raise OSError(errno.EPROTO, posix.strerror(errno.EPROTO), "/proc/self/status does not tell the capabilities")


def probe() -> Host:
    """Read the facts of the host this process runs on. No effects. OSError for what cannot be found out."""
    return of_facts(facts())


def of_facts(found: dict[str, Any]) -> Host:
    """The host of these facts(). Paths are resolved when a plan asks for them, and then once for all of it."""
    known: dict[str, str] = {}

    def real(path: str) -> str:
        if path not in known:
            known[path] = real_path(path)
        return known[path]
    return Host(real=real, **found)


def facts() -> dict[str, Any]:
    """The fields of a Host but paths, which may change at any time."""
    permitted = _permitted()             # first: every process has it where a procfs is
    mount, hybrid, selinux, resctrl = "", False, False, ""
    for line in lines(_read("/proc/self/mounts")):
        fields = line.split(" ")
        if fields[2] == "cgroup2" and (not mount or fields[1] == "/sys/fs/cgroup"):
            mount = fields[1]
        elif fields[2] == "cgroup":
            hybrid = True
        elif fields[2] == "selinuxfs":
            selinux = True
        elif fields[2] == "resctrl":
            resctrl = fields[1]
    own = of_process(_read("/proc/self/cgroup", ABSENT)) or "/"
    in_userns = _read("/proc/self/uid_map", ABSENT).split() not in ([], ["0", "0", "4294967295"])
    return {"euid": posix.geteuid(), "egid": posix.getegid(), "in_userns": in_userns,
            "setgroups": not in_userns or allows_setgroups("self"), "cgroup_mount": mount, "cgroup_own": own,
            "cgroup_hybrid": hybrid, "resctrl": resctrl,
            "apparmor": _read("/sys/module/apparmor/parameters/enabled", ABSENT).startswith("Y"), "selinux": selinux,
            "capabilities": permitted, "last_capability": last_capability()}
