"""update: what stays, what is written, and that a failure takes everything back."""
from __future__ import annotations

import errno
import typing
from pathlib import Path

import pytest

from pyrunc import plan as plans
from pyrunc.cgroups import resources, update
from pyrunc.config.types import Resources
from pyrunc.engine.facts import Facts
from pyrunc.engine.run import Engine
from pyrunc.errors import ConfigError, StepError
from pyrunc.host import Host
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.state import process_id
from pyrunc.state.container import Container
from pyrunc.steps import update as steps

from .hierarchy import Tree
from .test_limits import MIB, container, disk

__all__ = ["disk"]
Data = dict[str, typing.Any]


def written(saved: Data, new: Data) -> list[tuple[str, str]]:
    found = update.settings(typing.cast(Resources, saved), typing.cast(Resources, new))
    return [(setting.file, setting.value) for setting in found]


def merged(saved: Data, new: Data) -> Data:
    return typing.cast(Data, update.merged(typing.cast(Resources, saved), typing.cast(Resources, new)))


@pytest.mark.parametrize(("saved", "new", "files"), [
    ({"cpu": {"quota": 5000, "period": 20000}}, {"cpu": {"quota": 8000}}, [("cpu.max", "8000 20000")]),
    ({"cpu": {"quota": 5000, "period": 20000}}, {"cpu": {"period": 10000}}, [("cpu.max", "5000 10000")]),
    ({"cpu": {"quota": 5000, "period": 20000}}, {"cpu": {"shares": 2}}, [("cpu.weight", "1")]),
    ({}, {"cpu": {"quota": 8000}}, [("cpu.max", "8000 100000")]),
    ({"memory": {"limit": 100}}, {"memory": {"swap": 150}}, [("memory.swap.max", "50")]),
    ({"memory": {"limit": 100, "swap": 150}}, {"memory": {"limit": 120}}, [("memory.max", "120")]),
    ({"memory": {"limit": 100}}, {"memory": {"limit": 200, "swap": 300}},
     [("memory.swap.max", "100"), ("memory.max", "200")]),
    ({"memory": {"limit": 100}}, {"memory": {"limit": -1}}, [("memory.swap.max", "max"), ("memory.max", "max")]),
    ({"memory": {"limit": 100}}, {"memory": {"swap": 150}, "unified": {"memory.max": "7"}},
     [("memory.swap.max", "50"), ("memory.max", "7")]),
    ({"pids": {"limit": 5}}, {"pids": {}}, []),
    ({"pids": {"limit": 5}}, {"devices": [{"allow": True, "access": "rwm"}]}, []),
    ({}, {}, []),
])
def test_what_is_written(saved: Data, new: Data, files: list[tuple[str, str]]) -> None:
    assert written(saved, new) == files


def test_swap_without_any_limit() -> None:
    with pytest.raises(ConfigError, match="unable to set swap limit without memory limit"):
        written({}, {"memory": {"swap": 150}})
    with pytest.raises(ConfigError, match="is below the memory limit"):
        written({"memory": {"limit": 100}}, {"memory": {"swap": 50}})


@pytest.mark.parametrize(("saved", "new", "expected"), [
    ({"cpu": {"quota": 1, "shares": 5}, "pids": {"limit": 1}}, {"cpu": {"quota": 2}},
     {"cpu": {"quota": 2, "shares": 5}, "pids": {"limit": 1}}),
    ({"cpu": {"shares": 5}}, {"cpu": {"idle": 1}}, {"cpu": {"shares": 0, "idle": 1}}),
    ({"cpu": {"shares": 5}}, {"cpu": {"idle": 0, "shares": 7}}, {"cpu": {"shares": 7, "idle": 0}}),
    ({"memory": {"limit": 5, "swap": 9}}, {"memory": {"limit": -1}}, {"memory": {"limit": -1, "swap": -1}}),
    ({"memory": {"limit": 5}}, {"memory": {"limit": -1, "swap": 7}}, {"memory": {"limit": -1, "swap": 7}}),
    ({"unified": {"a.b": "1", "c.d": "2"}}, {"unified": {"a.b": "3"}}, {"unified": {"a.b": "3"}}),
    ({"devices": [{"allow": False, "access": "rwm"}]}, {"devices": []},
     {"devices": [{"allow": False, "access": "rwm"}]}),
    ({"pids": {"limit": 5}}, {"pids": None}, {"pids": {"limit": 5}}),
    ({"hugepageLimits": [1]}, {"hugepageLimits": [2]}, {"hugepageLimits": [2]}),
])
def test_what_is_saved(saved: Data, new: Data, expected: Data) -> None:
    before = repr((saved, new))
    assert merged(saved, new) == expected
    assert repr((saved, new)) == before, "neither argument is changed"


