"""A state root without room: an error that says so and leaves nothing, or everything works."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import bundles, world
from tests.bundles import docker_like
from tests.runtimes import Runtime

PAGE = 4096
NO_SPACE = "no space left on device"
#: What one container needs: its intent, its journal, its configuration and its state, a page of memory each.
ENOUGH = 16 * 1024               # the plan is written down if there is room for it, too
Room = Callable[[str], Runtime]


@pytest.fixture
def room(runtime: Runtime, place: Path) -> Iterator[Room]:
    """The runtime with a tmpfs of these options for its state root."""
    roots: list[Path] = []

    def made(options: str) -> Runtime:
        small = Runtime(runtime.path, place / f"small-{len(roots)}")
        world.mount("small", small.root, "tmpfs", data=f"mode=700,{options}")
        roots.append(small.root)
        return small
    yield made
    for root in roots:
        world.unmount(root)


def fill(root: Path) -> None:
    """Leave not one block free."""
    fd = os.open(root / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(fd, bytes(1 << 16)):
            pass
    except OSError:
        os.close(fd)


def life(runtime: Runtime, name: str, bundle: Path) -> None:
    """One life of a container in whose root nothing more fits once it is created; or a clean failure of create."""
    created = runtime("create", "--bundle", bundle, name)
    if created.status:
        assert created.stderr.count("\n") == 1, created.stderr
        assert NO_SPACE in created.stderr
        assert list(runtime.root.iterdir()) == []
        return
    fill(runtime.root)
    runtime.ok("start", name)
    assert runtime.ok("exec", name, "echo", "here").stdout == "here\n"
    runtime.ok("kill", name, "KILL")
    runtime.wait_for(name, "stopped")
    runtime.ok("delete", name)
    assert [path.name for path in runtime.root.iterdir()] == ["filler"]


@pytest.mark.parametrize("size", range(PAGE, ENOUGH + 2 * PAGE, PAGE))
def test_a_small_state_root(size: int, room: Room, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    small = room(f"size={size}")
    life(small, name, bundle)
    world.gone(name)
    if size >= ENOUGH:
        assert (small.root / "filler").exists(), "it did not fit"


# Directories and fifos take no blocks; that they are too many is the same error.
@pytest.mark.parametrize("inodes", range(1, 9))
def test_a_state_root_of_few_files(inodes: int, room: Room, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    small = room(f"size=1m,nr_inodes={inodes}")
    created = small("create", "--bundle", bundle, name)
    if created.status:
        assert created.stderr.count("\n") == 1 and NO_SPACE in created.stderr, created.stderr
        assert list(small.root.iterdir()) == []
    else:
        small.ok("delete", name)


@pytest.mark.parametrize("pages", range(1, 20, 3))
def test_more_mounts_than_there_is_room_to_write_down(pages: int, room: Room, place: Path, name: str) -> None:
    mounts = [*docker_like()["mounts"],
              *({"destination": f"/m{n}", "source": "/bin", "options": ["bind", "ro"]} for n in range(400))]
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}, mounts=mounts))
    life(room(f"size={pages * PAGE}"), name, bundle)


def test_a_full_state_root_keeps_no_container_from_its_end(room: Room, place: Path, name: str) -> None:
    """With hooks after its end, which are counted in a file; and while it is running."""
    told = place / "told"
    hooks = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {n} >>{told}"]} for n in range(3)]}
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}, hooks=hooks))
    small = room("size=64k")
    small.create(name, bundle)
    fill(small.root)
    small.ok("start", name)
    small.ok("delete", "--force", name)
    assert told.read_text() == "0\n1\n2\n"
    assert [path.name for path in small.root.iterdir()] == ["filler"]


def test_run_without_room(room: Room, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["echo", "hi"]}))
    small = room("size=8k")
    done = small.run(name, bundle)
    assert (done.status, done.stdout) == (1, "")
    assert NO_SPACE in done.stderr and done.stderr.count("\n") == 1
    assert list(small.root.iterdir()) == []


def test_a_plan_that_was_not_written_down_is_known_by_its_last_steps(room: Room, place: Path, name: str) -> None:
    """For the step in the error of a `start` that fails."""
    hooks = {"startContainer": [{"path": "/bin/false"}]}
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["true"]}, hooks=hooks))
    said = []
    for size in (ENOUGH, 1 << 20):
        small = room(f"size={size}")
        small.create(name, bundle)
        assert (small.root / name / "plan.json").exists() == (size > ENOUGH)
        said.append(small("start", name).stderr.partition("msg=")[2])
    assert said[0] == said[1]
    assert "hooks.startContainer[0] in config.json" in said[0]
