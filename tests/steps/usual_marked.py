"""A root put together in this process, with a mark around each call in which C does the usual: for test_usual.py, which
lets the system calls between two marks fail. Prints what is there in the end."""
from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pyrunc.engine.facts import Facts
from pyrunc.kernel.linux import Kernel

from ..forked import os_unshare
from .rootfs import CLONE_NEWNS, ROOT, apply, config, enter, mountinfo, steps

#: The others are like these.
MARKED = {b"/new", b"/old", b"/a/proc", "/dev/fuse", "/dev/fifo", "/dir", "/file", "/dir/sub"}


def mark() -> None:
    """A system call that nothing here makes otherwise."""
    os.getpriority(os.PRIO_PROCESS, 0)


Done = TypeVar("Done")


def between(marks: bool, call: Callable[..., Done], *given: Any) -> Done:
    """What the call returns; between two marks, if there are to be marks."""
    if marks:
        mark()
    done = call(*given)
    if marks:
        mark()
    return done


class Marked(Kernel):
    """Shows where C does it all: there are two marks around that."""

    def usual_mount(self, root_fd: int, path: bytes, kind: bytes, options: bytes, attributes: int, how: int) -> int:
        return between(path in MARKED, super().usual_mount, root_fd, path, kind, options, attributes, how)

    def usual_node(self, root_fd: int, path: str, mode: int, device: int, uid: int, gid: int) -> bool:
        return between(path in MARKED, super().usual_node, root_fd, path, mode, device, uid, gid)

    def usual_readonly(self, root_fd: int, path: str) -> bool:
        return between(path in MARKED, super().usual_readonly, root_fd, path)

    def usual_mask(self, root_fd: int, path: str, file_fd: int, directory_fd: int) -> bool:
        return between(path in MARKED and min(file_fd, directory_fd) >= 0, super().usual_mask, root_fd, path, file_fd,
                       directory_fd)


def look() -> Any:
    """What is mounted, and every name with its type, mode, owner and device."""
    mounts = {point: (mount["type"], mount["source"], sorted(mount["flags"]), sorted(mount["options"]))
              for point, mount in mountinfo().items()}
    names = []
    kernels = [point for point, found in mounts.items() if found[0] in ("proc", "sysfs")]
    for top, folders, files in os.walk("/"):
        if top in kernels:
            folders.clear()
            continue
        for name in [".", *folders, *files]:
            state = os.lstat(f"{top}/{name}")
            kind = stat.S_IFMT(state.st_mode)
            names.append((f"{top}/{name}", oct(state.st_mode), state.st_uid, state.st_gid, state.st_rdev,
                          os.readlink(f"{top}/{name}") if kind == stat.S_IFLNK else ""))
    return mounts, sorted(names)


def wanted(bundle: Path) -> Any:
    root = bundle / "rootfs"
    for name in ("dev", "old", "a", "dir/sub", "other"):
        (root / name).mkdir(parents=True)
    (root / "old").chmod(0o1751)
    for name in ("file", "first"):
        (root / name).write_text("secret")
    mounts = [{"destination": place, "type": kind, "source": "none", "options": options} for place, kind, options in (
        ("/new", "tmpfs", ["ro", "size=4k"]), ("/old", "tmpfs", ["nosuid"]), ("/a/proc", "proc", []))]
    devices = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o642, "uid": 3, "gid": 4},
               {"path": "/dev/fifo", "type": "p", "fileMode": 0o622, "uid": 5}]
    return config(bundle, mounts, readonlyPaths=["/dir"], maskedPaths=["/first", "/other", "/file", "/dir/sub"],
                  devices=devices)


def main(bundle: Path) -> None:
    os.umask(0o077)                     # what is not finished has another mode
    os_unshare(CLONE_NEWNS)
    facts = Facts()
    plan = list(steps(wanted(bundle), bundle, ROOT, with_devices=True))
    before = len(os.listdir("/proc/self/fd"))
    apply(plan, Marked(), facts)
    kept = len(os.listdir("/proc/self/fd")) - before
    enter(facts.root_fd)
    print(json.dumps([*look(), kept]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
