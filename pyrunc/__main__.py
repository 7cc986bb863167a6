"""`python -m pyrunc`: the same modules as the `pyrunc` program, from their sources; for debuggers and profilers.

It lacks what only the program can do: it is not sealed against being overwritten by a container (CVE-2019-5736), it
imports with the help of PYTHONPATH and site, and it starts three times as slowly. Engines should be given the program.
"""
from __future__ import annotations

import _signal
import posix
import sys


def start() -> int:
    """Prepare this process as launcher.c does, run the command line in sys.argv, and return the exit status."""
    if not sys.flags.safe_path and sys.path and __name__ == "__main__":
        del sys.path[0]                 # the working directory, which `-m` has put there
    for fd in range(3):
        try:
            posix.fstat(fd)
        except OSError:
            posix.open("/dev/null", posix.O_RDWR)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    from ._native import lib
    if posix.geteuid() == 0:
        lib.pr_prctl(lib.PR_SET_DUMPABLE, 0, 0, 0, 0)
    from .cli.main import main
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(start())
