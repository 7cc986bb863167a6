"""Scenarios of the manager: coroutines, each with a manager of its own, `m`, that is open while they run."""
from __future__ import annotations

import asyncio
import inspect
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pyrunc.manager import Container, Event, Manager
from tests import bundles
from tests.bundles import Config, docker_like

#: What runs the containers of the scenarios; who names them knows that they can.
ASKED = os.environ.get("PYRUNC_HANDLERS", "")
HANDLERS = tuple((ASKED or "pyrunc runc crun").split())
CAP_SYS_RESOURCE = 1 << 24


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    given = {name: pyfuncitem.funcargs[name] for name in names}
    asyncio.run(_with_manager(pyfuncitem.obj, given))
    return True


async def _with_manager(test: Any, given: dict[str, Any]) -> None:
    manager = given.get("m")
    if not isinstance(manager, Manager):
        await test(**given)
        return
    async with manager:
        try:
            await test(**given)
        finally:
            await remove_all(manager)


async def remove_all(manager: Manager) -> None:
    """Delete what a test has left."""
    for left in manager.containers():
        with suppress(Exception):
            await left.delete(force=True)


@pytest.fixture
def m(private_world: None, place: Path) -> Iterator[Manager]:
    """A manager with a root and a directory of its own; the keeper that it leaves ends by itself."""
    made = Manager(str(place / "state"), place / "manager")
    yield made
    end_keeper(place / "manager")


@pytest.fixture
def places(private_world: None, place: Path) -> Iterator[tuple[str, Path]]:
    """A state root and a manager's directory, for one manager after another."""
    yield str(place / "state"), place / "manager"
    end_keeper(place / "manager")


def end_keeper(directory: Path) -> None:
    """Kill a keeper that a failed test has left with something to keep."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if os.fsencode(directory / "exits") in (entry / "cmdline").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def able() -> Iterator[str]:
    """The handlers that this host lets work: the crun of Debian 12 raises a limit first, and cannot without
    CAP_SYS_RESOURCE."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    for name in HANDLERS:
        if ASKED or name != "crun" or int(status["CapEff"], 16) & CAP_SYS_RESOURCE:
            yield name


@pytest.fixture(params=able())
def by(request: pytest.FixtureRequest) -> str:
    """What runs the container."""
    name: str = request.param
    return name


@pytest.fixture(params=HANDLERS if ASKED else ("pyrunc",))
def of(request: pytest.FixtureRequest) -> str:
    """The same for scenarios that every handler passes, and of which one shows what the manager does."""
    name: str = request.param
    return name


@pytest.fixture
def rootfs(place: Path) -> Path:
    """A root file system with busybox."""
    return bundles.busybox_root(place / "rootfs")


def config_of(rootfs: Path, *args: str, **changes: Any) -> Config:
    """A config like Docker's that runs args in this root."""
    return docker_like(process={"args": list(args) or ["sleep", "1000"], **changes.pop("process", {})},
                       root={"path": str(rootfs)}, **changes)


async def running(m: Manager, name: str, rootfs: Path, *args: str, **options: Any) -> Container:
    """A container that has been started."""
    config = options.pop("config", None) or config_of(rootfs, *args)
    container = await m.create(name, config, **options)
    await container.start()
    return container


async def kinds(m: Manager) -> list[str]:
    """The kinds of all events that there have been, as a reader gets them."""
    found: list[str] = []
    async for event in m.events(0):
        found.append(event.kind)
        if isinstance(event, Event) and event.number == m.journal.last:
            break
    return found


async def until(condition: Any, seconds: float = 30.0) -> None:
    """Wait until that holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


