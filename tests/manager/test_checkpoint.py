"""Checkpoint and restore by the manager: CRIU works in the guest."""
from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import pyrunc
from pyrunc.manager import Container, Manager, Null, Pipe, Stdio
from pyrunc.manager.binary import flags_of
from tests.manager.conftest import config_of, kinds

#: A number in the shell's memory goes on where it was. The file says when to end.
COUNTING = "n=0; while test ! -s /tmp/end; do n=$((n+1)); echo $n; sleep 0.05; done; exit $(cat /tmp/end)"
PIPES = Stdio(Null(), Pipe(), Null())


async def following(container: Container) -> int:
    """The next number that it prints."""
    assert container.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        line += await container.stdout.read(1)
    return int(line)


@pytest.mark.guest
@pytest.mark.timeout(300)
@pytest.mark.parametrize("handler", ["pyrunc", "runc"])
async def test_memory_goes_on_where_it_was(m: Manager, rootfs: Path, place: Path, name: str, handler: str) -> None:
    config = config_of(rootfs, "sh", "-c", COUNTING)
    container = await m.create(name, config, stdio=PIPES, handler=handler, restart="always")
    await container.start()
    while (last := await following(container)) < 5:
        pass
    await container.checkpoint(place / "images")
    assert container.status == "stopped" and container.exit is not None and not container.exit.oom_killed
    await container.delete()
    again = await m.restore(name, place / "images", config, stdio=PIPES, handler=handler)
    assert again.status == "running" and await following(again) > last
    assert (await again.exec(["hostname"])).stdout == b"box\n"
    (rootfs / "tmp/end").write_text("7")
    assert (await again.wait(60)).status == 7
    assert await kinds(m) == ["created", "started", "checkpointed", "exited", "deleted", "created", "started", "exited"]


@pytest.mark.guest
@pytest.mark.timeout(300)
async def test_it_goes_on_beside_its_images(m: Manager, rootfs: Path, place: Path, name: str) -> None:
    container = await m.create(name, config_of(rootfs, "sh", "-c", COUNTING), stdio=PIPES)
    await container.start()
    await container.checkpoint(place / "images", leave_running=True)
    now = await following(container)
    while await following(container) < now + 3:
        pass
    (rootfs / "tmp/end").write_text("3")
    assert (await container.wait(60)).status == 3


async def test_what_is_refused_beforehand(m: Manager, rootfs: Path, place: Path, name: str) -> None:
    container = await m.create(name, config_of(rootfs), restart="always")
    with pytest.raises(pyrunc.StateError, match="cannot be checkpointed in created state"):
        await container.checkpoint(place / "images")
    await container.start()
    with pytest.raises(pyrunc.UsageError, match="leave is no choice of a checkpoint"):
        await container.checkpoint(place / "images", leave=True)  # type: ignore[call-arg]
    with pytest.raises(pyrunc.PyruncError):                        # there is no such folder
        await m.restore(f"{name}-b", place / "none", config_of(rootfs))
    assert [one.id for one in m.containers()] == [name] and container.status == "running"
    await container.kill()
    async with asyncio.timeout(30):                                # what has failed has not changed its policy
        while container.record.life < 2 or container.status != "running":
            await asyncio.sleep(0.02)


def test_choices_are_flags_of_a_command_line() -> None:
    assert flags_of({"image_path": "/i", "leave_running": True, "pre_dump": False, "page_server": ("h", 1)}) == [
        "--image-path", "/i", "--leave-running", "--page-server", "h:1"]
