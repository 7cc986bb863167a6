"""Checkpoint and restore by the service and its command: CRIU works in the guest."""
from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from pyrunc.manager import Manager
from pyrunc.serve.client import Client
from tests.manager.conftest import config_of, until
from tests.serve.test_command import command

pytestmark = [pytest.mark.guest, pytest.mark.timeout(600)]               # under emulation, on a busy machine
#: A number in the shell's memory goes on where it was. It is told when it is asked for: no file is open meanwhile, of
#: which CRIU would want the size to be what it was.
COUNTING = """n=0
while test ! -s /tmp/end; do
    n=$((n+1))
    if test -e /tmp/ask; then echo $n >/tmp/now; rm /tmp/ask; fi
    sleep 0.05
done
exit $(cat /tmp/end)"""
QUIET = {"stdout": {"kind": "null"}, "stderr": {"kind": "null"}}


async def test_memory_goes_on_where_it_was(m: Manager, path: Path, c: Client, rootfs: Path, place: Path,
                                           name: str) -> None:
    async def now() -> int:
        (rootfs / "tmp/ask").touch()
        await until(lambda: not (rootfs / "tmp/ask").exists())
        return int((rootfs / "tmp/now").read_text())
    config = config_of(rootfs, "sh", "-c", COUNTING)
    await c.create(name, config=config, stdio=QUIET, start=True)
    while (last := await now()) < 5:
        pass
    one = await asyncio.create_subprocess_exec(
        *command(path, "checkpoint", "--leave-running", name, str(place / "beside")), stdout=subprocess.DEVNULL)
    assert await one.wait() == 0
    assert (last := await now()) > 5
    assert (await c.act(name, "checkpoint", image_path=str(place / "images")))["status"] == "stopped"
    await c.delete(name)
    made = await c.create(name, config=config, stdio=QUIET, images=str(place / "images"))
    assert made["status"] == "running" and await now() > last
    (rootfs / "tmp/end").write_text("7")
    assert (await c.act(name, "wait", timeout=60.0))["status"] == 7
    told = [event["kind"] async for event in c.events(since=0, follow=0)]
    assert told == ["created", "started", "checkpointed", "checkpointed", "exited", "deleted", "created", "started",
                    "exited"]
