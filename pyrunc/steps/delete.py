"""The end of a container, in the order that lets a delete killed anywhere be run again.

Each thing is removed before the record of it is. Nothing is acted on by name alone: a process is its pid and start
time, a cgroup carries the container's mark.
"""
from __future__ import annotations

import posix
from _signal import SIGKILL

from ..errors import StateError, describe
from ..state import identity, store
from ..step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..facts import Facts
    from ..kernel import Kernel
    from ..state.container import Container

SPEC = "runtime.md#delete"
PATIENCE = 10.0           # seconds for a killed process to be gone
STOPPED = "stopped"
DONE = "poststop"         # the file with the number of poststop hooks that have run


def end(who: dict[str, int | str]) -> None:
    """SIGKILL a process, if it still is that one, and wait for its end. StateError when it does not end."""
    import _signal
    try:
        fd = identity.open_pidfd(who)
    except (ProcessLookupError, KeyError):       # gone, or a create that had none yet
        return
    try:
        _signal.pidfd_send_signal(fd, SIGKILL)
        if not identity.wait_end(fd, PATIENCE):
            raise StateError("container init still running")
    except ProcessLookupError:
        pass
    finally:
        posix.close(fd)


class Kill(Step):
    """The cgroup first: with it die processes that the init does not take along, or did not live to."""
    name = "delete.kill"
    spec = SPEC
    container: Container

    def describe(self) -> str:
        return "kill every process of the container"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if self.container.state["cgroup"]:
            self.container.cgroup().kill()
        end(self.container.state)


class Cgroup(Step):
    name = "delete.cgroup"
    spec = SPEC
    container: Container

    def describe(self) -> str:
        return f"remove the cgroup {self.container.state['cgroup']}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        state = self.container.state
        self.container.cgroup().remove()
        if "unit" in state:
            from ..cgroups.systemd import Manager
            manager = Manager(state["user_manager"], kernel)
            try:
                manager.stop(state["unit"], state["mark"])
            finally:
                manager.close()


class Poststop(Step):
    """runtime.md#lifecycle 13: one that fails is a warning, and the others run all the same.

    How many have run is written down after each, so that a delete that was killed does not repeat them all.
    """
    name = "hooks.poststop"
    spec = "config.md#poststop"
    container: Container
    index: int

    def describe(self) -> str:
        return f"run {self.container.state['hooks']['poststop'][self.index]['path']}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        from .hooks import open_output, output_paths, run_one
        container = self.container
        if self.index < store.read_count(container.root, container.id, DONE):
            return
        streams = -1, -1
        try:
            streams = open_output(kernel, output_paths(container.state["annotations"], container.state["bundle"]))
            run_one(kernel, container.state["hooks"]["poststop"][self.index], self.where,
                    container.oci_state(STOPPED), streams=streams)
        except OSError as fault:
            facts.warnings.append(describe(fault))
        finally:
            for fd in streams:
                if fd >= 0:
                    kernel.close(fd)
        try:
            store.write(container.root, container.id, DONE, self.index + 1)
        except OSError as fault:         # no room, say: then a delete that is killed may run it once more
            facts.warnings.append(f"write down that it has run: {describe(fault)}")


class Forget(Step):
    """From here on the id is free."""
    name = "delete.forget"
    spec = SPEC
    container: Container

    def describe(self) -> str:
        return f"remove {self.container.path('')}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        store.remove(self.container.root, self.container.id)
