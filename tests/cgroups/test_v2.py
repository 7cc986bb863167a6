"""Cgroups on the real kernel: made, marked, frozen, killed, removed. Needs root, and no controller."""
from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pyrunc.cgroups import create, v2
from pyrunc.cgroups.v2 import Cgroup
from pyrunc.errors import Refused

from .. import cpu, world
from .hierarchy import MARK, MOUNT, Tree


def sticky(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o1000)


# ---- making -------------------------------------------------------------------------------------------------------
def test_made_with_its_parents_and_marked(tree: Tree) -> None:
    cgroup = tree.make("a/b/c")
    assert cgroup.exists() and cgroup.made
    assert os.getxattr(tree.path("a/b/c"), "trusted.pyrunc") == MARK.encode()
    assert all(sticky(tree.top / name) for name in ("a", "a/b", "a/b/c"))
    with pytest.raises(OSError, match="No data"):
        os.getxattr(tree.path("a/b"), "trusted.pyrunc")


def test_a_mount_point_of_another_name(tree: Tree, tmp_path: Path) -> None:
    """A hybrid host's /sys/fs/cgroup/unified."""
    unified = tmp_path / "unified"
    unified.mkdir()
    world.mount("cgroup2", unified, "cgroup2")
    try:
        path = f"{unified}/{tree.top.name}/x"
        os.close(create.make(tree.kernel, str(unified), path, (), MARK))
        assert tree.find("x").exists()
        again = Cgroup(path, MARK, tree.kernel)
        again.remove()
        again.close()
        assert not tree.top.exists()
    finally:
        world.unmount(unified)


# config-linux.md#control-groups: "a non-empty cgroup": "MUST generate an error if such a check fails"
@pytest.mark.spec("config-linux.md#control-groups", "a cgroup that is not fit is an error")
def test_a_cgroup_with_processes_is_refused_and_left_alone(tree: Tree) -> None:
    (tree.top / "used").mkdir(parents=True)
    tree.sleep("used")
    with pytest.raises(Refused) as caught:
        tree.make("used")
    assert caught.value.errno == 0
    assert caught.value.what == f"container's cgroup is not empty: 1 process(es) found: {tree.path('used')}"
    cgroup = tree.find("used")
    assert not cgroup.exists()
    cgroup.kill()
    cgroup.remove()
    assert tree.processes[0].poll() is None and (tree.top / "used").exists()


def test_processes_further_down_are_found_too(tree: Tree) -> None:
    (tree.top / "used/below").mkdir(parents=True)
    tree.sleep("used/below")
    with pytest.raises(Refused) as caught:
        tree.make("used")
    assert "processes are in cgroups below" in caught.value.what


# config-linux.md#control-groups: "For example, a frozen cgroup ..."
@pytest.mark.spec("config-linux.md#control-groups", "a cgroup that is not fit is an error")
@pytest.mark.parametrize("frozen", ["held", "held/it"])
def test_a_frozen_cgroup_is_refused(tree: Tree, frozen: str) -> None:
    """Its own freezer or an ancestor's: an init born there would never run."""
    (tree.top / "held/it").mkdir(parents=True)
    (tree.top / frozen / "cgroup.freeze").write_text("1")
    with pytest.raises(Refused) as caught:
        tree.make("held/it")
    assert caught.value.what == f"container's cgroup unexpectedly frozen: {tree.path('held/it')}"


