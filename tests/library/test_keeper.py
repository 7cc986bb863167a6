"""The keeper: many at once, from many threads; nothing of the caller changes; and what is left when it is killed."""
from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import pyrunc
from pyrunc.keeper.channel import pair
from pyrunc.keeper.errors import pack, unpack
from tests import world
from tests.library.conftest import config_of

ROUNDS = int(os.environ.get("PYRUNC_ROUNDS", "1000"))       # half a minute on a machine that has nothing else to do


#: What changes in /proc/self/status by itself: memory (see memory()), and what the kernel counts.
CHANGING = ("Vm", "Rss", "voluntary_", "nonvoluntary_", "SigQ", "State")


def myself() -> dict[str, Any]:
    """What of this process an operation might change: namespaces, limits, directory, status, and what it holds."""
    return {
        "ns": {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")},
        "limits": Path("/proc/self/limits").read_text(),
        "cwd": os.readlink("/proc/self/cwd"), "root": os.readlink("/proc/self/root"),
        "status": [line for line in world.lines("/proc/self/status") if not line.startswith(CHANGING)],
        "fds": dict(descriptors()),
        "children": Path("/proc/self/task", str(threading.get_native_id()), "children").read_text(),
        "environ": dict(os.environ),
    }


def descriptors() -> Iterator[tuple[str, str]]:
    """Number and target of each that is open, but for the one that lists them."""
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            yield fd, os.readlink(f"/proc/self/fd/{fd}")


def memory() -> tuple[int, int]:
    """(pages mapped, resident KiB)"""
    return len(world.lines("/proc/self/maps")), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def life(library: pyrunc.Runtime, rootfs: Path, id: str) -> None:
    """Create, start, exec, wait, kill, delete."""
    with library.create(id, config=config_of(rootfs)) as container:
        container.start()
        with container.exec(["true"]) as process:
            assert process.wait(60) == 0
        container.kill("KILL")
        assert container.wait(60) == -9


def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def keeper_of(library: pyrunc.Runtime) -> int:
    keeper = library._connection._keeper
    assert keeper is not None
    return keeper.pid


@pytest.mark.timeout(1200)
def test_many_lives_change_nothing_of_the_caller(private_world: None, place: Path, rootfs: Path, name: str) -> None:
    """In a process of its own: the tests' own has a thread that waits for the guest, and grows with what that says."""
    given = f"{str(place / 'state')!r}, {str(rootfs)!r}, {name!r}"
    script = f"from tests.library import test_keeper; test_keeper.many_lives({given})"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parent.parent.parent)


def many_lives(root: str, rootfs: str, name: str) -> None:
    """The lives, and this process before and after them."""
    with pyrunc.Runtime(root=root) as library:
        _lives(library, Path(rootfs), name)


