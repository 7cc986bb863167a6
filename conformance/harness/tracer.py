"""A command that is stopped at its system calls, by ptrace(2): which of them change something, and SIGKILL at one.

Only the command's own process is followed, all threads of it. Its children go on by themselves.
"""
from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from ..model import NotHere
from .isolation import call

PTRACE_TRACEME, PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_SETOPTIONS, PTRACE_GET_SYSCALL_INFO = 0, 17, 24, 0x4200, 0x420e
#: TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, EXITKILL.
OPTIONS = 1 | 2 | 4 | 8 | 1 << 20
SYSCALL_STOP, ENTRY, WALL, O_CREAT = signal.SIGTRAP | 0x80, 1, 0x40000000, 0o100

#: What changes files, mounts, processes or their limits: name -> number on x86_64, on aarch64.
CHANGES = {
    "write": (1, 64), "pwrite64": (18, 68), "writev": (20, 66), "sendto": (44, 206), "sendmsg": (46, 211),
    "connect": (42, 203), "clone": (56, 220), "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221),
    "kill": (62, 129), "truncate": (76, 45), "ftruncate": (77, 46), "rename": (82, -1), "mkdir": (83, -1),
    "rmdir": (84, -1), "creat": (85, -1), "link": (86, -1), "unlink": (87, -1), "symlink": (88, -1),
    "chmod": (90, -1), "fchmod": (91, 52), "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1),
    "mknod": (133, -1), "mount": (165, 40), "umount2": (166, 39), "setxattr": (188, 5), "fsetxattr": (190, 7),
    "open": (2, -1), "openat": (257, 56), "mkdirat": (258, 34), "mknodat": (259, 33), "fchownat": (260, 54),
    "unlinkat": (263, 35), "renameat": (264, 38), "linkat": (265, 37), "symlinkat": (266, 36), "fchmodat": (268, 53),
    "unshare": (272, 97), "fallocate": (285, 47), "prlimit64": (302, 261), "setns": (308, 268),
    "renameat2": (316, 276), "bpf": (321, 280), "move_mount": (429, 429), "pidfd_send_signal": (424, 424),
    "clone3": (435, 435), "openat2": (437, 437), "mount_setattr": (442, 442)}
#: Their first argument is a descriptor: only what is written to a file counts.
WRITES = {"write", "pwrite64", "writev"}


class _Info(ctypes.Structure):
    """struct ptrace_syscall_info, at an entry."""
    _fields_ = [("op", ctypes.c_uint8), ("pad", ctypes.c_uint8 * 3), ("arch", ctypes.c_uint32),
                ("ip", ctypes.c_uint64), ("sp", ctypes.c_uint64), ("nr", ctypes.c_uint64),
                ("args", ctypes.c_uint64 * 6), ("more", ctypes.c_uint64)]


def _numbers() -> dict[int, str]:
    column = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
    if column is None:
        raise NotHere(f"no numbers of system calls for {platform.machine()}")
    return {numbers[column]: name for name, numbers in CHANGES.items() if numbers[column] >= 0}


def _ptrace(request: int, pid: int, address: int = 0, data: object = 0) -> int:
    value = ctypes.byref(data) if isinstance(data, ctypes.Structure) else ctypes.c_void_p(data)  # type: ignore[arg-type]
    return call("ptrace", ctypes.c_long(request), pid, ctypes.c_void_p(address), value)


class Traced:
    """One command, stopped at every call that changes something; at() is called there with its name and how manieth."""

    def __init__(self, argv: Sequence[str], at: Callable[[int, str], None]) -> None:
        self.argv, self.at, self.numbers = list(argv), at, _numbers()
        self.main, self.count = 0, 0
        self.inside: set[int] = set()                     # threads that are in a system call

    def run(self) -> int:
        """To its end: how the process ended, as waitstatus_to_exitcode has it."""
        self.main = os.fork()
        if self.main == 0:
            try:
                null = os.open("/dev/null", os.O_RDWR)
                for fd in (0, 1, 2):
                    os.dup2(null, fd)
                _ptrace(PTRACE_TRACEME, 0)
                os.kill(os.getpid(), signal.SIGSTOP)
                os.execv(self.argv[0], self.argv)
            finally:
                os._exit(127)
        os.waitpid(self.main, 0)
        _ptrace(PTRACE_SETOPTIONS, self.main, data=OPTIONS)
        known = {self.main}
        self._go(self.main)
        while True:
            pid, status = os.waitpid(-1, WALL)
            if not os.WIFSTOPPED(status):
                if pid == self.main:
                    return os.waitstatus_to_exitcode(status)
                continue
            try:
                self._stopped(pid, status, known)
            except (ProcessLookupError, FileNotFoundError):
                continue                                   # it was killed meanwhile

    def _stopped(self, pid: int, status: int, known: set[int]) -> None:
        number = os.WSTOPSIG(status)
        if pid not in known:
            known.add(pid)
            if _group(pid) != self.main:
                _ptrace(PTRACE_DETACH, pid)
                return
            number = 0 if number == signal.SIGSTOP else number
        if number == SYSCALL_STOP:
            self._syscall(pid)
            number = 0
        elif number == signal.SIGTRAP:
            number = 0                                      # of ptrace itself
        self._go(pid, number)

    def _go(self, pid: int, number: int = 0) -> None:
        _ptrace(PTRACE_SYSCALL, pid, data=number)

    def _syscall(self, pid: int) -> None:
        info = _Info()
        _ptrace(PTRACE_GET_SYSCALL_INFO, pid, ctypes.sizeof(info), info)
        name = self.numbers.get(info.nr) if info.op == ENTRY else None
        if name and _changes(pid, name, list(info.args)):
            self.count += 1
            self.at(self.count, name)


def _group(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("Tgid:"):
            return int(line.split()[1])
    return 0


def _changes(pid: int, name: str, args: list[int]) -> bool:
    """Whether this call can change what others see: an open that makes a file, a write to one."""
    if name in WRITES:
        try:
            path = os.readlink(f"/proc/{pid}/fd/{args[0]}")
        except OSError:
            return False
        return path.startswith("/") and not path.startswith("/dev/")
    if name in ("open", "openat"):
        return bool(args[1 if name == "open" else 2] & O_CREAT)
    if name == "openat2":
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            memory.seek(args[2])
            return bool(int.from_bytes(memory.read(8), "little") & O_CREAT)
    if name == "prlimit64":
        return bool(args[2])
    return True


def _below(pid: int) -> list[int]:
    """The process and all that it has started."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += _below(int(child))
    except OSError:
        pass
    return found


def changes(argv: Sequence[str]) -> int:
    """Run a command to its end: how many calls of it change something."""
    traced = Traced(argv, lambda count, name: None)
    traced.run()
    return traced.count


def spread(count: int) -> list[int]:
    """1 to count, each once, in an order in which wherever one stops, those before lie evenly among all: the bits of a
    counter from behind."""
    bits = max(1, (count - 1).bit_length())
    turned = (int(f"{number:0{bits}b}"[::-1], 2) + 1 for number in range(1 << bits))
    return [number for number in turned if number <= count]


def killed_at(argv: Sequence[str], point: int, children: bool) -> str:
    """Run a command and kill it at its point-th call that changes something: the call's name; "" when it came to its
    end before. children: what it has started is killed, too, as by the end of a service."""
    found = ""

    def at(count: int, name: str) -> None:
        nonlocal found
        if count == point:
            found = name
            for pid in _below(traced.main) if children else [traced.main]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
    traced = Traced(argv, at)
    traced.run()
    return found
