"""How little memory a container may have, and how little it keeps while it waits for `start` (docs/memory.md)."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, seccomp_profile, world
from tests.bundles import docker_like
from tests.runtimes import Runtime

MIB = 1 << 20


def small(place: Path, limit: int, *args: str, **changes: Any) -> Path:
    """A bundle like an engine's, with its seccomp profile and this much memory."""
    config = docker_like(process={"noNewPrivileges": True, "args": [*(args or ("/bin/true",))]},
                         linux={"seccomp": seccomp_profile.engine_sized(), "resources": {"memory": {"limit": limit}}})
    return bundles.bundle(place / "b", bundles.merge(config, changes))


def values(name: str) -> dict[str, int]:
    """What is in the cgroup's files."""
    group = world.CGROUP / name
    events = dict(line.split() for line in (group / "memory.events").read_text().splitlines())
    return {"max": int((group / "memory.max").read_text()), "current": int((group / "memory.current").read_text()),
            "oom_kill": int(events["oom_kill"])}


@pytest.mark.guest
@pytest.mark.parametrize("limit", [MIB, MIB // 2])
def test_one_mebibyte_is_enough(limit: int, runtime: Runtime, place: Path, name: str) -> None:
    runtime.ok("run", "--bundle", small(place, limit), name)


@pytest.mark.guest
def test_exec_into_one_mebibyte(runtime: Runtime, place: Path, name: str) -> None:
    """Neither process is killed for what the runtime needs, and both are in the cgroup."""
    runtime.ok("run", "--detach", "--bundle", small(place, MIB, "sleep", "1000"), name)
    runtime.ok("exec", name, "true")
    assert len(runtime.ok("exec", name, "cat", "/sys/fs/cgroup/cgroup.procs").stdout.split()) == 2
    found = values(name)
    assert (found["max"], found["oom_kill"]) == (MIB, 0)
    runtime.ok("delete", "--force", name)


@pytest.mark.guest
def test_exec_where_neither_pid_nor_user_namespace_is_the_host_s(runtime: Runtime, place: Path, name: str) -> None:
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle = small(place, MIB, "sleep", "1000", linux={
        "uidMappings": maps, "gidMappings": maps,
        "namespaces": bundles.namespaces("pid", "network", "ipc", "uts", "mount", "cgroup", "user")})
    runtime.ok("run", "--detach", "--bundle", bundle, name)
    runtime.ok("exec", name, "true")
    assert values(name)["oom_kill"] == 0
    runtime.ok("delete", "--force", name)


@pytest.mark.guest
def test_a_container_that_waits_has_given_the_runtime_s_memory_back(runtime: Runtime, place: Path, name: str) -> None:
    """Its own and what it shared: whatever the limit is."""
    runtime.ok("create", "--bundle", small(place, 64 * MIB), name)
    group = world.CGROUP / name
    pid = (group / "cgroup.procs").read_text().strip()
    [own] = [line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "RssAnon" in line]
    assert int(own) < 300
    # The kernel charges ahead, up to 64 pages for each processor.
    deadline = time.monotonic() + 60
    while (current := values(name)["current"]) >= MIB:                   # and gives back in its own time
        assert time.monotonic() < deadline, current
        time.sleep(0.1)
    runtime.ok("delete", "--force", name)


@pytest.mark.guest
@pytest.mark.parametrize(("limit", "said"), [
    (64 << 10, "container init was OOM-killed (memory limit too low?)"),
    (16 << 10, "memory limit too low: no program starts with 16384 bytes")])
def test_too_little_is_told_as_such(limit: int, said: str, runtime: Runtime, place: Path, name: str) -> None:
    """In one line that names the property, and nothing is left."""
    bundle = small(place, limit, linux={"seccomp": None})          # whose compiled filter would stay
    before = world.Snapshot.take(name, runtime.root)
    outcome = runtime("run", "--bundle", bundle, name)
    assert outcome.status == 1
    [line] = outcome.stderr.splitlines()
    assert said in line and "at linux.resources.memory.limit in config.json" in line
    assert before.settle(name, runtime.root) == before


@pytest.mark.guest
def test_files_that_are_copied_into_a_tmpfs_count(runtime: Runtime, place: Path, name: str) -> None:
    """What a container has put into its memory before the limit is in force is below the limit, or it ends."""
    tmpfs = {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
    bundle = small(place, MIB, mounts=[*bundles.MOUNTS, tmpfs], linux={"seccomp": None})
    (bundle / "rootfs/data").mkdir()
    (bundle / "rootfs/data/much").write_bytes(bytes(2 * MIB))
    before = world.Snapshot.take(name, runtime.root)
    outcome = runtime("run", "--bundle", bundle, name)
    assert outcome.status == 1
    assert "container init was OOM-killed (memory limit too low?): memory.max = 1048576" in outcome.stderr
    assert before.settle(name, runtime.root) == before
