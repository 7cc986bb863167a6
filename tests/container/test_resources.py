"""Resources on cgroup v2: what stands in the files, and what the kernel does when a limit is reached."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like
from tests.runtimes import Init, Runtime
from tests.world import CGROUP, Snapshot

pytestmark = pytest.mark.guest

MIB = 1 << 20


def create(runtime: Runtime, place: Path, name: str, resources: dict[str, Any], *args: str) -> Init:
    config = docker_like(process={"args": list(args) or ["sleep", "1000"]},
                         linux={"resources": resources, "cgroupsPath": f"/pyrunc-test/{name}"})
    return runtime.create(name, bundles.bundle(place / "bundle", config))


def files(name: str) -> dict[str, str]:
    """The container's cgroup as it is: file -> content."""
    folder = CGROUP / "pyrunc-test" / name
    return {path.name: path.read_text().strip() for path in folder.iterdir()
            if path.is_file() and path.stat().st_mode & 0o400}


@pytest.mark.parametrize(("resources", "expected"), [
    ({"memory": {"limit": 64 * MIB}}, {"memory.max": str(64 * MIB), "memory.swap.max": "max"}),
    ({"memory": {"limit": 64 * MIB, "swap": 80 * MIB, "reservation": 32 * MIB}},
     {"memory.max": str(64 * MIB), "memory.swap.max": str(16 * MIB), "memory.low": str(32 * MIB)}),
    ({"memory": {"limit": -1, "swap": -1}}, {"memory.max": "max", "memory.swap.max": "max"}),
    ({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}, {"memory.swap.max": "0"}),
    ({"cpu": {"quota": 20000, "period": 50000}}, {"cpu.max": "20000 50000"}),
    ({"cpu": {"quota": 20000}}, {"cpu.max": "20000 100000"}),
    ({"cpu": {"shares": 1024}}, {"cpu.weight": "100"}), ({"cpu": {"shares": 2}}, {"cpu.weight": "1"}),
    ({"cpu": {"shares": 262144}}, {"cpu.weight": "10000"}), ({"cpu": {"idle": 1}}, {"cpu.idle": "1"}),
    ({"cpu": {"quota": 20000, "burst": 5000}}, {"cpu.max.burst": "5000"}),
    ({"cpu": {"cpus": "1", "mems": "0"}}, {"cpuset.cpus": "1", "cpuset.mems": "0"}),
    ({"pids": {"limit": 17}}, {"pids.max": "17"}), ({"pids": {"limit": -1}}, {"pids.max": "max"}),
    ({"blockIO": {"weight": 500}}, {"io.weight": "default 4950"}),
    ({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
     {"hugetlb.2MB.max": str(4 * MIB), "hugetlb.2MB.rsvd.max": str(4 * MIB)}),
    ({"unified": {"memory.high": str(50 * MIB), "pids.max": "9", "memory.oom.group": "1"}},
     {"memory.high": str(50 * MIB), "pids.max": "9", "memory.oom.group": "1"}),
], ids=lambda value: ",".join(value) if isinstance(value, dict) else None)
def test_the_files_say_so(resources: dict[str, Any], expected: dict[str, str], runtime: Runtime, place: Path,
                          name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    init = create(runtime, place, name, resources)
    found = files(name)
    if "io.bfq.weight" in found and "io.weight" in expected:     # where the kernel has BFQ, it is BFQ's weight
        expected = {"io.bfq.weight": f"default {resources['blockIO']['weight']}"}
    assert {key: found.get(key) for key in expected} == expected
    assert found["cgroup.procs"].split() == [str(init.pid)]
    runtime.ok("delete", "--force", name)
    init.wait()
    assert before.settle(name, runtime.root) == before


@pytest.mark.spec("config-linux.md#unified", "a controller that is not there is an error")
@pytest.mark.spec("runtime.md#create", "what cannot be applied is an error")
@pytest.mark.spec("config-linux.md#huge-page-limits", "pageSize")
@pytest.mark.parametrize(("resources", "said"), [
    ({"memory": {"limit": 64 * MIB, "swap": 1 * MIB}}, "swap"),
    ({"unified": {"no.such": "1"}}, "no.such"),
    ({"unified": {"../escape": "1"}}, "../escape"),
    ({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, "3MB"),
    ({"cpu": {"cpus": "999"}}, "cpuset.cpus"),
])
def test_what_cannot_be_had_is_an_error(resources: dict[str, Any], said: str, runtime: Runtime, place: Path,
                                        name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    bundle = bundles.bundle(place / "bundle", docker_like(linux={"resources": resources}))
    outcome = runtime("create", "--bundle", bundle, name)
    assert outcome.status == 1 and said in outcome.stderr
    assert before.settle(name, runtime.root) == before


@pytest.mark.spec("config-linux.md#memory", "memory", "limit", "swap")
def test_too_much_memory_is_killed(runtime: Runtime, place: Path, name: str) -> None:
    init = create(runtime, place, name, {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}},
                  "dd", "if=/dev/zero", "of=/dev/null", "bs=32M", "count=1")
    runtime.ok("start", name)
    assert init.wait() == 137
    events = dict(line.split() for line in files(name)["memory.events"].splitlines())
    assert int(events["oom_kill"]) == 1


@pytest.mark.spec("config-linux.md#pids", "pids", "limit")
def test_too_many_processes_are_refused(runtime: Runtime, place: Path, name: str) -> None:
    init = create(runtime, place, name, {"pids": {"limit": 3}},
                  "sh", "-c", "sleep 100 & sleep 100 & sleep 100 & sleep 100 & wait")
    runtime.ok("start", name)
    assert init.wait() != 0 and "fork" in init.outcome.stderr


def test_a_limit_too_small_for_the_setup_names_the_cause(runtime: Runtime, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    limits = {"memory": {"limit": 4096, "swap": 4096}}
    bundle = bundles.bundle(place / "bundle", docker_like(linux={"resources": limits}))
    outcome = runtime("create", "--bundle", bundle, name)
    assert outcome.status == 1
    assert "container init was OOM-killed (memory limit too low?)" in outcome.stderr or "memory" in outcome.stderr
    if runtime.name == "pyrunc":
        assert "memory limit too low: no program starts with 4096 bytes, 1 MiB is enough" in outcome.stderr
        assert "at linux.resources.memory" in outcome.stderr
    assert before.settle(name, runtime.root) == before


# config-linux.md#cgroups-path: "If the value is specified, the runtime MUST consistently attach to the same place in
# the cgroups hierarchy given the same value of cgroupsPath."
@pytest.mark.spec("config-linux.md#cgroups-path", "cgroupsPath", "a path is absolute or relative",
                  "an absolute path counts from the mount point", "the same path is the same place")
def test_cgroups_path(runtime: Runtime, place: Path, name: str) -> None:
    for letter, path in (("a", f"/pyrunc-test/{name}/deep/er"), ("b", f"pyrunc-rel/{name}"), ("c", None)):
        id = f"{name}-{letter}"
        config = docker_like(process={"args": ["sleep", "100"]}, linux={"cgroupsPath": path})
        bundle = bundles.bundle(place / id, config)
        init = runtime.create(id, bundle)
        own = Path(f"/proc/{init.pid}/cgroup").read_text().strip()
        assert own == f"0::/{(path or id).lstrip('/')}"
        runtime.ok("delete", "--force", id)
        init.wait()


# "Runtimes MAY consider certain cgroupsPath values to be invalid, and MUST generate an error if this is the case."
@pytest.mark.spec("config-linux.md#cgroups-path", "an invalid path is an error")
@pytest.mark.parametrize("path", ["/", "/..", "a/../..", "/./"])
def test_a_cgroups_path_to_nowhere(path: str, runtime: Runtime, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    bundle = bundles.bundle(place / "bundle", docker_like(linux={"cgroupsPath": path}))
    outcome = runtime("create", "--bundle", bundle, name)
    assert outcome.status == 1 and "at linux.cgroupsPath in config.json" in outcome.stderr
    assert before.settle(name, runtime.root) == before


@pytest.mark.spec("config-linux.md#control-groups", "a cgroup that is not fit is an error")
def test_another_containers_cgroup_is_refused(runtime: Runtime, place: Path, name: str) -> None:
    init = create(runtime, place, name, {})
    bundle = bundles.bundle(place / "other", docker_like(linux={"cgroupsPath": f"/pyrunc-test/{name}"}))
    outcome = runtime("create", "--bundle", bundle, f"{name}-other")
    assert outcome.status == 1 and "container's cgroup is not empty" in outcome.stderr
    assert runtime.status(name) == "created"
    runtime.ok("delete", "--force", name)
    init.wait()
