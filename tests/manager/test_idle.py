"""While nothing happens, nobody is woken: there is no polling, however many containers live."""
from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pyrunc.manager import Manager
from tests.bench.manager import keeper_of, switches
from tests.manager.conftest import running

#: Seconds for which all sleep: whoever polled would be seen in them. And those in which that comes: workers end when
#: there has been nothing for them to do for a while.
QUIET, SOON = 1.5, 60.0


async def test_nobody_is_woken(m: Manager, rootfs: Path, name: str) -> None:
    for number in range(3):
        await running(m, f"{name}-{number}", rootfs)
    pids = keeper_of(m.directory.path), os.getpid()
    async with asyncio.timeout(SOON):
        while True:
            before = [switches(pid) for pid in pids]
            await asyncio.sleep(QUIET)
            keeper, mine = (switches(pid) - count for pid, count in zip(pids, before))
            if keeper == 0 and mine <= 3:            # the end of this sleep, and a page that was to be read
                return
