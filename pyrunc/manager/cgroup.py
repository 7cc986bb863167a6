"""Where the cgroup of a process is, whichever runtime has made it."""
from __future__ import annotations

import os
from functools import cache

from ..cgroups.path import of_process


@cache
def mounted() -> str:
    """Where cgroup v2 is mounted, also beside v1; "" when it is not."""
    for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        if os.path.exists(f"{path}/cgroup.controllers"):
            return path
    return ""


def own_cgroup(pid: int) -> str:
    """The directory of the cgroup that a container has for itself; "" where it has none, as an ordinary user's to whom
    none is delegated: it is in that of the keeper, its parent, or of who has started that, and so are others."""
    found = cgroup_of(pid)
    return "" if found in (cgroup_of(_parent_of(pid)), cgroup_of(os.getpid())) else found


def _parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", errors="surrogateescape") as file:
            return int(file.read().rpartition(") ")[2].split()[1])
    except OSError:
        return 0


def cgroup_of(pid: int) -> str:
    """The directory of a process's cgroup; "" when it cannot be seen, and for the root of all."""
    try:
        with open(f"/proc/{pid}/cgroup", errors="surrogateescape") as file:
            path = of_process(file.read())
    except OSError:
        return ""
    return mounted() + path if path.strip("/") and not path.startswith("/..") else ""
