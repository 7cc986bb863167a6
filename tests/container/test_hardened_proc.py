"""A /proc that hides processes (hidepid), all but processes (subset=pid), or of which a part is covered."""
from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrunc.errors import StateError
from pyrunc.state import process_id, store
from tests import bundles, runtimes, world
from tests.container.rootless import User
from tests.runtimes import Runtime
from tests.state.made import World

MS_RDONLY, MS_REMOUNT = 1, 32


@pytest.fixture(params=["hidepid=1", "hidepid=2", "hidepid=4", "subset=pid",
                        "hidepid=2,subset=pid", "sys covered", "covered as by Docker"])
def hardened(request: pytest.FixtureRequest, private_world: None) -> Iterator[str]:
    """The options of this mount namespace's /proc from here to the end of the test, or what is covered there."""
    covered = {"sys covered": as_tmpfs, "covered as by Docker": as_docker}.get(request.param)
    if covered:
        places = list(covered())
    else:
        places = [Path("/proc")]
        world.mount("proc", places[0], "proc", 0, request.param)
    yield request.param
    for place in reversed(places):
        world.unmount(place)


def as_tmpfs() -> Iterator[Path]:
    world.mount("none", Path("/proc/sys"), "tmpfs")
    yield Path("/proc/sys")


def as_docker() -> Iterator[Path]:
    """A container is the host of another one."""
    for place in map(Path, bundles.MASKED):
        if place.is_dir():
            world.mount("none", place, "tmpfs", MS_RDONLY)
        elif place.exists():
            world.mount("/dev/null", place, flags=world.MS_BIND)
        if place.exists():
            yield place
    for place in filter(Path.exists, map(Path, bundles.READ_ONLY)):
        world.mount(str(place), place, flags=world.MS_BIND)
        world.mount("none", place, flags=world.MS_BIND | MS_REMOUNT | MS_RDONLY)
        yield place


@pytest.fixture
def user(request: pytest.FixtureRequest, private_world: None, place: Path) -> User:
    return User(runtimes.find(request.config.getoption("runtime")), place)


def status(text: str) -> str:
    found: str = json.loads(text)["status"]
    return found


def test_whole_lives_of_roots_containers(hardened: str, runtime: Runtime, place: Path, name: str) -> None:
    bundles.busybox_root(place / "rootfs")
    config = bundles.docker_like(process={"args": ["sh", "-c", "id -u; sleep 600"]})
    (place / "config.json").write_text(json.dumps(config))
    runtime.create(name, place)
    assert runtime.status(name) == "created"
    runtime.ok("start", name)
    assert runtime.status(name) == "running"
    assert runtime.ok("exec", name, "echo", "inside").stdout == "inside\n"
    runtime.ok("kill", name, "KILL")
    runtime.wait_for(name, "stopped")
    runtime.ok("delete", name)
    runtime.create(name, place)
    runtime.ok("delete", "--force", name)
    assert world.processes_of(name) == []


def test_whole_lives_of_a_users_containers(hardened: str, user: User, name: str) -> None:
    # Where a part of /proc is covered, the kernel lets no user mount another (mount_namespaces(7)): it is bound.
    config = user.spec("id -u; sleep 600")
    if "covered" in hardened:
        assert "masked paths below /proc forbid a new procfs" in user.refused("run", name)
        config["mounts"][0] = {"destination": "/proc", "source": "/proc", "options": ["rbind"]}
        (user.bundle / "config.json").write_text(json.dumps(config))
    user.detached("create", name)
    assert status(user.ok("state", name)) == "created"
    assert "created" in user.ok("list")
    user.ok("start", name)
    assert status(user.ok("state", name)) == "running"
    assert user.ok("exec", name, "echo", "inside") == "inside\n"
    user.ok("kill", name, "KILL")
    deadline = 600
    while status(user.ok("state", name)) != "stopped":
        assert (deadline := deadline - 1)
    user.ok("delete", name)
    user.detached("create", name)
    pid = json.loads(user.ok("state", name))["pid"]
    user.ok("delete", "--force", name)
    assert pid not in world.children()


# ---- what shows whose a hidden process is --------------------------------------------------------------------------
@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Containers whose processes /proc does not show."""
    made = World(tmp_path / "state")
    yield made
    monkeypatch.undo()
    made.reap()


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(process_id, "look", lambda pid: None)


LOCKER = """import fcntl, sys, time
lock = open(sys.argv[1], "r+")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("ready", flush=True)
time.sleep(600)"""


def test_a_hidden_creator_holds_the_lock(made: World, hide: Callable[[], None], tmp_path: Path) -> None:
    lock = tmp_path / store.LOCK
    lock.touch()
    holder = made.process("python3", "-I", "-S", "-c", LOCKER, str(lock))
    assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
    other = made.sleeper()
    creator = {**made.of(holder), "lock": str(lock)}
    hide()
    assert process_id.alive(creator)
    with pytest.raises(StateError, match="hidepid"):
        process_id.alive({**other, "lock": str(lock)})
    holder.kill()
    hidden_until(creator)


def hidden_until(who: dict[str, object]) -> None:
    """Until it has ended: a zombie, which nobody has waited for, counts as ended."""
    deadline = 1000
    while process_id.alive(who):
        assert (deadline := deadline - 1)
        time.sleep(0.01)


def test_a_hidden_init_reads_the_fifo(made: World, hide: Callable[[], None]) -> None:
    directory = made.created("c", options={"id": "c", "root": str(made.root)})
    state = json.loads((directory / store.STATE).read_text())
    hide()
    assert process_id.alive(state)
    (directory / store.FIFO).unlink()
    with pytest.raises(StateError, match=f"process {state['pid']} is the container's: /proc hides it"):
        process_id.alive(state)


def test_what_is_gone_or_of_another_boot_is_dead(made: World, hide: Callable[[], None]) -> None:
    sleeper = made.sleeper()
    hide()
    assert not process_id.alive({**sleeper, "pid": 2 ** 22 + 1})
    assert not process_id.alive({**sleeper, "boot_id": "another"})
