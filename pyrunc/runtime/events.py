"""What a container uses, and when the OOM killer has been at it: for the command line and the library."""
from __future__ import annotations

from ..cgroups.oom import kills
from ..cgroups.stats import stats
from ..errors import StateError
from ..kernel.posix import PosixKernel
from ..state.container import STOPPED, Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..cgroups.v2 import Cgroup


def usage(root: str, id: str) -> dict[str, Any]:
    """What it uses now (cgroups/stats.py): times in ns, sizes in bytes. StateError unless it runs and has a cgroup."""
    with _cgroup(root, id) as cgroup:
        return stats(PosixKernel(), cgroup.fd)


def watch(root: str, id: str, interval: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Until the container has ended: ("stats", what it uses) each interval, in seconds; ("oom", {}) for each process
    that the OOM killer has killed.

    StateError unless it runs and has a cgroup.
    """
    with _cgroup(root, id) as cgroup:
        for new in kills(PosixKernel(), cgroup.fd, interval):
            if not new:
                yield "stats", stats(PosixKernel(), cgroup.fd)
            for _ in range(new):
                yield "oom", {}


def _cgroup(root: str, id: str) -> Cgroup:
    container = Container.load(root, id)
    if container.status() == STOPPED:
        raise StateError(f"container with id {id} is not running")
    cgroup = container.cgroup()
    if not cgroup.exists():
        raise StateError(f"container {id} has no cgroup to read stats from")
    return cgroup
