"""`delete`: what a dead shim has left is removed, and containerd is told how its container ended."""
from __future__ import annotations

import posix
import time
from _signal import SIGKILL

from ..errors import PyruncError
from ..ttrpc.messages.task import DeleteResponse
from .events import stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .command import Given

KILLED = 128 + SIGKILL


def delete(given: Given, bundle: str) -> bytes:
    """Kill the container, undo what its create did, unmount its root: a DeleteResponse."""
    from ..kernel.linux import Kernel
    from ..runtime.delete import delete as remove
    from . import rootfs, switches
    from .service import ROOT
    folder = f"{bundle.rpartition('/')[0]}/{given.id}"
    pid = number(f"{folder}/init.pid")
    root = text(f"{folder}/pyrunc-root") or f"{ROOT}/{given.namespace}"
    failed: PyruncError | OSError | None = None
    try:
        remove(root, given.id, True, switches.observers("delete", root, given.id, ""))
    except (PyruncError, OSError) as fault:
        failed = fault
    rootfs.unmount_all(Kernel(), f"{folder}/rootfs")
    if failed is not None:
        raise failed
    return DeleteResponse(pid=pid, exit_status=KILLED, exited_at=stamp(time.time_ns())).encode()


def number(path: str) -> int:
    """The number in a file; 0 without one."""
    found = text(path)
    return int(found) if found.isdigit() else 0


def text(path: str) -> str:
    """What is in a small file; "" without one."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        return posix.read(fd, 4096).decode(errors="surrogateescape").strip()
    finally:
        posix.close(fd)
