"""Small files of procfs and cgroupfs, for who has no Kernel: it looks before there is a plan, or at its own process."""
from __future__ import annotations

import posix


def read(path: str, limit: int = 4096) -> str:
    """What one read(2) gives, at most limit bytes; a process or cgroup may have a name that is no UTF-8. OSError."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, limit).decode(errors="surrogateescape")
    finally:
        posix.close(fd)
