"""What the command line asked for, as the planner sees it. Paths are absolute by the time a plan is made."""
from __future__ import annotations

import posix

from .engine.fields import Fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Options(Fields):
    """Options of create, run, exec and restore; unused ones keep their defaults."""
    id: str = ""
    root: str = "/run/pyrunc"            # --root: the state root
    bundle: str = ""
    console_socket: str = ""
    pidfd_socket: str = ""
    pid_file: str = ""
    cgroup: str = ""                     # exec --cgroup: a cgroup below the container's own
    joins: bool = False                  # exec: one more process in a container that exists
    heir: int = 0                        # the runtime's parent, a child subreaper, whose child the process becomes
    init_pid: int = 0                    # exec: its first process, as the runtime sees it
    preserve_fds: int = 0
    listen_fds: int = 0                  # LISTEN_FDS, when LISTEN_PID was ours
    notify_socket: str = ""              # NOTIFY_SOCKET of the caller
    no_pivot: bool = False
    no_new_keyring: bool = False
    detach: bool = True                  # create and run --detach; False for a foreground run
    terminal_taken: bool = False         # in the foreground: the caller has the terminal's master afterwards
    systemd_cgroup: bool = False
    cgroup_manager: str = "cgroupfs"     # cgroupfs, systemd or disabled
    inspected: bool = False              # --break: the caller's user wants to look into the init between its steps
    rootless: str = "auto"               # auto, true or false
    nonce: str = ""                      # of this one creation: in intent.json and on the cgroup; made up when absent

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.nonce = self.nonce or posix.urandom(8).hex()
