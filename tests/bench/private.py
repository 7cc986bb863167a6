"""How much memory a process has to itself: what it has written to, and is no file's (proc_pid_smaps(5), Anonymous)."""
from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

TRACEME, CONT, SETOPTIONS = 0, 7, 0x4200            # ptrace(2)
EXITKILL, TRACEEXIT = 1 << 20, 1 << 6
AT_EXIT = signal.SIGTRAP | 6 << 8                   # PTRACE_EVENT_EXIT
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
LIBC.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    if LIBC.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def of(pid: int | str) -> int:
    """KiB of a process now."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
    raise ValueError(pid)


def at_end(argv: list[str], null: int) -> int:
    """KiB of the process of a command, when it ends; not of its children. 0 where the kernel does not tell."""
    pid = os.fork()
    if not pid:
        try:
            for fd in range(3):
                os.dup2(null, fd)
            _ptrace(TRACEME, 0)
            os.execv(argv[0], argv)
        finally:
            os._exit(127)
    os.waitpid(pid, 0)                              # it has been executed
    _ptrace(SETOPTIONS, pid, EXITKILL | TRACEEXIT)
    found, delivered = 0, 0
    while True:
        _ptrace(CONT, pid, delivered)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            if status:
                raise RuntimeError(f"{' '.join(argv)}: {os.waitstatus_to_exitcode(status)}")
            return found
        delivered = os.WSTOPSIG(status)
        if status >> 8 == AT_EXIT:
            found = of(pid)
        if delivered == signal.SIGTRAP:             # ptrace's own: the end, or one more execve
            delivered = 0
