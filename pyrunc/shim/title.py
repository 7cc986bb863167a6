"""What ps shows of a shim: its own words, where a process that was forked has those of whoever was called first."""
from __future__ import annotations

import posix

from ..kernel.small_file import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "containerd-shim-pyrunc-v2"
#: Fields of /proc/PID/stat (proc(5)), counted from 1: where the words of the command line are in memory.
STATE, ARG_START, ARG_END = 3, 48, 49


def show(words: Sequence[str]) -> None:
    """Write the program's name and these words over this process's command line, as far as there is room.

    The kernel shows what is in this memory. It is the process's own, and nothing else is in it: PR_SET_MM, by which it
    could be longer, needs CAP_SYS_RESOURCE.
    """
    fields = read("/proc/self/stat").rpartition(")")[2].split()
    start, end = (int(fields[number - STATE]) for number in (ARG_START, ARG_END))
    room = end - start
    if start <= 0 or room <= 0:                        # the kernel does not tell
        return
    text = b"\0".join(word.encode(errors="surrogateescape") for word in (PROGRAM, *words))[:room - 1]
    memory = posix.open("/proc/self/mem", posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.pwrite(memory, text + bytes(room - len(text)), start)
    finally:
        posix.close(memory)
