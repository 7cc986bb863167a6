"""strace as an instrument: what a command did, and a SIGKILL at any one of its system calls."""
from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Call:
    """The occurrence-th call (from 1) of this name by one process; text is strace's line."""
    name: str
    occurrence: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.name} number {self.occurrence}: {self.text[:100]}"


def calls(lines: list[str]) -> list[Call]:
    """The calls of one process in order; signals, exits and the second halves of interrupted lines are not calls."""
    count: Counter[str] = Counter()
    found = []
    for line in lines:
        if match := re.match(r"(\w+)\(", line):
            count[match[1]] += 1
            found.append(Call(match[1], count[match[1]], line.strip()))
    return found


def traced(argv: list[str], timeout: float = 110) -> list[Call]:
    """Run a command to its end; what its first process called. Its children are not followed."""
    with tempfile.NamedTemporaryFile(mode="r", prefix="strace-") as record:
        subprocess.run(["strace", "-s", "200", "-o", record.name, *argv], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=timeout, check=True)
        return calls(record.read().splitlines())


def killed_at(call: Call, argv: list[str], timeout: float = 110) -> bool:
    """Run a command and kill its first process as it enters this call. False when it never came there.

    Its children are not traced, and die or go on as the kernel and the runtime have arranged it.
    """
    done = subprocess.run(["strace", "-o", "/dev/null", f"--trace={call.name}",
                           f"--inject={call.name}:signal=SIGKILL:when={call.occurrence}", *argv],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          timeout=timeout, check=False)
    return done.returncode in (-9, 137)


def followed(argv: list[str], folder: Path, timeout: float = 110) -> list[list[str]]:
    """Run a command and its children to their end; the lines of each process, descriptors with their paths."""
    folder.mkdir()
    subprocess.run(["strace", "-ff", "-y", "-s", "300", "-o", folder / "trace", *argv], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=timeout, check=True)
    return [path.read_text(errors="replace").splitlines() for path in sorted(folder.iterdir())]
