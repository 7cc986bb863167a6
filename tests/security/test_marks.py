"""The mark of a container's cgroup in the hands of the container: taken away, forged, its directory's mode changed."""
from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from pyrunc.cgroups.v2 import MARKS, Cgroup
from pyrunc.kernel.posix import PosixKernel
from tests import bundles, world
from tests.runtimes import Runtime

#: What a process with CAP_SYS_ADMIN, or a user's container by user.pyrunc, can do to the directory.
ATTACKS = {"removed": ("", 0o1755), "forged": ("another:0123", 0o1755), "not sticky": ("", 0o755),
           "only the mode": ("own", 0o755)}


def attack(cgroup: Path, mark: str, mode: int) -> None:
    if mark != "own":
        os.removexattr(cgroup, MARKS[0])
        if mark:
            os.setxattr(cgroup, MARKS[0], mark.encode())
    os.chmod(cgroup, mode)


@pytest.mark.parametrize("which", ATTACKS)
def test_a_cgroup_without_its_mark_is_the_containers(which: str, runtime: Runtime, place: Path, name: str) -> None:
    """Without a pid namespace nothing but the cgroup tells what belongs to the container."""
    bundles.busybox_root(place / "rootfs")
    script = "sleep 600 & exec sleep 600"
    (place / "config.json").write_text(json.dumps(bundles.docker_like(
        hostname=None, process={"args": ["sh", "-c", script]}, linux={"namespaces": bundles.namespaces("mount")})))
    before = world.Snapshot.take(name, runtime.root)
    runtime.create(name, place)
    runtime.ok("start", name)
    deadline = time.monotonic() + 60
    while len(world.processes_of(name)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    attack(world.CGROUP / name, *ATTACKS[which])
    assert len(json.loads(runtime.ok("ps", "--format", "json", name).stdout)) == 2
    runtime.ok("pause", name)
    assert runtime.status(name) == "paused"
    runtime.ok("resume", name)
    if "pids" in world.controllers():
        runtime.ok("update", "--pids-limit", "77", name)
    runtime.ok("delete", "--force", name)
    assert before.settle(name, runtime.root) == before
    assert not (world.CGROUP / name).exists()


def test_another_cgroup_of_the_same_path_is_left_alone(runtime: Runtime, place: Path, name: str) -> None:
    """Nor does the number of one that is gone, or of another boot, make a cgroup the container's."""
    bundles.busybox_root(place / "rootfs")
    (place / "config.json").write_text(json.dumps(bundles.docker_like(process={"args": ["true"]})))
    runtime.create(name, place)
    runtime.ok("start", name)
    deadline = time.monotonic() + 60
    while runtime.status(name) != "stopped":
        assert time.monotonic() < deadline
    state = json.loads((runtime.root / name / "state.json").read_text())
    assert state["cgroup_inode"] == (world.CGROUP / name).stat().st_ino and state["cgroup_made"]
    (world.CGROUP / name).rmdir()
    (world.CGROUP / name).mkdir()
    assert (world.CGROUP / name).stat().st_ino != state["cgroup_inode"]
    runtime.ok("delete", name)
    assert (world.CGROUP / name).exists()
    (world.CGROUP / name).rmdir()


def test_an_inode_that_is_not_known_is_no_match(private_world: None, name: str) -> None:
    place = world.CGROUP / name
    place.mkdir()
    try:
        assert not Cgroup(str(place), "mark", PosixKernel()).exists()
        assert Cgroup(str(place), "mark", PosixKernel(), place.stat().st_ino).exists()
    finally:
        place.rmdir()
