from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pyrunc.ttrpc.codes import RpcError
from tests import bundles
from tests.bundles import Config, docker_like

from .driver import Events, Shim


@pytest.fixture
def events(private_world: None, place: Path) -> Iterator[Events]:
    listening = Events(place / "events")
    yield listening
    listening.close()


@pytest.fixture
def rootfs(place: Path) -> Path:
    return bundles.busybox_root(place / "image")


@pytest.fixture
def points(pytestconfig: pytest.Config) -> int:
    """At how many random points something is killed."""
    return 100 if pytestconfig.getoption("--faults") else 8


def config_of(rootfs: Path, name: str, *args: str, **changes: Any) -> Config:
    """Like containerd's, but its root is not mounted."""
    changes.setdefault("linux", {}).setdefault("cgroupsPath", f"/{name}")
    process = {"args": list(args) or ["sleep", "1000"], **changes.pop("process", {})}
    return docker_like(process=process, root={"path": str(rootfs)}, **changes)


@pytest.fixture
def shim(events: Events, rootfs: Path, place: Path, name: str) -> Iterator[Callable[..., Shim]]:
    """Makes shims, which are killed in the end, and what they left is removed."""
    made: list[Shim] = []

    def make(*args: str, id: str = name, environment: dict[str, str] | None = None, **changes: Any) -> Shim:
        made.append(Shim(place, events, id, config_of(rootfs, id, *args, **changes), **(environment or {})))
        return made[-1]
    yield make
    for one in made:
        with suppress(Exception):
            os.kill(one.pid, signal.SIGKILL)
        one.command("delete", "-bundle", str(one.bundle))
        with suppress(FileNotFoundError):
            os.unlink(one.address.removeprefix("unix://"))


def refused(code: int, call: Callable[[], object]) -> str:
    """The text of a call that fails with this code."""
    with pytest.raises(RpcError) as failed:
        call()
    assert failed.value.code == code, failed.value
    return failed.value.message


def reader(path: str) -> tuple[threading.Thread, list[bytes]]:
    """Reads a FIFO to its end, as containerd does."""
    got: list[bytes] = []

    def read() -> None:
        with open(path, "rb") as file:
            got.append(file.read())
    thread = threading.Thread(target=read)
    thread.start()
    return thread, got
