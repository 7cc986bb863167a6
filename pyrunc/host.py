"""What this host offers, read once, so that the planner decides without acting. Tests make their own Host."""
from __future__ import annotations

import posix

from .cgroups.path import of_process
from .fields import Fields
from .files import lines


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

    @property
    def privileged(self) -> bool:
        """Root of the initial user namespace: may use host mounts, devices and any cgroup."""
        return self.euid == 0 and not self.in_userns


def _read(path: str) -> str:
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        text = b""
        while part := posix.read(fd, 1 << 16):      # procfs gives a page at a time
            text += part
        return text.decode(errors="surrogateescape")
    finally:
        posix.close(fd)


def allows_setgroups(process: str) -> bool:
    """Whether setgroups(2) is open in the user namespace of a process: "self" or its pid (user_namespaces(7)).

    It was given up for good where an unprivileged user mapped a group; namespaces made in there inherit that.
    """
    return not _read(f"/proc/{process}/setgroups").startswith("deny")


def probe() -> Host:
    """Read the facts of the host this process runs on. No effects."""
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
    own = of_process(_read("/proc/self/cgroup")) or "/"
    uid_map = _read("/proc/self/uid_map").split()
    _, _, permitted = _read("/proc/self/status").partition("\nCapPrm:\t")
    in_userns = uid_map[:3] != ["0", "0", "4294967295"]
    return Host(euid=posix.geteuid(), egid=posix.getegid(),
                in_userns=in_userns, setgroups=not in_userns or allows_setgroups("self"),
                cgroup_mount=mount, cgroup_own=own, cgroup_hybrid=hybrid, resctrl=resctrl,
                apparmor=_read("/sys/module/apparmor/parameters/enabled").startswith("Y"), selinux=selinux,
                capabilities=int(permitted[:16] or "0", 16),
                last_capability=int(_read("/proc/sys/kernel/cap_last_cap") or "40"))
