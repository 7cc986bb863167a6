"""The page: what it may do, who may see it, and what a browser shows of containers that live."""
from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

import pyrunc
from pyrunc.manager import Manager
from pyrunc.serve import page
from pyrunc.serve.client import Client
from pyrunc.serve.server import port, serve
from tests import browser
from tests.manager.conftest import config_of, until

#: Where the pictures are left, to be looked at.
PICTURES = os.environ.get("PYRUNC_PICTURES", "")


@asynccontextmanager
async def shown(m: Manager, place: Path) -> AsyncIterator[tuple[str, str]]:
    """(address of a port that shows the page, its token)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    ending, path = asyncio.Event(), place / "shown/socket"
    serving = asyncio.ensure_future(serve(m, path, until=ending, at=f"127.0.0.1:{number}"))
    try:
        await until(path.exists)
        yield f"http://127.0.0.1:{number}", path.with_name("token").read_text().strip()
    finally:
        ending.set()
        await serving


def test_it_needs_nothing_else() -> None:
    text, policy = page._page()
    assert set(re.findall(r"https?://[^\"' ]*", text)) == {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in text and "insertAdjacentHTML" not in text          # what containers say is never markup
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy


async def test_the_port_shows_and_changes_nothing(m: Manager, path: Path, c: Client, place: Path, rootfs: Path,
                                                  name: str) -> None:
    await c.create(name, config=config_of(rootfs))
    async with shown(m, place) as (address, token), aiohttp.ClientSession() as session:
        async def status(target: str, method: str = "GET", **headers: str) -> int:
            async with session.request(method, address + target, headers=headers) as response:
                return response.status
        right = f"Bearer {token}"
        assert await status("/") == 200                                   # the page itself, which has no data
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": token}, {"Authorization": "Bearer "},
                      {"Authorization": "Bearer \u00e9"}):
            assert await status("/v1/containers", **wrong) == 401
        assert await status(f"/v1/containers?token={token}") == 401
        assert await status("/v1/containers", Authorization=right) == 200
        assert await status("/metrics", Authorization=right) == 200
        for method, target in (("POST", f"/v1/containers/{name}/start"), ("DELETE", f"/v1/containers/{name}")):
            assert await status(target, method, Authorization=right) == 403
        assert await status("/", Host="evil.example") == 403
        assert await status("/v1/containers", Host="evil.example", Authorization=right) == 403
        assert (place / "shown/token").stat().st_mode & 0o777 == 0o600
    assert m.get(name).status == "created"


@pytest.mark.parametrize("text", ["0.0.0.0:80", "192.168.1.1:80", "127.0.0.1", "127.0.0.1:x", ":80", "[::]:80",
                                  "127.0.0.1:99999"])
def test_no_port_for_others(text: str) -> None:
    with pytest.raises(pyrunc.UsageError, match="it must be"):
        port(text)


@pytest.mark.timeout(300)                            # under load a browser takes its time
async def test_in_a_browser(m: Manager, path: Path, c: Client, place: Path, rootfs: Path, name: str) -> None:
    busy = "i=0; while :; do i=$((i+1)); [ $((i % 200000)) = 0 ] && echo \"<b>line $i</b>\"; done"
    await c.create(f"{name}-busy", config=config_of(rootfs, "sh", "-c", busy), start=True, trace=True,
                   labels={"app": "web"})
    await c.create(f"{name}-quiet", config=config_of(rootfs), start=True)
    await c.create(f"{name}-ended", config=config_of(rootfs, "sh", "-c", "exit 3"), start=True)
    await c.act(f"{name}-ended", "wait")
    await until(lambda: len(m.get(f"{name}-busy").logs()) > 2)
    async with shown(m, place) as (address, token):
        target = f"{address}/#token={token}&id={name}-busy"
        said = await asyncio.to_thread(browser.document, target, 6000)
        assert token not in said
        body = said.partition("<script>")[0]
        for word in (f"{name}-busy", f"{name}-quiet", "running", "stopped: status 3", "app=web", "&lt;b&gt;line ",
                     "exited", "mounts.proc", "namespaces.clone", "steps in"):
            assert word in body, word
        assert "<b>line" not in body and body.count("<polyline") == 10     # of two that run, five each
        points = re.findall(r'<svg[^>]*class="cpu"[^>]*><polyline points="([^"]*)"', body)
        assert all(len(one.split()) >= 3 for one in points), points        # it goes on by itself
        for dark in (False, True):
            kept = Path(PICTURES, f"runciter-{'dark' if dark else 'light'}.png") if PICTURES else None
            picture = await asyncio.to_thread(browser.screenshot, target, 1300, 1000, dark, 5000, kept)
            colours = {pixel for row in picture for pixel in row}
            assert {(0x3b, 0x76, 0xc4), (0x3f, 0x9c, 0x57), (0xb5, 0x76, 0x2a)} <= colours
            assert (max(picture[-1][5]) < 60) == dark
        said = await asyncio.to_thread(browser.document, address, 3000)
        assert "this port wants its token" in said.partition("<script>")[0] and f"{name}-busy" not in said
