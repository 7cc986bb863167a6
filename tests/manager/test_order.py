"""The order of events is decided, not raced: what an operation has done is told before an end that came meanwhile."""
from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import pyrunc
from pyrunc.manager import Container, Manager
from tests.manager.conftest import config_of, kinds, running, until

OPERATIONS = {"start": "started", "pause": "paused", "resume": "resumed", "update": "updated",
              "checkpoint": "checkpointed"}


class Late:
    """A handler whose answer to one operation comes after the manager has been told of the container's end.

    A checkpoint only ends it, as CRIU does: without CRIU nothing else of it can be had on every kernel.
    """

    def __init__(self, container: Container, operation: str, fails: bool) -> None:
        self._container, self._operation, self._fails, self._real = container, operation, fails, container.handler

    def __getattr__(self, name: str) -> Any:
        return self._late if name == self._operation else getattr(self._real, name)

    async def _late(self, *args: Any) -> None:
        if self._operation != "checkpoint":
            await getattr(self._real, self._operation)(*args)
        one = self._container
        os.kill(one.record.pid, signal.SIGKILL)
        await until(lambda: one._ended is not None or not one.alive)
        if self._fails:
            raise pyrunc.StateError("it has failed all the same")


async def done(container: Container, operation: str, place: Path) -> None:
    """The operation, with what it needs."""
    given: dict[str, Any] = {"update": {"unified": {"cgroup.max.depth": "9"}}, "checkpoint": place / "images"}
    await getattr(container, operation)(*[given[operation]] if operation in given else [])


async def with_late(m: Manager, operation: str, fails: bool, rootfs: Path, name: str) -> Container:
    """A container in the state that the operation needs, with such a handler."""
    container = await (m.create(name, config_of(rootfs)) if operation == "start" else running(m, name, rootfs))
    if operation == "resume":
        await container.pause()
    container.handler = Late(container, operation, fails)
    return container


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_is_done_is_told_before_the_end(m: Manager, rootfs: Path, place: Path, name: str,
                                                   operation: str) -> None:
    container = await with_late(m, operation, False, rootfs, name)
    await done(container, operation, place)
    exit = await container.wait(20)
    assert (exit.signal, container.status) == (9, "stopped") and container.pid == 0
    assert (await kinds(m))[-2:] == [OPERATIONS[operation], "exited"]
    await container.delete()


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_the_end_is_told_of_what_has_failed(m: Manager, rootfs: Path, place: Path, name: str,
                                                  operation: str) -> None:
    container = await with_late(m, operation, True, rootfs, name)
    with pytest.raises(pyrunc.StateError, match="failed all the same"):
        await done(container, operation, place)
    assert (await container.wait(20)).signal == 9 and container.status == "stopped"
    told = await kinds(m)
    assert told[-1] == "exited" and OPERATIONS[operation] not in told[2 if operation != "start" else 1:]


async def test_what_another_has_deleted_can_be_forgotten(m: Manager, rootfs: Path, name: str) -> None:
    """A checkpoint deletes at the runtime, and so may the command line."""
    from pyrunc.runtime.delete import delete
    container = await running(m, name, rootfs)
    os.kill(container.pid, signal.SIGKILL)
    await container.wait(20)
    delete(m.root, name, False)
    await container.delete()
    assert m.containers() == [] and (await kinds(m))[-1] == "deleted"