def _lives(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    life(library, rootfs, name)
    before, (maps, _) = myself(), memory()
    keeper = Path(f"/proc/{keeper_of(library)}")
    children = keeper / "task" / keeper.name / "children"
    until(lambda: children.read_text() == "")              # a worker that has answered may still be about to end
    held = len(os.listdir(keeper / "fd"))
    for _ in range(ROUNDS // 10):
        life(library, rootfs, name)
    _, resident = memory()
    for _ in range(ROUNDS - ROUNDS // 10):
        life(library, rootfs, name)
    assert myself() == before
    assert memory()[0] <= maps + 2 and memory()[1] <= resident + 1024
    until(lambda: children.read_text() == "")
    until(lambda: len(os.listdir(keeper / "fd")) == held)


def test_failures_change_nothing_of_the_caller(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    life(library, rootfs, name)
    before = myself()
    for number in range(20):
        broken = config_of(rootfs)
        broken["mounts"].append({"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]})
        with pytest.raises(pyrunc.StepError):
            library.create(name, config=broken)
        with pytest.raises(pyrunc.StateError):
            library.container(name)
        with pytest.raises(pyrunc.ConfigError):
            library.create(name, config={**config_of(rootfs), "hostname": number})
    assert myself() == before


def test_many_threads_at_once(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    """And the program has threads of its own, which forbid it to clone."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: life(library, rootfs, f"{name}-{number}"), range(80)))
    assert library.containers() == []


def test_one_that_hangs_blocks_no_other(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    hanging = config_of(rootfs, hooks={"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "3"]}]})
    begun = time.monotonic()
    slow = threading.Thread(target=lambda: library.create(f"{name}-slow", config=hanging))
    slow.start()
    life(library, rootfs, f"{name}-quick")
    assert time.monotonic() - begun < 3
    slow.join(60)
    library.container(f"{name}-slow").delete(force=True)


def test_containers_outlive_a_keeper_that_is_killed(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    """What nobody can know any more is said, and not invented."""
    container = library.create(name, config=config_of(rootfs))
    container.start()
    os.kill(keeper_of(library), signal.SIGKILL)
    assert container.init is not None
    with pytest.raises(TimeoutError):
        container.init.wait(0.5)
    assert container.status == "running"
    with container.exec(["true"]) as process:                  # by a new keeper
        assert process.wait(20) == 0
    container.kill("KILL")
    begun = time.monotonic()
    with pytest.raises(pyrunc.StateError, match="is unknown"):
        container.init.wait(60)
    assert time.monotonic() - begun < 30
    container.delete(force=True)


def test_a_worker_that_is_killed_is_an_error_of_its_call(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    hanging = config_of(rootfs, hooks={"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "60"]}]})
    failed: list[pyrunc.PyruncError] = []

    def create() -> None:
        try:
            library.create(name, config=hanging)
        except pyrunc.PyruncError as fault:
            failed.append(fault)
    life(library, rootfs, f"{name}-first")
    thread = threading.Thread(target=create)
    thread.start()
    keeper = keeper_of(library)
    children = Path(f"/proc/{keeper}/task/{keeper}/children")
    end = time.monotonic() + 20
    while not children.read_text().split() or not Path(library.root, name, "intent.json").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    for child in children.read_text().split():           # the init is the keeper's child, too; an earlier one may end
        with suppress(FileNotFoundError):
            if os.readlink(f"/proc/{child}/ns/pid") == os.readlink("/proc/self/ns/pid"):
                os.kill(int(child), signal.SIGKILL)
    thread.join(20)
    assert "the worker was killed by signal 9" in str(failed[0])
    library.container(name).delete(force=True)
    life(library, rootfs, f"{name}-next")


def test_the_keeper_ends_with_the_runtime_and_containers_do_not(private_world: None, rootfs: Path, place: Path,
                                                                name: str) -> None:
    library = pyrunc.Runtime(root=str(place / "state"))
    container = library.create(name, config=config_of(rootfs))
    keeper = keeper_of(library)
    library.close()
    assert not os.path.exists(f"/proc/{keeper}")
    library.close()
    assert container.status == "created"
    with pyrunc.Runtime(root=str(place / "state")) as later:
        later.container(name).delete()


def test_the_keeper_is_the_sealed_program(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    """The init's /proc/PID/exe must not be a file of the host that it could overwrite (CVE-2019-5736)."""
    with library.create(name, config=config_of(rootfs)) as container:
        host = os.stat(library._connection._keeper.args[0])  # type: ignore[index, union-attr]
        image = os.stat(f"/proc/{container.pid}/exe")
        assert (image.st_dev, image.st_ino) != (host.st_dev, host.st_ino)


# ---- the channel --------------------------------------------------------------------------------------------------
def test_messages_of_any_size_with_descriptors() -> None:
    one, other = pair()
    read, write = os.pipe()
    for size in (0, 100, 32 << 10, 5 << 20):
        message = {"text": "ü" * (size // 2), "bytes": b"x", "list": [1, None, True, 1.5]}
        one.send(message, [write])
        received, fds = other.receive() or ({}, [])
        assert received == message and len(fds) == 1
        os.write(fds[0], b"y")
        os.close(fds[0])
        assert os.read(read, 1) == b"y"
    one.close()
    assert other.receive() is None
    with pytest.raises(BrokenPipeError):
        other.send({})
    other.close()
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("fault", [
    pyrunc.ConfigError("what", "where", "file"), pyrunc.StepError("what", 2, "where", "a.b", "spec", "hint", "a.b#2"),
    pyrunc.StateError("gone"), pyrunc.UsageError("wrong"), pyrunc.PyruncError("other")])
def test_errors_arrive_as_they_were(fault: pyrunc.PyruncError) -> None:
    again = unpack(pack(fault))
    assert type(again) is type(fault) and str(again) == str(fault) and vars(again) == vars(fault)


def test_other_errors_arrive_as_one_line() -> None:
    assert str(unpack(pack(OSError(2, "x", "/path")))) == "/path: no such file or directory"
    assert str(unpack(pack(KeyError("x")))) == "internal error: KeyError: 'x'"
