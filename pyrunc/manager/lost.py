"""How a process ended that is nobody's child here: by its pidfd, from Linux 6.15 on (PIDFD_GET_INFO, PIDFD_INFO_EXIT).

The kernel keeps the status as long as a process holds a pidfd of it, and tells it once the process has been reaped. An
older kernel does not, and then the status is not known: that is what is said.
"""
from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import time

from .streams import settle
from .values import Exit

#: include/uapi/linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info), 64 bytes in its first version.
PIDFD_GET_INFO = 3 << 30 | 64 << 16 | 0xFF << 8 | 11
PIDFD_INFO_EXIT = 1 << 3
#: What a keeper calls itself (cli/keeper.py), and seconds in which it reaps a process that has ended, on any machine.
KEEPER, REAPING = "pyrunc-keeper", 30.0
#: Seconds between two looks, while whoever has reaped it says so.
LOOKS = (0.0, 0.001, 0.005, 0.02, 0.1, 0.3, 0.6)


def status_of(pidfd: int) -> int | None:
    """What wait(2) would have said; None while it is not reaped, and on kernels that do not tell."""
    info = bytearray(struct.pack("=QQ", PIDFD_INFO_EXIT, 0) + bytes(48))
    try:
        fcntl.ioctl(pidfd, PIDFD_GET_INFO, info)
    except OSError:
        return None
    mask, = struct.unpack_from("=Q", info)
    if not mask & PIDFD_INFO_EXIT:
        return None
    status: int = struct.unpack_from("=i", info, 60)[0]
    return status


async def ended(pidfd: int) -> None:
    """Wait until the process has ended. The caller may close its descriptor meanwhile: a loop that watched it would not
    see what has its number next."""
    own = os.dup(pidfd)
    try:
        await watched(own)
    finally:
        closed(own)


def watched(pidfd: int) -> asyncio.Future[None]:
    """What comes when the process has ended. The descriptor is to be closed by closed()."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def ready() -> None:
        loop.remove_reader(pidfd)                    # it stays readable
        settle(over)
    loop.add_reader(pidfd, ready)
    return over


def closed(pidfd: int) -> None:
    """Close a pidfd that may be watched."""
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)


async def reaped(pid: int) -> None:
    """Wait until the keeper has asked how it ended, if that is its parent: nobody else can know before. A busy keeper
    may take its time. Any other parent may never ask."""
    end, pause = time.monotonic() + REAPING, 0.0
    while _left_to_a_keeper(pid) and time.monotonic() < end:
        await asyncio.sleep(pause)
        pause = min(pause + 0.002, 0.05)


def _left_to_a_keeper(pid: int) -> bool:
    """Whether it has ended, and a keeper has not reaped it yet."""
    try:
        with open(f"/proc/{pid}/stat", errors="surrogateescape") as file:
            state, parent = file.read().rpartition(") ")[2].split()[:2]
        with open(f"/proc/{parent}/comm") as file:
            return state == "Z" and file.read().rstrip() == KEEPER
    except OSError:
        return False


async def exit_of(pidfd: int) -> Exit:
    """How it ends, once it has. Exit.lost when nobody can say."""
    await ended(pidfd)
    now = time.time()
    for pause in LOOKS:
        await asyncio.sleep(pause)
        status = status_of(pidfd)
        if status is not None:
            return Exit.of(status, now)
    return Exit(None, time=now, lost=True)
