"""A hundred detached containers at once: every command answers, and nothing is left of them."""
from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import bundles
from tests.bundles import docker_like
from tests.runtimes import Runtime, reap
from tests.world import Snapshot

COUNT = 100


@pytest.mark.timeout(300)
def test_a_hundred_at_once(runtime: Runtime, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    # Without a network namespace: the kernel takes those down one after the other, seconds for a hundred.
    spaces = bundles.namespaces("pid", "mount", "ipc", "uts", "cgroup")
    bundle = bundles.bundle(place / "b", docker_like(process={"args": ["sleep", "1000"]}, linux={"namespaces": spaces}))
    ids = [f"{name}-{number:03}" for number in range(COUNT)]
    with ThreadPoolExecutor(8) as threads:
        inits = list(threads.map(lambda id: detached(runtime, bundle, id), ids))
        assert runtime.ok("list", "--quiet").stdout.split() == ids
        listed = {entry["id"]: entry for entry in json.loads(runtime.ok("list", "--format", "json").stdout)}
        assert [(listed[id]["pid"], listed[id]["status"]) for id in ids] == [(pid, "running") for pid in inits]
        assert list(threads.map(runtime.status, ids)) == ["running"] * COUNT
        assert list(threads.map(lambda id: json.loads(runtime.ok("ps", "--format", "json", id).stdout), ids)) == [
            [pid] for pid in inits]
        list(threads.map(lambda id: runtime.ok("kill", id, "KILL"), ids))
    assert [reap(pid) for pid in inits] == [137] * COUNT
    for id in ids:
        runtime.wait_for(id, "stopped")
        runtime.ok("delete", id)
    assert runtime.ok("list", "--quiet").stdout == ""
    assert before.settle(name, runtime.root) == before


def detached(runtime: Runtime, bundle: Path, id: str) -> int:
    """The pid of a new container's init."""
    pid_file = bundle / f"{id}.pid"
    runtime.ok("run", "--detach", "--bundle", bundle, "--pid-file", pid_file, id)
    return int(pid_file.read_text())
