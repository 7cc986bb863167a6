"""Where a shim runs, and with it what it forks: in a cgroup of the engine's choice, and on a core with no other pod."""
from __future__ import annotations

import posix

from ..errors import UsageError, strerror

#: prctl(2): PR_SCHED_CORE, its commands, and of whom: of one thread, of a process.
PR_SCHED_CORE, GET, CREATE = 62, 0, 1
THREAD, PROCESS = 0, 1


def folder(name: str) -> str:
    """The folder of a cgroup by its path from the root of cgroup v2. UsageError when it is not there."""
    from ..host import probe
    path = f"{probe().cgroup_mount}/{name.strip('/')}"
    try:
        posix.stat(f"{path}/cgroup.procs")
    except OSError as fault:
        raise UsageError(f"the shim's cgroup {name}: {strerror(fault.errno or 0)}") from None
    return path


def enter(path: str) -> None:
    """Go into the cgroup with this folder. OSError."""
    fd = posix.open(f"{path}/cgroup.procs", posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.write(fd, b"0")
    finally:
        posix.close(fd)


def check_core() -> None:
    """UsageError where the kernel has no core scheduling, or the machine no cores of several threads."""
    from .._native import ffi, lib
    cookie = ffi.new("uint64_t[]", 1)
    if lib.pr_prctl(PR_SCHED_CORE, GET, 0, THREAD, ffi.cast("uintptr_t", cookie)) < 0:
        raise UsageError(f"core scheduling: {strerror(ffi.errno)}")


def share_core() -> None:
    """From now on only what this process forks runs on a core together with it (core-scheduling.rst). OSError."""
    from .._native import ffi, lib
    if lib.pr_prctl(PR_SCHED_CORE, CREATE, 0, PROCESS, 0) < 0:
        raise OSError(ffi.errno, strerror(ffi.errno), "core scheduling")