# ---- what was there before ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("setting", "files", "expected"), [
    (("memory.max", "5"), {"memory.max": "max\n"}, [("memory.max", "max")]),
    (("cpu.max", "5 10"), {"cpu.max": "max 100000\n"}, [("cpu.max", "max 100000")]),
    (("cpuset.cpus", "0"), {"cpuset.cpus": "\n"}, []),
    (("io.max", "8:0 rbps=5"), {"io.max": "8:16 rbps=1 wbps=max riops=max wiops=max\n"},
     [("io.max", "8:0 rbps=max wbps=max riops=max wiops=max")]),
    (("io.max", "8:16 rbps=5"), {"io.max": "8:16 rbps=1 wbps=max riops=max wiops=max\n"},
     [("io.max", "8:16 rbps=1 wbps=max riops=max wiops=max")]),
    (("io.weight", "50"), {"io.weight": "default 100\n8:0 70\n"}, [("io.weight", "default 100")]),
    (("io.weight", "8:0 50"), {"io.weight": "default 100\n8:0 70\n"}, [("io.weight", "8:0 70")]),
    (("io.weight", "8:1 50"), {"io.weight": "default 100\n8:0 70\n"}, [("io.weight", "8:1 default")]),
    (("rdma.max", "a hca_handle=1"), {"rdma.max": "a hca_handle=max hca_object=3\nb hca_handle=1 hca_object=1\n"},
     [("rdma.max", "a hca_handle=max hca_object=3")]),
    (("future.map", "k 5"), {"future.map": "j 1\nk 2\n"}, [("future.map", "k 2")]),
    (("future.map", "x 5"), {"future.map": "j 1\nk 2\n"}, []),
    (("cpu.idle", "1"), {"cpu.idle": "0\n", "cpu.weight": "59\n"}, [("cpu.idle", "0"), ("cpu.weight", "59")]),
    (("cpu.idle", "0"), {"cpu.idle": "1\n", "cpu.weight": "0\n"}, [("cpu.idle", "1")]),
    (("cpu.idle", "0"), {"cpu.idle": "1\n", "cpu.weight": "1\n"}, [("cpu.idle", "1")]),
    (("gone.max", "5"), {}, []),
])
def test_previous(setting: tuple[str, str], files: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert update.previous(Recorder(files=files), 5, resources.Setting(*setting, where="")) == expected


def owner(path: str, mark: str = "c1:n", **more: typing.Any) -> Container:
    """The container that has a cgroup."""
    return Container("/root", "c1", {"cgroup": path, "mark": mark, **more}, True)


# ---- the plan -------------------------------------------------------------------------------------------------------
def plan(saved: Data, new: Data) -> list[str]:
    made = plans.update(typing.cast(Resources, new), typing.cast(Resources, saved), Host(),
                        owner("/sys/fs/cgroup/c", "c:n"), {})
    return [f"{step.name}: {step.describe()}" for step in made]


def test_plan() -> None:
    assert plan({"memory": {"checkBeforeUpdate": True}}, {"memory": {"limit": 7}, "pids": {"limit": 0}}) == [
        "update.open: open cgroup /sys/fs/cgroup/c",
        "cgroup.usage: check that memory in use is below 7",
        "update.limit: pids.max = 1",
        "update.limit: memory.max = 7"]


def test_burst_is_tried_before_and_after_the_quota() -> None:
    assert plan({}, {"cpu": {"quota": 9000, "burst": 5000}})[1:] == [
        "update.limit: cpu.max.burst = 5000 (if refused, again after cpu.max)",
        "update.limit: cpu.max = 9000 100000",
        "update.limit: cpu.max.burst = 5000"]
    assert plan({}, {"cpu": {"burst": 5000}})[1:] == ["update.limit: cpu.max.burst = 5000"]


def test_what_only_v1_has_is_refused_when_it_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"no swappiness of its own: at linux\.resources\.memory\.swappiness"):
        plan({}, {"memory": {"swappiness": 5}})
    # A container that an older pyrunc made may have one.
    assert plan({"memory": {"swappiness": 5}}, {"pids": {"limit": 5}})[1:] == ["update.limit: pids.max = 5"]


def test_only_einval_is_put_off() -> None:
    setting = resources.Setting("cpu.max.burst", "5", "linux.resources.cpu.burst")
    change = steps.Change(setting=setting, mount="/m", path="/m/c", put_off=True)
    change.apply(Recorder(errors={"write_file": [errno.EINVAL]}), Facts())
    with pytest.raises(PermissionError):
        change.apply(Recorder(errors={"write_file": [errno.EACCES]}), Facts())


