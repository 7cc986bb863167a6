"""Which system calls a command makes, and the command again with one of them failing (inject.c does it)."""
from __future__ import annotations

import errno
import itertools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests import runtimes
from tests.guest.machine import CHECKOUT

HALF = -1                       # in place of an errno: half of what was to be written is
NUMBERS = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
ERRORS = (errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.EPERM, errno.EINTR)
WRITING = {"write", "pwrite64"}
#: Calls that cannot fail, by their man pages, with arguments that are right; close(2) has closed whatever it says, and
#: brk(2) tells in another way.
CANNOT = {"exit_group", "exit", "rt_sigaction", "rt_sigreturn", "close", "brk", "munmap", "getpid", "gettid", "getppid",
          "getuid", "geteuid", "getgid", "getegid", "umask", "set_tid_address", "set_robust_list", "rseq", "arch_prctl",
          "sched_yield", "restart_syscall"}
#: Their first text is what they are to fill, and holds anything.
FILLING = {"read", "pread64", "getdents64", "fstat", "fstatfs", "recvmsg", "recvfrom"}
#: The program's first call of its own: before it the system's loader is at work.
FIRST = "fcntl"


@cache
def program() -> Path:
    """The compiled inject.c."""
    made = Path(tempfile.gettempdir()) / f"pyrunc-inject-{Path(__file__).stat().st_mtime_ns}"
    source = Path(__file__).with_name("inject.c")
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        new = made.with_name(f"{made.name}-{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", new, source], check=True)
        new.rename(made)
    return made


@cache
def names() -> dict[int, str]:
    return {int(number): name for name, number in re.findall(r"__NR_(\w+) (\d+)", Path(NUMBERS).read_text())}


@dataclass(frozen=True)
class Call:
    """The occurrence-th call of this name by one process, 0 being the command's own."""
    process: int
    number: int
    occurrence: int
    on: str = ""            # the file that its first argument is a descriptor of, or a small number
    text: str = ""

    @property
    def name(self) -> str:
        return names().get(self.number, f"call {self.number}")        # newer than the headers

    def __str__(self) -> str:
        what = " ".join(filter(None, [self.on.removeprefix("-"), self.text]))
        return f"{self.name} number {self.occurrence} of process {self.process} ({what})"


@dataclass
class Outcome:
    """How a command went. done: the call was made, and failed."""
    status: int
    stdout: str
    stderr: str
    done: bool = True


def run(argv: list[str], log: Path, fault: str = "", stdin: int = subprocess.DEVNULL, seconds: float = 30) -> Outcome:
    """Run a command below inject; status 124 and what was said until then when it does not end in time."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen([program(), log, *([fault] if fault else []), *argv], stdin=stdin,
                                   stdout=out, stderr=err)
        try:
            status = runtimes.wait(process, seconds)
        except subprocess.TimeoutExpired:
            process.terminate()             # it takes all processes along
            process.wait()
            status = 124
        out.seek(0)
        err.seek(0)
        return Outcome(status, out.read(), err.read(), log.read_text() == "done\n")


def calls(argv: list[str], log: Path, stdin: int = subprocess.DEVNULL) -> list[Call]:
    """The calls of a command that may fail, in order. It must succeed."""
    outcome = run(argv, log, stdin=stdin)
    assert outcome.status == 0, outcome.stderr
    found, begun = [], False                # again not when it has started from its sealed image
    for line in log.read_text().splitlines():
        process, number, occurrence, _, on, text = line.split(" ", 5)
        call = Call(int(process), int(number), int(occurrence), on, text)
        begun = (begun or call.name == FIRST) and not (call.name == "execveat" and process == "0")
        if begun and call.name not in CANNOT:
            found.append(call)
    return found


def kinds(calls: list[Call]) -> dict[tuple[object, ...], list[Call]]:
    """Calls that one may stand for: of the same process, on the same file or path (numbers apart), after the same call
    on the same. A checkout's program looks whether each of its sources is what it has frozen: those are one kind."""
    found: dict[tuple[object, ...], list[Call]] = {}
    for before, call in itertools.pairwise([None, *calls]):
        assert call is not None
        found.setdefault((subject(call), before and subject(before)), []).append(call)
    return found


def subject(call: Call) -> tuple[int, str, str]:
    what = call.on if call.name in FILLING else f"{call.on} {call.text}"
    what = re.sub(rf"{re.escape(str(CHECKOUT))}/pyrunc/\S*", "a source", what)
    return call.process, call.name, re.sub(r"\d+", "N", what)


def faults(call: Call) -> Iterator[int]:
    """What can go wrong with it."""
    yield from ERRORS
    if call.name in WRITING:
        yield HALF


def with_fault(argv: list[str], log: Path, call: Call, error: int, stdin: int = subprocess.DEVNULL) -> Outcome:
    """The command with this call failing."""
    return run(argv, log, f"{call.process}:{call.number}:{call.occurrence}:{error}", stdin)


def error_name(error: int) -> str:
    return "half of it" if error == HALF else errno.errorcode[error]
