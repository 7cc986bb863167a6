"""AppArmor and SELinux: what confines the process from its execve(2) on.

Both take the label as a note in /proc/thread-self/attr, for the next exec of this thread. It is written through a
procfs of our own, below which nothing can be mounted, and read back (CVE-2019-16884, CVE-2023-28642, CVE-2025-52881).
"""
from __future__ import annotations

import errno
import posix

from ..config.where import quoted
from ..engine.step import CHILD, Step
from ..errors import ConfigError
from ..kernel.constants import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

SPEC = "config.md#linux-process"
#: For openat2(2); thread-self itself is a symbolic link.
ON_PROCFS = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH
LONGEST_LABEL = 4096


class AppArmor(Step):
    """aa_change_onexec(2)."""
    name = "lsm.apparmor"
    spec = SPEC
    side = CHILD
    profile: str

    def describe(self) -> str:
        return f"set AppArmor profile {self.profile} for the program"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            # Since Linux 5.8: a directory of its own, for hosts with more than one security module.
            attribute = "apparmor/exec"
            noted = _note(kernel, facts, attribute, f"exec {self.profile}")
        except FileNotFoundError:
            attribute = "exec"
            noted = _note(kernel, facts, attribute, f"exec {self.profile}")
        # The kernel adds the mode, "name (enforce)", and puts a stack of profiles in an order of its own.
        if any(part not in noted for part in self.profile.split("//&")):
            raise _refused(attribute, noted)


class SELinux(Step):
    """setexeccon(3)."""
    name = "lsm.selinux"
    spec = SPEC
    side = CHILD
    label: str

    def describe(self) -> str:
        return f"set SELinux label {self.label} for the program"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        noted = _note(kernel, facts, "exec", self.label)
        if not noted:                # the kernel writes categories in a form of its own, so no more can be compared
            raise _refused("exec", noted)


def _note(kernel: Kernel, facts: Facts, attribute: str, text: str) -> str:
    """Write the attribute, and read what is noted now."""
    path = f"thread-self/attr/{attribute}"
    fd = kernel.open_in_root(facts.proc_fd, path, posix.O_WRONLY, 0, ON_PROCFS)
    try:
        kernel.write(fd, text.encode())
    finally:
        kernel.close(fd)
    fd = kernel.open_in_root(facts.proc_fd, path, posix.O_RDONLY, 0, ON_PROCFS)
    try:
        return kernel.read(fd, LONGEST_LABEL).decode(errors="replace").rstrip("\0\n")
    finally:
        kernel.close(fd)


def _refused(attribute: str, noted: str) -> OSError:
    return OSError(errno.EPERM, posix.strerror(errno.EPERM), f"attr/{attribute} says {noted!r}")


def exec_labels(want: Request) -> Iterator[Step]:
    """CHILD, after the hooks that shall not be confined."""
    process = want.config.get("process", {})
    profile, label = process.get("apparmorProfile"), process.get("selinuxLabel")
    if profile:
        if not want.host.apparmor:
            raise ConfigError(f"AppArmor is not enabled on this host, so the profile {quoted(profile)} cannot be "
                              f"applied",
                              "process.apparmorProfile")
        yield AppArmor(profile=profile, where="process.apparmorProfile")
    if label:
        if not want.host.selinux:
            raise ConfigError("selinux label is specified in config, but selinux is disabled or not supported",
                              "process.selinuxLabel")
        yield SELinux(label=label, where="process.selinuxLabel")