def test_a_foreign_cgroup_is_not_opened(tree: Tree) -> None:
    tree.make("x", "c2:other").close()
    data = typing.cast(Resources, {"unified": {"cgroup.max.depth": "1"}})
    had = {"cgroup_inode": 1, "cgroup_made": True, "boot_id": process_id.boot_id()}
    cases: list[tuple[str, dict[str, typing.Any], str]] = [
        ("x", had, "is gone or no longer the container's"), ("no-such", {}, "has no cgroup")]
    for path, more, words in cases:
        engine = Engine(plans.update(data, {}, Host(), owner(tree.path(path), **more), {}), Kernel())
        with pytest.raises(StepError, match=words):
            engine.run()
    assert tree.read("x/cgroup.max.depth") == "max"


def change(tree: Tree, saved: Data, new: Data) -> None:
    Engine(plans.update(typing.cast(Resources, new), typing.cast(Resources, saved), Host(),
                        owner(tree.path("c")), {}), Kernel()).run()


def values(tree: Tree) -> dict[str, str]:
    """Every file of the cgroup that can be written and read."""
    found = {}
    for path in Path(tree.path("c")).iterdir():
        if path.is_file() and path.stat().st_mode & 0o600 == 0o600 and not path.name.endswith(".pressure"):
            try:
                found[path.name] = path.read_text()
            except OSError:
                continue
    return found


@pytest.mark.guest
def test_limits_of_a_running_container_change(tree: Tree, disk: str) -> None:
    saved: Data = {"memory": {"limit": 64 * MIB}, "cpu": {"quota": 50000, "burst": 10000, "shares": 512}}
    container(tree, saved)
    tree.sleep("c")
    device = dict(zip(("major", "minor"), map(int, disk.split(":"))))
    change(tree, saved, {"memory": {"limit": 32 * MIB, "swap": 48 * MIB}, "cpu": {"quota": 5000, "burst": 2000},
                         "pids": {"limit": 33},
                         "blockIO": {"throttleReadBpsDevice": [{**device, "rate": 1000}]}})
    now = values(tree)
    assert (now["memory.max"], now["memory.swap.max"], now["pids.max"], now["cpu.max"], now["cpu.max.burst"]) == (
        f"{32 * MIB}\n", f"{16 * MIB}\n", "33\n", "5000 100000\n", "2000\n")
    assert now["cpu.weight"] == "59\n" and now["io.max"] == f"{disk} rbps=1000 wbps=max riops=max wiops=max\n"
    change(tree, saved, {"cpu": {"quota": 80000, "burst": 70000}})
    assert tree.read("c/cpu.max") == "80000 100000" and tree.read("c/cpu.max.burst") == "70000"


@pytest.mark.guest
def test_a_failure_takes_everything_back(tree: Tree, disk: str) -> None:
    device = dict(zip(("major", "minor"), map(int, disk.split(":"))))
    saved: Data = {"memory": {"limit": 64 * MIB, "reservation": MIB}, "pids": {"limit": 9},
                   "cpu": {"quota": 50000, "burst": 40000, "shares": 512},
                   "blockIO": {"throttleWriteBpsDevice": [{**device, "rate": 7000}]}}
    container(tree, saved)
    tree.sleep("c")
    before = values(tree)
    assert len(before) > 20
    for cpu in ({"quota": 60000, "burst": 55000}, {"quota": 5000, "burst": 4000}, {"idle": 1}, {"shares": 2}):
        with pytest.raises(StepError, match=r"controller \"nosuch\" not available.*unified\[\"nosuch.max\"\]"):
            change(tree, saved, {
                "memory": {"limit": 32 * MIB, "swap": 40 * MIB, "reservation": 2 * MIB},
                "pids": {"limit": -1}, "cpu": cpu,
                "hugepageLimits": [{"pageSize": "2MB", "limit": 2 * MIB}],
                "blockIO": {"throttleReadBpsDevice": [{**device, "rate": 1000}],
                            "throttleWriteBpsDevice": [{**device, "rate": 0}]},
                "unified": {"memory.high": str(20 * MIB), "nosuch.max": "1"}})
        assert values(tree) == before


@pytest.mark.spec("config-linux.md#memory", "a limit below the use is refused")
@pytest.mark.guest
def test_usage_is_checked(tree: Tree) -> None:
    saved = {"memory": {"limit": 64 * MIB, "checkBeforeUpdate": True}}
    container(tree, saved)
    tree.born("c")
    with pytest.raises(StepError, match=r"rejecting memory limit 4096 <= usage .*: unable to set memory limit to 4096"):
        change(tree, saved, {"memory": {"limit": 4096}, "pids": {"limit": 5}})
    assert tree.read("c/memory.max") == str(64 * MIB) and tree.read("c/pids.max") == "max"
    assert tree.processes[0].poll() is None
