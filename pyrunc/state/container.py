"""One container as its state directory and the kernel describe it: what it is doing, and a safe way to signal it."""
from __future__ import annotations

import errno
import posix

from ..errors import DOES_NOT_EXIST, NOT_RUNNING, NoSuchContainer, StateError
from ..kernel import small_file
from . import process_id, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroups.v2 import Cgroup
    from ..kernel.posix import PosixKernel

# runtime.md#state: the runtime may define more; "paused" is runc's.
CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"
#: Seconds from letting go of its files and namespaces to the end of a process, at most.
ENDING = 2.0


class Container:
    """state is state.json's content, or intent.json's while (or because) there is no state.json."""
    __slots__ = ("id", "made", "root", "state")

    def __init__(self, root: str, id: str, state: dict[str, Any], made: bool) -> None:
        self.root, self.id, self.state, self.made = root, id, state, made

    @classmethod
    def load(cls, root: str, id: str, above: int | None = None) -> Container:
        """The container of that id. UsageError for what is no id, StateError when there is none. above: a descriptor of
        the root, of who loads many."""
        store.check_id(id)
        state = store.read(root, id, store.STATE, above)
        if state is not None:
            return cls(root, id, state, True)
        state = store.read(root, id, store.INTENT, above)
        if state is None:
            raise NoSuchContainer(f"{DOES_NOT_EXIST}: {id} in {root}")
        return cls(root, id, state, False)

    def path(self, name: str) -> str:
        """A file of its state directory."""
        return f"{self.root}/{self.id}/{name}"

    @property
    def pid(self) -> int:
        """The init's pid, whether it lives or not; 0 while there is none."""
        return int(self.state.get("pid", 0))

    def status(self) -> str:
        """What the container is doing now: one of the constants above.

        A create that was killed leaves a `stopped` container: there is something to delete.
        """
        if not self.made:
            return CREATING if process_id.alive(self.state["creator"]) else STOPPED
        if not process_id.alive(self.state):
            return STOPPED
        if self.frozen():
            return PAUSED
        return CREATED if self.waiting() else RUNNING

    def cgroup(self, kernel: PosixKernel | None = None) -> Cgroup:
        """Its cgroup; one that is no longer there, or no longer the container's, does nothing."""
        from ..cgroups.v2 import Cgroup
        from ..kernel.posix import PosixKernel
        return Cgroup(self.state["cgroup"], self.state["mark"], kernel or PosixKernel(), *self.cgroup_known())

    def cgroup_known(self) -> tuple[int, bool]:
        """(inode of its cgroup, 0 when it is not known; whether pyrunc made that)."""
        inode = self.state.get("cgroup_inode", 0)
        return (inode, self.state["cgroup_made"]) if inode and process_id.same_boot(self.state) else (0, False)

    def had_cgroup(self) -> bool:
        """It was given one: create was not told to do without, nor spared one that it may not make."""
        return "cgroup_inode" in self.state

    def frozen(self) -> bool:
        """Whether every process of its cgroup is stopped by the freezer (cgroup-v2.rst, cgroup.events)."""
        if not self.state["cgroup"]:
            return False
        try:
            return "frozen 1" in small_file.read(f"{self.state['cgroup']}/cgroup.events")
        except OSError as fault:
            # Removed under us, or not ours to read: not frozen by us.
            if fault.errno in (errno.ENOENT, errno.ENODEV, errno.EACCES, errno.EPERM):
                return False
            raise

    def waiting(self) -> bool:
        """Whether the init still waits for `start`: then it holds the fifo open, and execve(2) closes it.

        Opening a fifo for writing without waiting is ENXIO when nobody reads it (fifo(7)).
        """
        try:
            posix.close(posix.open(self.path(store.FIFO),
                                   posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC))
        except OSError as fault:
            if fault.errno in (errno.ENXIO, errno.ENOENT):
                return False
            raise
        return True

    def pidfd(self) -> int:
        """A pidfd of the init. StateError when it does not run (any more)."""
        try:
            return process_id.open_pidfd(self.state)
        except (ProcessLookupError, KeyError):
            raise StateError(f"{NOT_RUNNING}: {self.id}") from None

    def ends(self, kernel: PosixKernel) -> bool:
        """Whether the init has ended, or does within ENDING: one that exits lets go of its files and namespaces first.
        OSError when that cannot be seen."""
        try:
            fd = kernel.open_process(self.state, process_id.alive)
        except (ProcessLookupError, KeyError):
            return True
        try:
            return kernel.wait_end(fd, ENDING)
        finally:
            kernel.close(fd)

    def signal(self, number: int, kernel: PosixKernel | None = None) -> None:
        """Send a signal to the init, and to nobody who got its pid later. StateError when it does not run."""
        import _signal
        try:
            fd = kernel.open_process(self.state, process_id.alive) if kernel else process_id.open_pidfd(self.state)
        except (ProcessLookupError, KeyError):
            raise StateError(f"{NOT_RUNNING}: {self.id}") from None
        try:
            (kernel or _signal).pidfd_send_signal(fd, number)
        except ProcessLookupError:
            raise StateError(f"{NOT_RUNNING}: {self.id}") from None
        finally:
            (kernel or posix).close(fd)

    def described(self, owner: str = "") -> dict[str, Any]:
        """The container as `state` and `list --format json` show it: runtime.md#state with runc's additions. pid is 0
        once it has stopped."""
        state, status = self.state, self.status()
        shown = {
            "ociVersion": state["ociVersion"],
            "id": self.id,
            "pid": 0 if status == STOPPED else self.pid,
            "status": status,
            "bundle": state["bundle"],
            "rootfs": state["rootfs"],
            "created": state["created"],
        }
        if state["annotations"]:
            shown["annotations"] = state["annotations"]
        shown["owner"] = owner
        return shown

    def oci_state(self, status: str) -> dict[str, Any]:
        """The state as runtime.md#state has it: for `state`, and for hooks to read on their standard input."""
        state = {"ociVersion": self.state["ociVersion"], "id": self.id, "status": status}
        if status != STOPPED and self.pid:
            state["pid"] = self.pid
        state["bundle"] = self.state["bundle"]
        if self.state["annotations"]:
            state["annotations"] = self.state["annotations"]
        return state
