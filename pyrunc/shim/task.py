"""A container and its processes as the shim remembers them."""
from __future__ import annotations

import posix
import select
import time

from ..errors import PyruncError
from ..state.container import Container
from ..ttrpc.messages.task import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.loop import Loop
    from ..ttrpc.server import Call
    from .copier import Terminal

#: Seconds between two looks whether all of stdout has been read, and after which it does not matter any more.
LOOK, UNREAD = 0.002, 10.0


class Process:
    """A container's init, or one that Exec has added.

    id        the exec's id, "" for the init
    pid       0 until it was made
    status    what wait(2) says of its end, -1 before
    failed    its latest Start has failed, or it is deleted: there is no end to wait for
    waits     calls of Wait that have no answer yet
    """

    def __init__(self, id: str, stdin: str, stdout: str, stderr: str, terminal: bool) -> None:
        self.id, self.stdin, self.stdout, self.stderr, self.terminal = id, stdin, stdout, stderr, terminal
        self.pid = 0
        self.pidfd = -1
        self.status = -1
        self.exited_at = 0                       # nanoseconds since the epoch
        self.starting = False                    # its Start has no answer yet: its end has to wait for that
        self.started = False
        self.failed = False
        self.input_over = False
        self.early: tuple[int, int] | None = None
        self.waits: list[Call] = []
        self.kept: dict[str, int] = {}
        self.console: Terminal | None = None
        self.spec: Any = None                    # of an exec: its process, as JSON has it; of the init: its Create

    @property
    def exited(self) -> bool:
        """Whether its end is known."""
        return self.status >= 0

    @property
    def exit_status(self) -> int:
        """As shells have it: 128 and the signal for one that was killed."""
        if not self.exited:
            return 0
        return 128 + posix.WTERMSIG(self.status) if posix.WIFSIGNALED(self.status) else posix.WEXITSTATUS(self.status)

    def state(self) -> int:
        """Its Status, but for a pause."""
        if self.exited:
            return Status.STOPPED
        return Status.RUNNING if self.started else Status.CREATED

    def close_input(self) -> None:
        """CloseIO: no further client will write to it. One that has not been made yet ends its input then: its worker
        has opened that before the answer to Start, and a client may be quicker."""
        self.input_over = True
        if self.console is not None:
            self.console.close_input()
        elif "stdin" in self.kept:
            posix.close(self.kept.pop("stdin"))

    def end_errors(self, loop: Loop) -> None:
        """It has ended: let its stderr end, too, once its stdout has been read.

        Where stderr ends, containerd's CRI plugin takes a client that has attached to stdin for gone, and gives it no
        more of stdout (io/container_io.go: Attach). What a process says last would not reach it.
        """
        if "stderr-writer" not in self.kept:
            return
        poll, until = select.poll(), time.monotonic() + UNREAD
        poll.register(self.kept["stdout"], select.POLLIN)
        empty = 0

        def look() -> None:
            nonlocal empty
            if "stderr-writer" not in self.kept:           # it has been released
                return
            unread = any(events & select.POLLIN for _, events in poll.poll(0))
            empty = 0 if unread else empty + 1
            if empty > 1 or time.monotonic() > until:      # twice: what has just been read is not yet passed on
                posix.close(self.kept.pop("stderr-writer"))
            else:
                loop.later(LOOK, look)
        look()

    def release(self) -> None:
        """Let go of its descriptors; again is no error."""
        if self.console is not None:
            self.console.close()
            self.console = None
        for fd in self.kept.values():
            posix.close(fd)
        self.kept.clear()
        if self.pidfd >= 0:
            posix.close(self.pidfd)
            self.pidfd = -1


class Task:
    """One container.

    shares   its init has no pid namespace of its own, so the others do not end with it
    paused   by Pause
    mappings of its ids, [uidMappings, gidMappings] of its config, or None
    """

    def __init__(self, id: str, bundle: str, root: str, init: Process) -> None:
        self.id, self.bundle, self.root, self.init = id, bundle, root, init
        self.execs: dict[str, Process] = {}
        self.shares = False
        self.mappings: Any = None
        self.paused = False
        self.deleting = False
        self.oom_fd = -1
        self.oom_kills = 0

    def kill_all(self) -> None:
        """What an init without a pid namespace of its own has left."""
        try:
            with Container.load(self.root, self.id).cgroup() as cgroup:
                cgroup.kill()
        except (OSError, PyruncError):
            pass

    def processes(self) -> list[Process]:
        """All that there are, the init first."""
        return [self.init, *self.execs.values()]

    def running_execs(self) -> list[Process]:
        """Execs that are being started or have not ended."""
        return [one for one in self.execs.values() if (one.pid or one.starting) and not one.exited]
