"""The units of contrib/systemd under a systemd that is PID 1: containers and events outlive every way in which the
service can end."""
from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.manager.conftest import config_of, end_keeper, rootfs

__all__ = ["rootfs"]
pytestmark = [pytest.mark.guest_systemd, pytest.mark.timeout(900)]       # under emulation, on a busy machine

TREE = Path(__file__).parents[2]
SOCKET, DIRECTORY = Path("/run/runciter-http/socket"), Path("/run/runciter")
UNITS, PROGRAM = Path("/etc/systemd/system"), Path("/usr/local/bin/runciter")
DROP_IN = UNITS / "runciter.service.d"
#: Seconds for what a start of the service takes there: the processor is emulated.
LONG = 240


def systemctl(*words: str) -> str:
    """What it prints. CalledProcessError with its status."""
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, check=True, timeout=LONG).stdout


def shown(name: str, *properties: str) -> list[str]:
    """Properties of a unit, in this order."""
    return [systemctl("show", "--value", "-p", one, name).strip() for one in properties]


async def until(condition: Any) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.1)


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As they are in the checkout, with the command in its place; all of the guest is thrown away in the end."""
    monkeypatch.setattr("pyrunc.serve.client.PATIENCE", float(LONG))
    PROGRAM.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(TREE)!r})\n"
                       "from pyrunc.serve.command import main\nsys.exit(main())\n")
    PROGRAM.chmod(0o755)
    names = [one.name for one in (TREE / "contrib/systemd").iterdir()]
    for name in names:
        (UNITS / name).write_text((TREE / "contrib/systemd" / name).read_text())
    DROP_IN.mkdir(exist_ok=True)
    (DROP_IN / "slow.conf").write_text(f"[Service]\nTimeoutSec={LONG}\n")      # systemd's 90 s are a real machine's
    systemctl("daemon-reload")
    yield
    with suppress(subprocess.CalledProcessError):
        systemctl("stop", *names)
    end_keeper(DIRECTORY)
    for name in names:
        (UNITS / name).unlink()
    shutil.rmtree(DROP_IN)
    systemctl("daemon-reload")


def test_the_service_under_systemd(units: None, rootfs: Path, name: str) -> None:
    """It is started by its socket, restarted, stopped, and killed."""
    asyncio.run(scenario(rootfs, name))


async def scenario(rootfs: Path, name: str) -> None:
    from pyrunc.serve.client import Client
    await asyncio.to_thread(systemctl, "start", "runciter.socket")
    assert shown("runciter.service", "ActiveState") == ["inactive"]
    assert stat.S_IMODE(SOCKET.stat().st_mode) == 0o600 and stat.S_IMODE(SOCKET.parent.stat().st_mode) == 0o700
    seen: list[tuple[int, str, str]] = []
    asked = 0

    async def follow() -> None:
        async with Client(str(SOCKET)) as one:
            async for event in one.events(since=0):
                seen.append((event["number"], event["id"], event["kind"]))

    async def ask() -> None:
        nonlocal asked
        while True:
            async with Client(str(SOCKET)) as one:       # a connection of its own each time
                await one.containers()
            asked += 1
            await asyncio.sleep(0.2)
    a, b = f"{name}-a", f"{name}-b"
    async with Client(str(SOCKET)) as client:
        assert await client.containers() == []           # who connects starts it
        assert shown("runciter.service", "ActiveState", "SubState", "Result") == ["active", "running", "success"]
        first, = shown("runciter.service", "MainPID")
        await client.create(a, config=config_of(rootfs), start=True)
        script = "while ! test -e /go; do sleep 0.1; done; exit 17"
        await client.create(b, config=config_of(rootfs, "sh", "-c", script), start=True)
        pids = {one["id"]: one["pid"] for one in await client.containers()}
    following, asking = asyncio.ensure_future(follow()), asyncio.ensure_future(ask())
    await until(lambda: asked and len(seen) == 4)
    try:
        # An upgrade: systemd holds the socket, on which callers wait meanwhile.
        await asyncio.to_thread(systemctl, "restart", "runciter.service")
        assert shown("runciter.service", "ActiveState") == ["active"]      # since READY=1, for it is Type=notify
        second, = shown("runciter.service", "MainPID")
        before = asked
        await until(lambda: asked >= before + 2 or asking.done())
        assert first != second and not asking.done(), asking
    finally:
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
    async with Client(str(SOCKET)) as client:
        assert {one["id"]: one["pid"] for one in await client.containers()} == pids
    # Stopped: a container ends while no service is there. Who asks next starts it again.
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await asyncio.to_thread(systemctl, "stop", "runciter.service")
    assert shown("runciter.service", "ActiveState", "Result") == ["inactive", "success"]
    (rootfs / "go").touch()
    await until(lambda: not os.path.exists(f"/proc/{pids[b]}"))
    assert os.path.exists(f"/proc/{pids[a]}")
    async with Client(str(SOCKET)) as client:
        assert (await client.act(b, "wait"))["status"] == 17
        assert (await client.inspect(a))["pid"] == pids[a]
        third, = shown("runciter.service", "MainPID")
        os.kill(int(third), signal.SIGKILL)              # Restart=on-failure
    await until(lambda: shown("runciter.service", "ActiveState", "NRestarts") == ["active", "1"])
    async with Client(str(SOCKET)) as client:
        assert {one["id"]: one["pid"] for one in await client.containers()} == {a: pids[a], b: 0}
        assert (await client.act(a, "exec", args=["echo", "x"]))["stdout"] == "x\n"
        for one in (a, b):
            await client.delete(one, force=True)
        told = [(event["number"], event["id"], event["kind"]) async for event in client.events(since=0, follow=0)]
    assert [number for number, _, _ in told] == list(range(1, len(told) + 1)) and told[:len(seen)] == seen
    for one in (a, b):
        assert [kind for _, id, kind in told if id == one] == ["created", "started", "exited", "deleted"]
