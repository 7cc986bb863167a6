"""An init that waits for `start`, and one that runs its hooks, is seized by a process of its pid namespace: it has
nothing of the host mapped but its own program, and the page that it shares with the runtime."""
from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, world
from tests.bundles import docker_like, merge, namespaces
from tests.runtimes import Runtime
from tests.seccomp_profile import small
from tests.security.test_exec_is_seized import GRANTED, IMAGE, JOURNAL, PRIVATE, blocks, mapped_files, watcher

__all__ = ["watcher"]

Look = Callable[[str, str], dict[str, list[str]]]

NO_MUNMAP = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["munmap"], "action": "SCMP_ACT_ERRNO"}]}
HOOK = {"path": "/bin/sh", "args": ["sh", "-c", "while test ! -e /tmp/go; do sleep 0.1; done"]}
HOOKS = {"hooks": {"startContainer": [HOOK]}}
NO_NEW = {"process": {"noNewPrivileges": True}}
CONTAINERS: dict[str, dict[str, Any]] = {
    "plain": {}, "filter": {"linux": {"seccomp": small()}}, "filter without munmap": {"linux": {"seccomp": NO_MUNMAP}},
    "filter, no_new_privs": merge(NO_NEW, {"linux": {"seccomp": small()}}),
    "filter without munmap, no_new_privs": merge(NO_NEW, {"linux": {"seccomp": NO_MUNMAP}}),
    "hooks": HOOKS, "hooks, filter": merge(HOOKS, {"linux": {"seccomp": small()}}),
}


def config(changes: dict[str, Any]) -> dict[str, Any]:
    return merge(docker_like(process={"args": ["true"], "capabilities": {
        kind: list(GRANTED) for kind in ("bounding", "effective", "permitted")}}), changes)


@pytest.fixture
def look(runtime: Runtime, place: Path, watcher: Path) -> Look:
    def look(id: str, pid: str) -> dict[str, list[str]]:
        """What a process that is execed into the container sees of another there."""
        root = Path(runtime.state(id)["bundle"], "rootfs")
        shutil.copy(watcher, root / "bin/watcher")
        runtime.ok("exec", id, "/bin/watcher", pid)
        found, = blocks((root / "tmp/seen").read_text())
        return found
    return look


def nothing_of_the_host(runtime: Runtime, block: dict[str, list[str]]) -> None:
    assert IMAGE.fullmatch(block["exe"][0]), block["exe"]               # it still is the runtime's program
    mapped = {file for file in mapped_files(block) if not IMAGE.fullmatch(file)}
    journals = {str(path) for path in runtime.root.glob("*/journal")}
    assert mapped <= {*JOURNAL, *journals}, mapped
    writable = {line.removesuffix(": opened for writing") for line in block.get("mapped", ())
                if "opened for writing" in line}
    assert writable <= {*JOURNAL, *journals}, writable
    for kind in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"):
        assert int(block[kind][0], 16) & ~sum(1 << number for number in GRANTED.values()) == 0, block[kind]


@pytest.mark.parametrize("which", CONTAINERS)
def test_it_waits_for_start(which: str, look: Look, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", config(CONTAINERS[which]))
    init = runtime.create(name, bundle)
    nothing_of_the_host(runtime, look(name, "1"))
    if "hooks" in which:
        starting = runtime.popen("start", name)
        deadline = time.monotonic() + 60
        while len(world.processes_of(name)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        nothing_of_the_host(runtime, look(name, "1"))
        (bundle / "rootfs/tmp/go").touch()
        assert starting.wait(60) == 0
    else:
        runtime.ok("start", name)
    assert init.wait() == 0


def test_in_the_pid_namespace_of_another_container(look: Look, runtime: Runtime, place: Path, name: str) -> None:
    first = runtime.create(f"{name}-1", bundles.bundle(place / "one", config({"process": {"args": ["sleep", "1000"]}})))
    runtime.ok("start", f"{name}-1")
    pids = {"type": "pid", "path": f"/proc/{first.pid}/ns/pid"}
    shared = {"linux": {"namespaces": [*namespaces("network", "ipc", "uts", "mount", "cgroup"), pids]}}
    for number, changes in enumerate(({}, HOOKS)):
        id = f"{name}-{number + 2}"
        second = runtime.create(id, bundles.bundle(place / id, config(merge(changes, shared))))
        there = next(line for line in world.lines(f"/proc/{second.pid}/status") if line.startswith("NSpid")).split()[-1]
        nothing_of_the_host(runtime, look(f"{name}-1", there))
        runtime.ok("delete", "--force", id)


def test_with_a_user_namespace_it_is_not_seized_at_all(watcher: Path, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", config(PRIVATE))
    runtime.create(name, bundle)
    shutil.copy(watcher, bundle / "rootfs/bin/watcher")
    assert runtime("exec", name, "/bin/watcher", "1").status == 1
    assert (bundle / "rootfs/tmp/seen").read_text() == ""


def test_signals_are_still_taken(runtime: Runtime, place: Path, name: str) -> None:
    """Their handlers call nothing that is gone, and come back: here is no pid 1, so even RT signals have one."""
    spaces = namespaces("network", "ipc", "uts", "mount", "cgroup")
    init = runtime.create(name, bundles.bundle(place / "bundle", config({"linux": {"namespaces": spaces}})))
    for number in ("USR1", "ALRM", "34", "64"):
        subprocess.run(["kill", f"-{number}", str(init.pid)], check=True)
    runtime.ok("start", name)
    assert init.wait() == 0
