"""What the last stage keeps of the memory that it was forked with (docs/memory.md)."""
from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from pyrunc.kernel.last_stage import OP_BARRIER, OP_CLOSE_FD

from .stage import Stage, op, shell


def anonymous(pid: int) -> dict[str, int]:
    """KiB of anonymous memory, by what is mapped; copies of a file's pages count."""
    found: dict[str, int] = {}
    name = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            name = (line.split(maxsplit=5)[5:] or [""])[0]
        elif line.startswith("Anonymous:"):
            found[name] = found.get(name, 0) + int(line.split()[1])
    return found


def test_python_s_memory_is_given_back_at_the_first_barrier() -> None:
    """In a process of its own: the tests' has imported libraries of many packages, more than the stage counts."""
    subprocess.run([sys.executable, "-c", "from tests.last_stage import test_memory; test_memory.check()"], check=True,
                   timeout=60, cwd=Path(__file__).parent.parent.parent)


def check() -> None:
    """And what is said and executed afterwards is what was asked for: nothing of it was in there."""
    ours, theirs = socket.socketpair()
    program = str(Path(sys.executable).resolve())
    before = anonymous(os.getpid())
    assert before["[heap]"] > 1000
    assert before[program] > 100
    stage = Stage([op(OP_BARRIER, theirs.fileno()), op(OP_BARRIER, theirs.fileno()), op(OP_CLOSE_FD, theirs.fileno()),
                   *shell("echo $0 on")])
    theirs.close()
    assert ours.recv(1) == b"\n"
    ours.send(b"\n")
    assert ours.recv(1) == b"\n"                # the first barrier is behind it
    after = anonymous(stage.pid)
    assert after.get("[heap]", 0) == 0
    assert after.get(program, 0) == 0, after
    # What the loader relocated is needed in the C library and in the native module alone; libpython.so has 170 KiB.
    relocated = {path: before[path] for path in before if ".so" in path and before[path]}
    assert sum(relocated.values()) > 100
    kept = {path: after[path] for path in relocated
            if Path(path).name.split(".")[0] not in ("libc", "ld-linux-x86-64", "_native") and path in after}
    assert sum(kept.values()) < 20, kept        # (of the 65th object and those after it, the data stays)
    ours.send(b"\n")
    assert stage.told().out == "/bin/sh on\n"
    ours.close()
