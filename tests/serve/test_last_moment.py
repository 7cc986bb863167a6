"""A connection that comes while the service ends."""
from __future__ import annotations

import asyncio
import gc
import socket
import sys
from pathlib import Path

import pytest

from pyrunc.manager import Manager
from pyrunc.serve.server import serve


@pytest.mark.parametrize("turns", range(1, 5))
async def test_it_is_taken_and_ended(turns: int, m: Manager, path: Path, place: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """turns: of the loop, between the two. After one it was made by half: it stayed open, and a traceback told."""
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: told.append(repr(args.exc_value)))
    there, until = place / "other/socket", asyncio.Event()
    serving = asyncio.ensure_future(serve(m, there, until=until))
    async with asyncio.timeout(20):
        while not there.exists():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(there))
            for _ in range(turns):
                await asyncio.sleep(0)
            until.set()
            await serving
            one.settimeout(5)
            assert one.recv(1) == b""
    gc.collect()
    assert told == []
