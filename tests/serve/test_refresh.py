"""What the command line does with containers under the service's root: it is seen when the service is asked to look."""
from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

from pyrunc.manager import Manager
from pyrunc.serve.client import Client
from tests import bundles
from tests.bundles import docker_like
from tests.manager.conftest import until
from tests.manager.test_command_line import command_line
from tests.serve.test_command import command, on_a_terminal


async def test_it_is_seen_then(m: Manager, path: Path, c: Client, place: Path, name: str) -> None:
    line = command_line(m.root)
    bundle = str(bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]})))
    line("create", "--bundle", bundle, name)
    assert await c.containers() == []
    found, = await c.refresh()
    assert (found["id"], found["status"], found["managed"]) == (name, "created", False)
    line("start", name)
    assert [one["status"] for one in await c.refresh()] == ["running"] and await c.containers() == await c.refresh()
    async with on_a_terminal(path, "refresh") as (process, shown):
        assert await process.wait() == 0
        await until(lambda: name in shown[0])
        assert [row.split()[:2] for row in shown[0].splitlines()] == [["ID", "STATUS"], [name, "running"]]
    line("delete", "--force", name)
    asking = await asyncio.create_subprocess_exec(*command(path, "refresh"), stdout=subprocess.PIPE)
    said, _ = await asking.communicate()
    assert json.loads(said) == [] and await c.containers() == []
    kinds = [event["kind"] async for event in c.events(since=0, follow=0)]
    assert [kind for kind in kinds if kind != "exited"] == ["adopted", "started", "deleted"]
