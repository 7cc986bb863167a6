"""Scenarios of the service: coroutines, each with a manager `m` and a client `c` that are open while they run."""
from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.manager import Manager
from tests.manager.conftest import end_keeper, remove_all, rootfs

__all__ = ["rootfs"]


@pytest.fixture
def m(private_world: None, place: Path) -> Iterator[Manager]:
    """A manager with a root and a directory of its own."""
    yield Manager(str(place / "state"), place / "manager")
    end_keeper(place / "manager")


@pytest.fixture
def path(place: Path) -> Path:
    """Where the service listens."""
    return place / "http/socket"


@pytest.fixture
def c(path: Path) -> Any:
    """A client of the service."""
    from pyrunc.serve.client import Client
    return Client(str(path))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(_served(pyfuncitem.obj, {name: pyfuncitem.funcargs[name] for name in names}))
    return True


async def _served(test: Any, given: dict[str, Any]) -> None:
    from pyrunc.serve.server import serve
    manager, path, until = given["m"], given["path"], asyncio.Event()
    async with manager:
        serving = asyncio.ensure_future(serve(manager, path, until=until))
        try:
            async with asyncio.timeout(20):
                while not path.exists() and not serving.done():
                    await asyncio.sleep(0.01)
            if "c" in given:
                async with given["c"]:
                    await test(**given)
            else:
                await test(**given)
        finally:
            await remove_all(manager)
            until.set()
            await serving
