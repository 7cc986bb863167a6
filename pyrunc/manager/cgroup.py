"""Where the cgroup of a process is, whichever runtime has made it."""
from __future__ import annotations

import os
from functools import cache


@cache
def mounted() -> str:
    """Where cgroup v2 is mounted, also beside v1; "" when it is not."""
    for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        if os.path.exists(f"{path}/cgroup.controllers"):
            return path
    return ""


def cgroup_of(pid: int) -> str:
    """The directory of a process's cgroup; "" when it cannot be seen, and for the root of all."""
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            for line in file:
                if line.startswith("0::/") and line != "0::/\n" and not line.startswith("0::/.."):
                    return mounted() + line[3:-1]
    except OSError:
        pass
    return ""
