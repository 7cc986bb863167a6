"""Device nodes: those that every container has, and how one is recognised."""
from __future__ import annotations

import posix

from .destination import S_IFCHR, S_IFMT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.linux import Kernel

S_IFIFO = 0o010000
#: (type, device number) of the null device
NULL = S_IFCHR, posix.makedev(1, 3)
DEFAULT = {"/dev/null": (1, 3), "/dev/zero": (1, 5), "/dev/full": (1, 7), "/dev/random": (1, 8),
           "/dev/urandom": (1, 9), "/dev/tty": (5, 0)}


def is_device(kernel: Kernel, fd: int, kind: int, number: int) -> bool:
    """Whether fd is a node of this type and number. Never the number alone: it is 0 for every regular file."""
    state = kernel.stat(fd)
    return state.st_mode & S_IFMT == kind and (kind == S_IFIFO or state.st_rdev == number)
