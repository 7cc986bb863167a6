"""Checkpoint, and a container that is made again from one, as `ctr` calls them."""
from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrunc.ttrpc import codes
from pyrunc.ttrpc.messages import events as ev
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.options import CheckpointOptions
from pyrunc.ttrpc.messages.well_known import Any as AnyMessage

from .conftest import refused
from .driver import SECONDS, Events, Shim

Make = Callable[..., Shim]
pytestmark = [pytest.mark.guest, pytest.mark.timeout(300)]


def checkpoint(shim: Shim, path: Path, **options: object) -> None:
    given = CheckpointOptions(**options)                    # type: ignore[arg-type]
    shim.call("Checkpoint", api.CheckpointTaskRequest(
        id=shim.id, path=str(path), options=AnyMessage(type_url=CheckpointOptions.TYPE, value=given.encode())))


def counting(rootfs: Path) -> int:
    return int((rootfs / "count").read_text()) if (rootfs / "count").exists() else 0


def counts_on(rootfs: Path) -> None:
    before, end = counting(rootfs), time.monotonic() + SECONDS
    while counting(rootfs) <= before:
        assert time.monotonic() < end
        time.sleep(0.05)


# The file is whole at every moment, also at the one in which the program is stopped.
PROGRAM = "sh", "-c", """
i=0
while [ ! -e /end ]; do
    i=$((i+1)); echo $i >/next; mv /next /count; sleep 0.05
done
exit 7"""


def test_a_container_is_checkpointed_and_made_again(shim: Make, rootfs: Path, events: Events, place: Path,
                                                    name: str) -> None:
    one = shim(*PROGRAM)
    refused(codes.NOT_FOUND, lambda: checkpoint(one, place / "none"))
    one.create()
    one.start()
    counts_on(rootfs)
    checkpoint(one, place / "running")                      # it goes on
    told = events.wait("checkpointed")
    assert isinstance(told, ev.TaskCheckpointed) and told.checkpoint == str(place / "running")
    counts_on(rootfs)
    checkpoint(one, place / "images", exit=True)
    assert one.wait() == 137
    one.delete()
    before = counting(rootfs)

    assert one.create(checkpoint=str(place / "images")) == 0
    assert one.state().status == api.Status.CREATED and not Path("/run/containerd/pyrunc/tests", name).exists()
    pid = one.start()
    assert os.path.exists(f"/proc/{pid}") and (one.bundle / "init.pid").read_text() == str(pid)
    counts_on(rootfs)
    assert counting(rootfs) > before > 0                    # from where it was
    one.exec("e", "true")
    one.start("e")
    assert one.wait("e") == 0
    (rootfs / "end").touch()
    assert one.wait() == 7
    one.delete()


def test_what_is_no_checkpoint(shim: Make, place: Path, name: str) -> None:
    one = shim("sleep", "100")
    (place / "empty").mkdir()
    one.create(checkpoint=str(place / "empty"))
    assert refused(codes.UNKNOWN, one.start)
    one.delete()
    assert not Path("/run/containerd/pyrunc/tests", name).exists()
    one.create()
    one.start()
    text = refused(codes.UNKNOWN, lambda: checkpoint(one, place / "x", cgroups_mode="nonsense"))
    assert "cgroups mode nonsense" in text
