"""A process that /proc does not show: it has ended, or procfs is mounted with hidepid (proc(5)).

Then an ordinary user sees no process that it may not trace, and neither the runtime at work nor an init that waits for
`start` lets itself be traced. A pidfd shows that there is a process and that it is the user's; that it is the one that
is meant shows what only that one holds.
"""
from __future__ import annotations

import errno
import posix

from ..errors import StateError
from ..kernel.own_files import signer
from ..kernel.pidfd import wait_end
from . import process_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def alive(who: Mapping[str, Any], fd: int) -> bool:
    """identity.alive() for such a process. StateError when nothing shows whose it is.

    fd   a pidfd of who["pid"], closed when this returns
    """
    import _signal
    pid = who["pid"]
    try:
        _signal.pidfd_send_signal(fd, 0)
        if wait_end(fd, 0):
            return False         # a zombie
    except (ProcessLookupError, PermissionError):
        return False             # gone, or another user's
    finally:
        posix.close(fd)
    if process_id.look(pid) is not None:       # the number was nobody's a moment ago
        return process_id.alive(who)
    if who["boot_id"] not in ("", process_id.boot_id()):
        return False
    if _holds_lock(who) or _waits_for_start(who) or _is_in_cgroup(who):
        return True
    raise StateError(f"cannot tell whether process {pid} is the container's: /proc hides it (mount option hidepid)")


def _holds_lock(who: Mapping[str, Any]) -> bool:
    """The creator has locked the container's lock file."""
    return "lock" in who and signer(who["lock"]) == who["pid"]


def _waits_for_start(who: Mapping[str, Any]) -> bool:
    """The init reads the fifo, which nobody else does once it is made."""
    if "options" not in who:
        return False
    from .store import FIFO
    path = f"{who['options'].get('root', '')}/{who['id']}/{FIFO}"
    try:
        posix.close(posix.open(path, posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC))
    except OSError as fault:
        if fault.errno in (errno.ENXIO, errno.ENOENT):
            return False
        raise
    return True


def _is_in_cgroup(who: Mapping[str, Any]) -> bool:
    """It is in the cgroup that has the container's mark."""
    if not who.get("cgroup"):
        return False
    from ..cgroups.v2 import Cgroup
    from ..kernel.posix import PosixKernel
    cgroup = Cgroup(who["cgroup"], who["mark"], PosixKernel(), who.get("cgroup_inode", 0),
                    who.get("cgroup_made", False))
    try:
        return who["pid"] in cgroup.procs()
    finally:
        cgroup.close()
