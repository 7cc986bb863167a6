"""What containers have written into their root, and how full the file system below that is.

Nothing of this is counted by the kernel for a container, and to look at every file takes time, or for ever on a file
system that is gone. So it is measured in threads, one container after another, when somebody has asked, and whoever
asks gets what was measured last.
"""
from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from ..errors import PyruncError
from ..rootfs.mountinfo import parse, plain
from .apart import T, apart

if TYPE_CHECKING:
    from .container import Container

#: Seconds for which a measurement holds, and which one may take.
FRESH, LONGEST = 60.0, 10.0
#: Part of the time that measuring may take, so that thousands of files cost the service no CPU that others want.
SHARE = 0.05
#: Files and folders that are counted in one container.
MOST = 200_000
BLOCK = 512                                              # st_blocks, on every file system (stat(3type))


@dataclass(frozen=True)
class Root:
    """A directory of the host in which the root of a container is, and whether the container can write there."""
    path: str
    writes: bool


@dataclass(frozen=True)
class Disk:
    """Bytes of what the container has written into its root, None if that are too many files to count; and bytes and
    inodes of the file system that they are on. device is a name in /dev, or major:minor."""
    device: str
    usage: int | None
    limit: int
    inodes: int
    inodes_free: int


class Disks:
    """Of all containers of a manager. Measures when somebody asks, each directory once a minute at most."""

    def __init__(self) -> None:
        self._roots: dict[str, Root | None] = {}         # by the name of a life; None: it cannot be known
        self._found: dict[Root, tuple[float, Disk | None]] = {}     # and when; None: never again
        self._task: asyncio.Task[None] | None = None

    def of(self, containers: Mapping[str, Container]) -> dict[str, Disk]:
        """What is known of these, by the names of their present lives. Begins to measure what is not, or is old."""
        self._roots = {name: root for name, root in self._roots.items() if name in containers}
        old = {name: one for name, one in containers.items() if self._old(name)}
        if old and (self._task is None or self._task.done()):
            roots = set(self._roots.values())
            self._found = {root: found for root, found in self._found.items() if root in roots}
            self._task = asyncio.ensure_future(self._measure(old))
        known = {name: self._found[root][1] for name, root in self._roots.items() if root in self._found}
        return {name: disk for name, disk in known.items() if disk is not None}

    def close(self) -> None:
        """Measure no more."""
        if self._task is not None:
            self._task.cancel()

    def _old(self, name: str) -> bool:
        if name not in self._roots:
            return True
        root = self._roots[name]
        when, disk = self._found.get(root, _NEVER) if root is not None else (0.0, None)
        return disk is not None and time.monotonic() - when > FRESH

    async def _measure(self, containers: Mapping[str, Container]) -> None:
        for name, one in containers.items():
            if self._old(name):                          # another one has the same root
                begun = time.monotonic()
                await self._look(name, one)
                await asyncio.sleep(min(LONGEST, (time.monotonic() - begun) * (1 / SHARE - 1)))

    async def _look(self, name: str, one: Container) -> None:
        try:
            if name not in self._roots:
                self._roots[name] = None                 # until it is known: no thread is sent after one that hangs
                self._roots[name] = await _soon("root", partial(_root_of, one))
            root = self._roots[name]
            assert root is not None
        except (OSError, KeyError, ValueError, PyruncError):       # it hangs, or it has ended
            return
        if self._old(name):
            disk = None
            with suppress(OSError):                      # it hangs, or its directory is gone
                disk = await _soon("disk", partial(measure, root))
            self._found[root] = time.monotonic(), disk


async def _soon(name: str, call: Callable[[], T]) -> T:
    """In a thread. TimeoutError, which is an OSError, for what takes too long."""
    async with asyncio.timeout(LONGEST):
        return await apart(name, call)


_NEVER = float("-inf"), Disk("", None, 0, 0, 0)


def _root_of(one: Container) -> Root:
    """Where it writes: the upper directory of an overlay, else the root of its config."""
    path = os.path.join(one.record.bundle, one.config()["root"]["path"])
    with open(f"/proc/{one.record.pid}/mountinfo", errors="surrogateescape") as file:
        return root_of(file.read(), os.path.normpath(path))


def root_of(mounts: str, path: str) -> Root:
    """By the mountinfo (proc_pid_mountinfo(5)) of a process, and the root of its config as the host sees that.

    Raises ValueError without a root among the mounts.
    """
    roots = [mount for mount in parse(mounts).values() if mount.point == "/"]
    if not roots:
        raise ValueError("there is no root among the mounts")
    options = roots[-1].data.split(",")
    upper = next((plain(word.removeprefix("upperdir=")) for word in options if word.startswith("upperdir=")), "")
    overlay = roots[-1].kind == "overlay"
    directory = upper if overlay and upper else path
    read_only = "ro" in roots[-1].options or "ro" in options or (overlay and not upper)
    return Root(directory, not read_only)


def measure(root: Root) -> Disk:
    """Look at every file that it has written. OSError when it is gone."""
    whole, device = os.statvfs(root.path), os.stat(root.path).st_dev
    return Disk(name_of(f"{os.major(device)}:{os.minor(device)}"), _usage(root.path, device) if root.writes else 0,
                whole.f_blocks * whole.f_frsize, whole.f_files, whole.f_ffree)


def _usage(path: str, device: int) -> int | None:
    """Bytes that a directory and all in it take up, on this device: what has several names counts once."""
    total, seen, folders, left = os.lstat(path).st_blocks, set[int](), [path], MOST
    while folders:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                left -= 1
                if left < 0:
                    return None
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    if found.st_dev != device or found.st_ino in seen:
                        continue
                    total += found.st_blocks
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif found.st_nlink > 1:
                        seen.add(found.st_ino)
    return total * BLOCK


@cache
def name_of(device: str) -> str:
    """A block device by its name, as cAdvisor has it: /dev/sda for 8:0; the number of what is none."""
    try:
        return f"/dev/{os.path.basename(os.readlink(f'/sys/dev/block/{device}')).replace('!', '/')}"
    except OSError:
        return device
