"""The end of a container, in the order that lets a delete killed anywhere be run again.

Each thing is removed before the record of it is. Nothing is acted on by name alone: a process is its pid and start
time, a cgroup carries the container's mark.
"""
from __future__ import annotations

from _signal import SIGKILL

from ..engine.step import Step
from ..errors import StateError
from ..state import store
from ..state.process_id import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..kernel.posix import PosixKernel
    from ..state.container import Container

SPEC = "runtime.md#delete"
PATIENCE = 10.0           # seconds for a killed process to be gone


def end(kernel: PosixKernel, who: Mapping[str, Any]) -> None:
    """SIGKILL a process, if it still is that one, and wait for its end. StateError when it does not end."""
    try:
        fd = kernel.open_process(who, alive)
    except (ProcessLookupError, KeyError):       # gone, or a create that had none yet
        return
    try:
        kernel.pidfd_send_signal(fd, SIGKILL)
        if not kernel.wait_end(fd, PATIENCE):
            raise StateError("container init still running")
    except ProcessLookupError:
        pass
    finally:
        kernel.close(fd)


class Kill(Step):
    """The cgroup first: with it die processes that the init does not take along, or did not live to."""
    name = "delete.kill"
    spec = SPEC
    container: Container

    def describe(self) -> str:
        return "kill every process of the container"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if self.container.state["cgroup"]:
            with self.container.cgroup(kernel) as cgroup:
                cgroup.kill()
        end(kernel, self.container.state)


class Cgroup(Step):
    name = "delete.cgroup"
    spec = SPEC
    container: Container

    def describe(self) -> str:
        return f"remove the cgroup {self.container.state['cgroup']}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        state = self.container.state
        with self.container.cgroup(kernel) as cgroup:
            cgroup.remove()
        if "unit" in state:
            from ..cgroups.systemd.unit import Manager
            manager = Manager(state["user_manager"], kernel)
            try:
                manager.stop(state["unit"], state["mark"])
            finally:
                manager.close()


class Forget(Step):
    """From here on the id is free."""
    name = "delete.forget"
    spec = SPEC
    container: Container

    def describe(self) -> str:
        return f"remove {self.container.root}/{self.container.id}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        store.remove(self.container.root, self.container.id, kernel)


def processes(container: Container) -> Iterator[Step]:
    """PARENT: what runs ends."""
    yield Kill(container=container)


def cgroup(container: Container) -> Iterator[Step]:
    """PARENT, when nobody is in it."""
    if container.state["cgroup"]:
        yield Cgroup(container=container)


def mounts(container: Container) -> Iterator[Step]:
    """PARENT: without a mount namespace the mounts do not go with the last process."""
    if not container.state.get("mount_namespace", True):
        from .root import Unmount
        yield Unmount(path=container.state["rootfs"])


def forget(container: Container) -> Iterator[Step]:
    """PARENT, last."""
    yield Forget(container=container)
