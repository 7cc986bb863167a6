"""The facts that are known only while a plan runs: a dozen named slots, owned by the engine."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    Kept = TypeVar("Kept")


class Facts:
    """Descriptors are -1 and pids 0 until the step named in the comment has set them."""
    __slots__ = (
        "cgroup_fd",
        "console_fd",
        "console_socket",
        "fifo_fd",
        "hold",
        "home",
        "hook_output",
        "lock_fd",
        "mount_fds",
        "notes",
        "page",
        "pid",
        "pidfd",
        "plan",
        "proc_fd",
        "results",
        "root_fd",
        "seccomp",
        "spare",
        "start_time",
        "state_fd",
        "sync_fd",
        "userns_fd",
        "warnings",
    )

    def __init__(self) -> None:
        self.state_fd = -1       # state.reserve: <root>/<id>, O_PATH|O_DIRECTORY
        self.cgroup_fd = -1      # cgroup.create: the container's cgroup directory
        self.pid = 0             # namespaces.clone: the container's init as the runtime sees it
        self.pidfd = -1          # namespaces.clone
        self.start_time = 0      # namespaces.clone: of a process that /proc may hide from the runtime later
        self.userns_fd = -1      # namespaces.join_user / idmap: the container's user namespace
        self.proc_fd = -1        # root.proc: a private procfs of the container's pid namespace (child)
        self.root_fd = -1        # root.bind: the container's root, before it is "/" (child)
        self.console_fd = -1     # terminal.*: the master in the parent, its peer in the child
        self.console_socket = -1 # terminal.connect or .pair: what the init sends the master on
        self.lock_fd = -1        # state.reserve, or the caller of start: the container's lock
        self.fifo_fd = -1        # state.fifo: what the init waits on for `start`
        self.hold = False        # --break-on-error: a child that fails waits to be looked at
        self.hook_output = (-1, -1)      # hooks.output: files for hooks' stdout and stderr
        self.seccomp = b""       # seccomp.compile: the filter program
        self.home = ""           # process.home: HOME from the container's /etc/passwd (child)
        self.sync_fd = -1        # engine: this side's end of the socket that barriers use
        self.spare: list[int] = []       # state.reserve: descriptors that an undo has for its own use
        self.page: Any = None    # state.journal: the shared page (page_t of native.h)
        self.plan: Any = None    # engine: the plan that runs (step.Plan)
        self.warnings: list[str] = []    # of steps in the parent; the command line logs them
        self.notes: list[str] = []       # the same, but only where there is a log file
        # Detached mounts made in the parent, by index in config.mounts: the child only attaches them.
        self.mount_fds: dict[int, int] = {}
        # What one step has found out for another one, or for its own undo: a plan is not written to.
        self.results: dict[object, Any] = {}

    def keep(self, step: object, result: object) -> None:
        """Remember the result of a step in this run."""
        self.results[step] = result

    def kept(self, step: object, otherwise: Kept) -> Kept:
        """The result of a step; otherwise when it has none."""
        result: Kept = self.results.get(step, otherwise)
        return result
