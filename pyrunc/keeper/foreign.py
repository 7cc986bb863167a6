"""Another runtime's program, run by a worker, so that what it makes is the keeper's child in the end, like our own."""
from __future__ import annotations

import posix

from ..errors import PyruncError, describe
from ..kernel.posix import PosixKernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .channel import Message

NOT_RUN = 127


def run(argv: list[str], pid_file: str) -> tuple[Message, list[int]]:
    """Run a program to its end: its exit status, and the process that it has left behind, with a pidfd.

    pid_file   where the program writes that process's pid; "" when it makes none

    The worker is a subreaper meanwhile (prctl(2)): a process that ends at once stays a zombie of ours until it has been
    named. When the worker ends, the keeper inherits it. Raises PyruncError when the program cannot be run.
    """
    from .._native import lib
    lib.pr_prctl(lib.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if not posix.access(argv[0], posix.X_OK):
        raise PyruncError(f"cannot run {argv[0]}: no such program")
    pid = posix.fork()
    if pid == 0:
        try:
            lib.pr_signals_reset()                        # what it does not set itself its container has from it
            posix.execve(argv[0], argv, posix.environ)
        finally:
            posix._exit(NOT_RUN)
    status = posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])
    if status or not pid_file:
        return {"status": status}, []
    try:
        made = int(PosixKernel().read_file(pid_file))
        return {"status": status, "pid": made}, [posix.pidfd_open(made)]
    except (OSError, ValueError) as fault:
        raise PyruncError(f"{argv[0]} has left no process in {pid_file}: "
                          f"{describe(fault) if isinstance(fault, OSError) else fault}") from None
