"""The processes of a container: for the command line and the library."""
from __future__ import annotations

from ..errors import NOT_RUNNING, StateError
from ..state.container import Container


def processes(root: str, id: str) -> list[int]:
    """The pids of all its processes, as the host sees them.

    StateError where they are not known: the cgroup was removed with the last process, or there never was one.
    """
    container = Container.load(root, id)
    with container.cgroup() as cgroup:
        if not cgroup.exists():
            raise StateError(f"{NOT_RUNNING}: cgroup {cgroup.path} is gone" if container.had_cgroup() else
                             f"container {id} has no cgroup, so its processes are not known")
        return cgroup.procs()
