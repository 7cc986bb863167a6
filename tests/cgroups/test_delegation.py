"""Cgroups that are delegated to a container or a user, or have processes, on a kernel with every controller."""
from __future__ import annotations

import importlib
import os
import pkgutil
import typing
from pathlib import Path

import pytest

import pyrunc.cgroups
from pyrunc.cgroups.v2 import Cgroup
from pyrunc.host import Host

from .hierarchy import MOUNT, Tree
from .test_limits import MIB, Container, container, fault

pytestmark = pytest.mark.guest


# ---- delegation -----------------------------------------------------------------------------------------------------
@pytest.mark.spec("config-linux.md#cgroup-ownership", "the cgroup is delegated where it is mounted to be written",
                  "only the files meant for it are delegated")
def test_delegation(tree: Tree) -> None:
    """The container's root owns the directory and the files of /sys/kernel/cgroup/delegate, and no limit."""
    made = container(tree, {"pids": {"limit": 50}}, process={"user": {"uid": 5, "gid": 5}},
                     mounts=[{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}],
                     linux={"namespaces": [{"type": "cgroup"}, {"type": "user"}],
                            "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 10}]})
    listed = set(Path("/sys/kernel/cgroup/delegate").read_text().split())
    owned = {path.name for path in made.path.iterdir() if path.stat().st_uid == 100005}
    assert owned == {name for name in listed if (made.path / name).exists()} and "pids.max" not in owned
    assert made.path.stat().st_uid == 100005 and made.path.stat().st_gid == 0
    assert as_user(100005, lambda: os.mkdir(made.path / "sub")) == ""
    assert "Permission denied" in as_user(100005, lambda: (made.path / "pids.max").write_text("max"))
    cgroup = tree.find("c", "c1:n")
    assert cgroup.exists()
    cgroup.remove()
    assert not made.path.exists()


# "A runtime SHOULD NOT change the ownership of a container cgroup unless it will also create a new cgroup namespace for
# the container."; "not all files listed in /sys/kernel/cgroup/delegate necessarily exist in every cgroup. Runtimes MUST
# NOT fail in this scenario, and SHOULD change the ownership of the listed files that do exist in the cgroup."
@pytest.mark.spec("config-linux.md#cgroup-ownership",
                  "without a cgroup namespace of its own it is not delegated",
                  "a listed file that is not there is no error")
@pytest.mark.parametrize("own", [True, False])
def test_delegation_where_no_controller_is_passed_on(own: bool, occupied: Tree) -> None:
    spaces = [{"type": "user"}, {"type": "cgroup"} if own else {"type": "cgroup", "path": "/proc/self/ns/cgroup"}]
    made = container(occupied, {}, path="full/c", process={"user": {"uid": 0, "gid": 0}},
                     mounts=[{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}],
                     linux={"namespaces": spaces, "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 10}]})
    listed = set(Path("/sys/kernel/cgroup/delegate").read_text().split())
    there = {name for name in listed if (made.path / name).exists()}
    assert there < listed, "memory.oom.group belongs to a controller"
    assert {path.name for path in made.path.iterdir() if path.stat().st_uid == 100000} == (there if own else set())
    assert made.path.stat().st_uid == (100000 if own else 0)


def as_user(uid: int, act: typing.Callable[[], object]) -> str:
    """Do it in a child with that uid: "" or the exception's text. That uid may not read a checkout in /root, so what
    pyrunc imports late is imported before."""
    for module in pkgutil.walk_packages(pyrunc.cgroups.__path__, "pyrunc.cgroups."):
        importlib.import_module(module.name)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            act()
        except BaseException as exception:
            os.write(write, str(exception).encode() or b"?")
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as text:
        os.waitpid(child, 0)
        return text.read()


# ---- rootless -------------------------------------------------------------------------------------------------------
def rootless(tree: Tree, resources: dict[str, typing.Any], path: str | None, own: str) -> str:
    """create as uid 1000; "" and the cgroup stays, or the error."""
    host = Host(euid=1000, cgroup_own=own)
    return as_user(1000, Container(tree, resources, path=path, host=host).create)


@pytest.fixture
def delegated(tree: Tree) -> Tree:
    """tree/user belongs to uid 1000, as systemd delegates user@1000.service; its processes are in tree/user/shell."""
    for directory in (MOUNT, tree.top, tree.top / "user"):
        directory.mkdir(exist_ok=True)
        if directory != tree.top / "user":
            (directory / "cgroup.subtree_control").write_text("+memory +pids +cpu")
    for name in (".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(tree.top / "user" / name, 1000, 1000)
    return tree


def test_rootless_with_delegation(delegated: Tree) -> None:
    own = f"/{delegated.top.name}/user/shell"
    assert rootless(delegated, {"pids": {"limit": 5}, "memory": {"limit": 16 * MIB}}, "user/c", own) == ""
    assert delegated.read("user/c/pids.max") == "5" and delegated.read("user/c/memory.max") == str(16 * MIB)
    assert os.getxattr(delegated.path("user/c"), "user.pyrunc") == b"c1:n"
    assert as_user(1000, lambda: Cgroup(delegated.path("user/c"), "c1:n", delegated.kernel).remove()) == ""
    assert not (delegated.top / "user/c").exists()


def test_rootless_beside_the_runtime(delegated: Tree) -> None:
    """Without cgroupsPath: a sibling of the runtime's own cgroup, named by the id."""
    assert rootless(delegated, {"pids": {"limit": 5}}, None, f"/{delegated.top.name}/user/shell") == ""
    assert delegated.read("user/c1/pids.max") == "5"


def test_rootless_controller_that_is_not_delegated(delegated: Tree) -> None:
    words = rootless(delegated, {"cpu": {"cpus": "0"}}, "user/c", f"/{delegated.top.name}/user/shell")
    top = delegated.top
    assert words.startswith(f"controller cpuset is not available in cgroup {top}/user/c: {top} does not pass it on, "
                            "it is not delegated: at linux.resources.cpu.cpus in config.json")
    assert not (top / "user/c").exists()


def test_rootless_without_delegation(tree: Tree) -> None:
    tree.top.mkdir()
    own = f"/{tree.top.name}/shell"
    assert rootless(tree, {}, None, own) == ""
    assert list(tree.top.glob("*/")) == []
    words = rootless(tree, {"pids": {"limit": 5}}, None, own)
    assert words.startswith(f"make cgroup {tree.top}/c1, which is not delegated to this user")
    assert "permission denied" in words
    words = rootless(tree, {}, "x", own)
    assert "permission denied: at linux.cgroupsPath in config.json: step cgroup.create" in words
    assert list(tree.top.glob("*/")) == []


def test_rootless_from_outside_what_is_delegated(delegated: Tree) -> None:
    """A login session has its own cgroup beside the user's; its processes may not be moved into that."""
    own = f"/{delegated.top.name}/session-1.scope"
    words = rootless(delegated, {"pids": {"limit": 5}}, "user/c", own)
    assert "which is not delegated to this user" in words and "permission denied" in words
    assert not (delegated.top / "user/c").exists()


# ---- thread mode ----------------------------------------------------------------------------------------------------
@pytest.fixture
def occupied(tree: Tree) -> Tree:
    """tree/full holds a process and passes nothing on: as the root of a cgroup namespace without an init's care."""
    (tree.top / "full").mkdir(parents=True)
    for directory in (MOUNT, tree.top):
        (directory / "cgroup.subtree_control").write_text("+memory +pids +cpu")
    tree.sleep("full")
    return tree


def test_below_a_cgroup_with_processes_a_container_is_an_ordinary_domain(occupied: Tree) -> None:
    made = container(occupied, {}, path="full/c")
    assert made.read("cgroup.type") == "domain" and made.read("cgroup.controllers") == ""
    assert made.run("cat /proc/self/cgroup").stdout.strip().endswith("/full/c")


def test_thread_mode_for_limits_that_work_in_it(occupied: Tree) -> None:
    made = container(occupied, {"pids": {"limit": 5}, "cpu": {"shares": 2}}, path="full/p/c")
    assert made.read("cgroup.type") == "threaded" and made.read("pids.max") == "5" and made.read("cpu.weight") == "1"
    sleeper = occupied.sleep("full/p/c")
    cgroup = occupied.find("full/p/c", "c1:n")
    assert cgroup.procs() == [sleeper.pid]
    cgroup.kill()
    assert sleeper.wait(60) == -9
    cgroup.remove()
    assert not (occupied.top / "full/p").exists()


def test_memory_below_a_cgroup_with_processes(occupied: Tree) -> None:
    top = occupied.top
    words = fault(occupied, {"memory": {"limit": 16 * MIB}}, path="full/c")
    assert words.startswith(f"controller memory is not available in cgroup {top}/full/c: {top}/full does not pass it "
                            "on, processes are in it: at linux.resources.memory.limit")


def test_memory_in_thread_mode(occupied: Tree) -> None:
    (occupied.top / "full/cgroup.subtree_control").write_text("+pids")
    words = fault(occupied, {"memory": {"limit": MIB}, "pids": {"limit": 1}}, path="full/c")
    assert "/full/c is in thread mode (domain invalid), which excludes controller memory: at linux.cgroupsPath" in words
    assert not (occupied.top / "full/c").exists()