def test_the_root_of_the_hierarchy_must_be_there(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        create.make(tree.kernel, str(tmp_path / "none"), str(tmp_path / "none/x"), (), MARK)


def test_a_file_in_the_way(tree: Tree) -> None:
    with pytest.raises(NotADirectoryError):
        tree.make("x/cgroup.procs/y")


# ---- whose it is --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mark", ["c1:other", "c2:0123456789abcdef", "", "c1", MARK + "0"])
def test_another_mark_is_another_container(tree: Tree, mark: str) -> None:
    tree.make("x").close()
    tree.sleep("x")
    other = tree.find("x", mark)
    assert not other.exists() and other.procs() == [] and not other.populated() and not other.frozen()
    other.kill()
    other.thaw()
    other.remove()
    with pytest.raises(Refused):
        other.freeze()
    assert tree.processes[0].poll() is None and tree.find("x").exists()


def test_no_path_and_no_cgroup(tree: Tree) -> None:
    for path in ("", tree.path("nothing/there"), "/etc/hostname", "/etc/hostname/x"):
        cgroup = Cgroup(path, MARK, tree.kernel)
        assert not cgroup.exists() and cgroup.procs() == [] and cgroup.wait_empty(0)
        cgroup.kill()
        cgroup.remove()
        cgroup.close()


def test_an_empty_one_of_an_older_container_changes_hands(tree: Tree) -> None:
    tree.make("x").close()
    tree.make("x", "c2:new").close()
    tree.find("x").remove()
    assert not tree.find("x").exists() and tree.find("x", "c2:new").exists()
    tree.find("x", "c2:new").remove()
    assert not tree.top.exists()


# runtime.md#delete: "resources associated with the container, but not created by this container, MUST NOT be deleted"
@pytest.mark.spec("runtime.md#delete", "delete leaves what create did not make")
def test_a_cgroup_that_was_there_stays(tree: Tree) -> None:
    (tree.top / "given").mkdir(parents=True)
    cgroup = tree.make("given")
    assert cgroup.exists() and not cgroup.made
    (tree.top / "given/inner/most").mkdir(parents=True)
    cgroup.remove()
    assert (tree.top / "given").exists() and not (tree.top / "given/inner").exists()
    assert not tree.find("given").exists()
    assert os.listxattr(tree.path("given")) == []


# ---- removing -----------------------------------------------------------------------------------------------------
def test_parents_go_with_the_last_of_their_children(tree: Tree) -> None:
    first, second = tree.make("p/q/one"), tree.make("p/two", "c2:2")
    first.remove()
    assert not (tree.top / "p/q").exists() and second.exists()
    second.remove()
    assert not tree.top.exists()


def test_parents_that_were_there_stay(tree: Tree) -> None:
    (tree.top / "mine").mkdir(parents=True)
    tree.make("mine/p/x").remove()
    assert (tree.top / "mine").exists() and not (tree.top / "mine/p").exists()


def test_a_parent_that_is_a_container_s_stays(tree: Tree) -> None:
    tree.make("outer").close()
    tree.make("outer/inner", "c2:2").remove()
    assert tree.find("outer").exists()


@pytest.mark.parametrize("left", ["p", "p/x"])
def test_a_making_that_was_cut_short_is_removed(tree: Tree, left: str) -> None:
    """SIGKILL between mkdir and the mark: directories with the sticky bit, and nothing else."""
    (tree.top / left).mkdir(parents=True)
    for directory in (tree.top, tree.top / "p", tree.top / left):
        directory.chmod(0o1755)
    tree.find("p/x").remove()
    assert not tree.top.exists()


def test_unmarked_ones_with_something_in_them_stay(tree: Tree) -> None:
    """p was made as a parent of somebody's q; a container that wanted p itself must not take q along."""
    tree.make("p/q", "c2:2").close()
    tree.sleep("p/q")
    wanted = tree.find("p")
    wanted.kill()
    wanted.remove()
    assert tree.processes[0].poll() is None and tree.find("p/q", "c2:2").exists()


def test_removing_again_and_again(tree: Tree) -> None:
    cgroup = tree.make("x")
    cgroup.remove()
    cgroup.remove()
    tree.find("x").remove()
    assert not tree.top.exists() and not cgroup.populated() and cgroup.procs() == []


def test_one_that_goes_meanwhile(tree: Tree) -> None:
    """systemd removes a scope as soon as its last process has ended."""
    cgroup = tree.make("x")
    os.rmdir(tree.path("x"))
    assert cgroup.exists()           # its descriptor still is
    cgroup.kill()
    cgroup.thaw()
    assert cgroup.wait_empty(1) and cgroup.procs() == [] and not cgroup.populated() and not cgroup.frozen()
    cgroup.remove()
    assert not tree.top.exists()


def test_a_tree_deeper_than_any_path_and_than_python_recurses(tree: Tree) -> None:
    """With a delegated cgroup the container decides how deep it gets."""
    cgroup = tree.make("x")
    fd = os.open(tree.path("x"), os.O_RDONLY)
    depth = 1200
    for level in range(depth):
        os.mkdir("deep-enough", dir_fd=fd)
        if level % 100 == 0:
            os.mkdir("side", dir_fd=fd)
        below = os.open("deep-enough", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    sleeper = tree.sleep()
    procs = os.open("cgroup.procs", os.O_WRONLY, dir_fd=fd)
    os.write(procs, str(sleeper.pid).encode())
    os.close(procs)
    os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    assert cgroup.procs() == [sleeper.pid]
    assert len(list(v2.below(tree.kernel, cgroup.fd))) == depth + depth // 100
    cgroup.kill()
    assert cgroup.wait_empty(60)
    sleeper.wait()
    cgroup.remove()
    assert not tree.top.exists()
    assert len(os.listdir("/proc/self/fd")) == before


def test_removal_waits_for_the_killed(tree: Tree) -> None:
    cgroup = tree.make("x")
    for _ in range(10):
        tree.sleep("x")
    cgroup.kill()
    cgroup.remove()
    assert not tree.top.exists()


def test_removal_of_a_populated_one_fails_in_the_end(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2, "REMOVE_TRIES", 3)
    cgroup = tree.make("x")
    tree.sleep("x")
    with pytest.raises(OSError) as caught:
        cgroup.remove()
    assert caught.value.errno == errno.EBUSY and cgroup.exists()


def test_a_parent_vanishing_meanwhile_is_made_again(tree: Tree) -> None:
    """One thread makes and removes p/a, another p/b: each remove may take p from under the other's feet."""
    faults: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for _ in range(150):
                tree.make(f"p/{name}", f"{name}:1").remove()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [] and not tree.top.exists()


# ---- processes ----------------------------------------------------------------------------------------------------
def test_procs_of_the_whole_tree(tree: Tree) -> None:
    cgroup = tree.make("x")
    assert cgroup.procs() == [] and not cgroup.populated()
    (tree.top / "x/a/b").mkdir(parents=True)
    pids = [tree.sleep(name).pid for name in ("x", "x/a", "x/a/b")]
    tree.sleep()
    assert cgroup.procs() == sorted(pids) and cgroup.populated()


def test_procs_in_thread_mode(tree: Tree) -> None:
    cgroup = tree.make("x")
    sleeper = tree.sleep("x")
    (tree.top / "x/threads").mkdir()
    (tree.top / "x/threads/cgroup.type").write_text("threaded")
    (tree.top / "x/threads/cgroup.threads").write_text(str(sleeper.pid))
    assert tree.read("x/cgroup.threads") == ""
    assert v2.members(tree.kernel, "threads", cgroup.fd) == [sleeper.pid]
    assert cgroup.procs() == [sleeper.pid]


def test_freeze_and_thaw(tree: Tree) -> None:
    cgroup = tree.make("x")
    busy = tree.sleep("x")
    assert not cgroup.frozen()
    cgroup.freeze()
    assert cgroup.frozen() and tree.read("x/cgroup.events").endswith("frozen 1")
    cgroup.freeze()
    cgroup.thaw()
    assert v2.wait_event(tree.kernel, cgroup.fd, "frozen", False, 5)
    cgroup.thaw()
    assert busy.poll() is None and not cgroup.frozen()


def test_freezing_gives_up_and_lets_run(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a process in an uninterruptible call: here the kernel is simply not asked to freeze."""
    asked = []
    cgroup = tree.make("x")
    tree.sleep("x")
    monkeypatch.setattr(v2, "FREEZE_SECONDS", 0.2)
    monkeypatch.setattr(tree.kernel, "write", lambda fd, data: asked.append((os.readlink(f"/proc/self/fd/{fd}"), data)))
    began = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        cgroup.freeze()
    assert 0.19 < time.monotonic() - began < 60 and caught.value.filename == f"freeze {cgroup.path}"
    assert asked == [(f"{cgroup.path}/cgroup.freeze", b"1"), (f"{cgroup.path}/cgroup.freeze", b"0")]


@pytest.mark.parametrize("before", ["0", "1"])
@pytest.mark.parametrize("call", ["open", "read_again", "wait_changed"])
def test_freezing_that_fails_leaves_it_as_it_was(tree: Tree, monkeypatch: pytest.MonkeyPatch, call: str,
                                                 before: str) -> None:
    cgroup = tree.make("x")
    tree.sleep("x")
    (tree.top / "x/cgroup.freeze").write_text(before)
    real = getattr(tree.kernel, call)

    def fail(*args: Any) -> Any:
        if call == "open" and args[0] != "cgroup.events":
            return real(*args)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(tree.kernel, call, fail)
    if call == "wait_changed":
        monkeypatch.setattr(v2, "_state", lambda text: {"frozen": False})
    with pytest.raises(OSError, match="Too many open files"):
        cgroup.freeze()
    assert tree.read("x/cgroup.freeze") == before


def test_kill_reaches_all_also_frozen_ones(tree: Tree) -> None:
    cgroup = tree.make("x")
    (tree.top / "x/a").mkdir()
    sleepers = [tree.sleep(name) for name in ("x", "x/a")]
    outside = tree.sleep()
    cgroup.freeze()
    cgroup.kill()
    assert [sleeper.wait(60) for sleeper in sleepers] == [-9, -9]
    assert cgroup.wait_empty(60) and outside.poll() is None


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EOPNOTSUPP])
def test_kill_without_cgroup_kill(tree: Tree, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    write = tree.kernel.write_file

    def refuse(path: str, data: str, dirfd: int = -100) -> None:
        if path == "cgroup.kill":
            raise OSError(number, os.strerror(number), path)
        write(path, data, dirfd)

    monkeypatch.setattr(tree.kernel, "write_file", refuse)
    cgroup = tree.make("x")
    (tree.top / "x/a").mkdir()
    sleepers = [tree.sleep(name) for name in ("x", "x/a", "x")]
    outside = tree.sleep()
    cgroup.kill()
    assert [sleeper.wait(60) for sleeper in sleepers] == [-9, -9, -9]
    assert outside.poll() is None and cgroup.wait_empty(60)
    assert tree.read("x/cgroup.freeze") == "0" and v2.wait_event(tree.kernel, cgroup.fd, "frozen", False, 5)


def test_waiting_for_the_end(tree: Tree) -> None:
    cgroup = tree.make("x")
    sleeper = tree.sleep("x")
    began = time.monotonic()
    assert not cgroup.wait_empty(0.1) and 0.09 < time.monotonic() - began < 60
    threading.Timer(0.1, sleeper.kill).start()
    assert cgroup.wait_empty(100) and time.monotonic() - began < 60
    cgroup.remove()
    assert cgroup.wait_empty(1)


def test_waiting_does_not_spin(tree: Tree) -> None:
    cgroup = tree.make("x")
    tree.sleep("x")
    answers: list[bool] = []
    assert cpu.seconds(lambda: answers.append(cgroup.wait_empty(0.5))) < 0.1
    assert answers == [False]


def test_oom_kills_without_the_controller(tree: Tree) -> None:
    assert tree.make("x").oom_kills() == 0 and tree.find("none").oom_kills() == 0


def test_the_hierarchy_is_cgroup_v2() -> None:
    assert (MOUNT / "cgroup.controllers").exists()
