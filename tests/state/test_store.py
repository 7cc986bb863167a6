"""The state root: whose it is, who may change a container, and what a killed command leaves."""
from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pyrunc.errors import StateError
from pyrunc.kernel import own_files
from pyrunc.kernel.posix import PosixKernel
from pyrunc.state import store

from .made import World

HOLDER = """
import sys
from pyrunc.state import store
lock = store.Lock(sys.argv[1], sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


def hold(made: World, id: str) -> subprocess.Popen[str]:
    """Another process that holds the container's lock until its standard input ends."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(made.root), id], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    made.processes.append(holder)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    return holder


def test_one_at_a_time(made: World) -> None:
    made.stopped("c")
    holder = hold(made, "c")
    with pytest.raises(store.Busy, match="another command is working on it"):
        store.Lock(str(made.root), "c", 0)
    begun = time.monotonic()
    threading.Timer(0.2, holder.kill).start()
    store.Lock(str(made.root), "c", 60).close()        # a lock ends with its process
    assert time.monotonic() - begun >= 0.2


def test_a_fork_does_not_inherit_the_lock(made: World) -> None:
    """The container's init is a fork of create, and lives on."""
    made.stopped("c")
    lock = store.Lock(str(made.root), "c")
    child = os.fork()
    if child == 0:
        time.sleep(600)
    try:
        lock.close()
        holder = hold(made, "c")
        assert holder.poll() is None
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_one_process_excludes_itself(made: World) -> None:
    """A program with threads, or one that forgets: and whoever closes another descriptor of the file keeps the lock."""
    made.stopped("c")
    with store.Lock(str(made.root), "c"):
        for _ in range(2):
            with pytest.raises(store.Busy):
                store.Lock(str(made.root), "c", 0)
            os.close(os.open(made.root / "c" / store.LOCK, os.O_RDWR))
        with pytest.raises(BlockingIOError):
            PosixKernel().lock(os.open(made.root / "c" / store.LOCK, os.O_RDWR))
    hold(made, "c")


def test_who_has_locked_it(made: World) -> None:
    """For a create at work whose process /proc does not show; a lock of another version's, on the whole file, excludes
    and is excluded."""
    made.stopped("c")
    path = str(made.root / "c" / store.LOCK)
    assert own_files.signer(path) == 0
    script = ("import os, sys\nfrom pyrunc.kernel.posix import PosixKernel\n"
              "PosixKernel().lock(os.open(sys.argv[1], os.O_RDWR))\n"
              "print('held', flush=True)\nsys.stdin.read()")
    creator = subprocess.Popen([sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    made.processes.append(creator)
    assert creator.stdout is not None and creator.stdout.readline() == "held\n"
    assert own_files.signer(path) == creator.pid
    fd = os.open(path, os.O_RDWR)
    with pytest.raises((BlockingIOError, PermissionError)):
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    creator.kill()
    creator.wait()
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with pytest.raises(store.Busy):
        store.Lock(str(made.root), "c", 0)
    os.close(fd)


def test_lock_of_a_container_that_is_gone(made: World) -> None:
    with pytest.raises(StateError, match="container does not exist"):
        store.Lock(str(made.root), "c")
    made.stopped("c")
    holder = hold(made, "c")
    results: list[object] = []

    def wait() -> None:
        try:
            results.append(store.Lock(str(made.root), "c", 5))
        except StateError as fault:
            results.append(str(fault))

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.1)
    store.remove(str(made.root), "c", PosixKernel())
    holder.kill()
    waiter.join()
    assert results == [f"container does not exist: c in {made.root}"]


@pytest.mark.parametrize("missing", ["", "/a/b"])
def test_make_root(tmp_path: Path, missing: str) -> None:
    root = f"{tmp_path}{missing}/state"
    store.make_root(root, PosixKernel())
    store.make_root(root, PosixKernel())
    assert os.stat(root).st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o1777, 0o2775])
def test_a_root_that_others_can_write_is_refused(mode: int, tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.mkdir()
    root.chmod(mode)
    with pytest.raises(StateError, match=rf"can be written by others: owner \d+, mode {mode:04o}"):
        store.make_root(str(root), PosixKernel())
    for use in (store.exists, lambda root, id: store.read(root, id, store.STATE), store.read_config):
        with pytest.raises(StateError, match=r"state root .* can be written by others"):
            use(str(root), "c")


@pytest.mark.parametrize("mode", [0o700, 0o711, 0o755, 0o1700])
def test_a_root_that_others_can_only_pass_or_read_is_fine(mode: int, made: World) -> None:
    """containerd's is 0711, CRI-O's 0755, and a rootless user's is sticky."""
    made.stopped("c")
    made.root.chmod(mode)
    store.make_root(str(made.root), PosixKernel())
    assert store.exists(str(made.root), "c") and store.read(str(made.root), "c", store.STATE)["id"] == "c"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_root_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 0)
    with pytest.raises(StateError, match="can be written by others: owner 12345"):
        store.make_root(str(tmp_path), PosixKernel())


def test_write_replaces_as_a_whole(made: World) -> None:
    directory = made.stopped("c")
    (directory / ".state.json").write_text("of a write that was killed")
    new = made.record("c", pid=7, start_time=5, mark="new")
    store.write(str(made.root), "c", store.STATE, new)
    assert store.read(str(made.root), "c", store.STATE) == new
    assert os.stat(directory / store.STATE).st_mode & 0o7777 == 0o600
    assert not (directory / ".state.json").exists()


def test_remove_can_be_resumed(made: World) -> None:
    """Whatever was removed already: what says that there is a container goes last."""
    for left in range(6):
        directory = made.created(f"c{left}")
        (directory / "notify").mkdir()
        (directory / "notify" / "socket").touch()
        for file in sorted(directory.iterdir())[:left]:
            if file.is_file() and file.name not in (store.INTENT, store.LOCK):
                file.unlink()
        store.remove(str(made.root), directory.name, PosixKernel())
        assert not directory.exists()
