"""The steps of steps/cgroup.py for limits, devices and delegation: the calls that each of them makes."""
from __future__ import annotations

import errno
import typing

import pytest

from pyrunc.config.types import Config
from pyrunc.engine.run import failure_text
from pyrunc.engine.step import Step
from pyrunc.errors import ConfigError, Refused
from pyrunc.kernel.recorder import Recorder
from pyrunc.request import Request
from pyrunc.steps import cgroup

from .test_steps import ROOT, applied, config, options, plan


# ---- limits -------------------------------------------------------------------------------------------------------
def limit(resources: dict[str, typing.Any], index: int = 0) -> Step:
    return [step for step in plan(config(resources)) if step.name == "cgroup.limit"][index]


def test_a_limit_is_one_write() -> None:
    assert applied(limit({"memory": {"limit": 1 << 30}})) == [("write_file", "memory.max", "1073741824", 50)]


def test_a_limit_that_is_none_may_lack_its_file() -> None:
    for resources in ({"memory": {"limit": 1 << 30, "swap": 1 << 30}}, {"pids": {"limit": -1}}, {"cpu": {"quota": -1}}):
        applied(limit(resources), Recorder(errors={"write_file": [errno.ENOENT]}))


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EOPNOTSUPP])
def test_bfq_or_else_io_weight(number: int) -> None:
    assert applied(limit({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}}),
                   Recorder(errors={"write_file": [number]})) == [
        ("write_file", "io.bfq.weight", "8:0 10", 50), ("write_file", "io.weight", "8:0 1", 50)]


MOUNT = "/sys/fs/cgroup"


@pytest.mark.parametrize(("files", "text"), [
    ({}, f"controller memory is not available in the cgroup v2 hierarchy at {MOUNT}"),
    ({f"{MOUNT}/cgroup.controllers": "cpu memoryless\n", "/proc/self/cgroup": "4:cpu,memory:/x\n0::/\n"},
     f"controller memory is not available in the cgroup v2 hierarchy at {MOUNT}: it is mounted as cgroup v1"),
    ({f"{MOUNT}/cgroup.controllers": "memory\n", f"{MOUNT}/c1/cgroup.controllers": "memory\n"},
     "this kernel has no memory.max"),
    ({f"{MOUNT}/cgroup.controllers": "memory\n", f"{MOUNT}/cgroup.procs": "1\n"},
     f"controller memory is not available in cgroup {MOUNT}/c1: {MOUNT} does not pass it on, processes are in it"),
    ({f"{MOUNT}/cgroup.controllers": "memory\n"},
     f"controller memory is not available in cgroup {MOUNT}/c1: {MOUNT} does not pass it on, it is not delegated"),
])
def test_who_lacks_the_controller(files: dict[str, str], text: str) -> None:
    step = limit({"memory": {"limit": 1 << 30}})
    with pytest.raises(Refused) as caught:
        applied(step, Recorder(files=files, errors={"write_file": [errno.ENOENT]}))
    # "no such file or directory" in it would make engines report a missing executable.
    assert caught.value.errno == 0 and caught.value.what == text


def test_v1_calls_io_blkio() -> None:
    step = limit({"blockIO": {"throttleReadBpsDevice": [{"major": 1, "minor": 0, "rate": 5}]}})
    with pytest.raises(Refused) as caught:
        applied(step, Recorder(files={"/proc/self/cgroup": "7:blkio:/\n"}, errors={"write_file": [errno.ENOENT]}))
    assert caught.value.what.endswith("it is mounted as cgroup v1")


def test_what_the_kernel_refuses_is_said_with_its_errno() -> None:
    step = limit({"cpu": {"cpus": "77"}})
    with pytest.raises(OSError) as caught:
        applied(step, Recorder(errors={"write_file": [errno.EINVAL]}))
    assert caught.value.errno == errno.EINVAL and failure_text(step, caught.value) == "cpuset.cpus = 77"


@pytest.mark.parametrize(("memory", "files", "text"), [
    ({"limit": 100 << 10}, {"memory.current": "102400\n"},
     "rejecting memory limit 102400 <= usage 102400: unable to set memory limit to 102400"),
    ({"limit": 101 << 10}, {"memory.current": "102400\n"}, ""),
    ({"limit": 101 << 10, "swap": 150 << 10}, {"memory.current": "102400\n", "memory.swap.current": "51200\n"},
     "rejecting memory+swap limit 153600 <= usage 153600: unable to set memory+swap limit to 153600"),
    ({"limit": 101 << 10, "swap": 151 << 10}, {"memory.current": "102400\n", "memory.swap.current": "51200\n"}, ""),
    ({"limit": -1, "swap": 99}, {"memory.current": "100\n"},
     "rejecting memory+swap limit 99 <= usage 100: unable to set memory+swap limit to 99"),
    ({"limit": 1 << 30}, {}, ""),
])
def test_check_before_update(memory: dict[str, int], files: dict[str, str], text: str) -> None:
    data = config({"memory": {**memory, "checkBeforeUpdate": True}})
    steps = [*plan(data), *cgroup.late_limits(Request(data, options(), ROOT))]
    [step] = [step for step in steps if step.name == "cgroup.usage"]
    if not text:
        applied(step, Recorder(files=files))
        return
    with pytest.raises(Refused) as caught:
        applied(step, Recorder(files=files))
    assert caught.value.what == text


# ---- little memory ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("resources", "late"), [
    ({"memory": {"limit": 1 << 20, "swap": 2 << 20, "reservation": 1}}, ["memory.max = 1048576"]),
    ({"memory": {"limit": (8 << 20) - 1}, "unified": {"memory.max": "4M"}},
     ["memory.max = 8388607", "memory.max = 4M"]),
    ({"memory": {"limit": 1 << 30}, "unified": {"memory.high": "512K"}}, ["memory.high = 512K"]),
    ({"unified": {"memory.max": "max", "memory.min": "4096"}}, []),
    ({"memory": {"limit": 8 << 20}}, []),
    ({"memory": {"limit": -1}}, []),
    ({}, []),
])
def test_little_memory_is_set_when_the_runtime_s_has_been_given_back(resources: dict[str, typing.Any],
                                                                     late: list[str]) -> None:
    data = config(resources)
    early, then = plan(data), list(cgroup.late_limits(Request(data, options(), ROOT)))
    assert [step.describe() for step in then if step.name == "cgroup.late_limit"] == late
    assert [step.name for step in then] == (["barrier", *["cgroup.late_limit"] * len(late), "barrier"] if late else [])
    assert cgroup.has_little(data) == bool(late)
    written = [step.describe() for step in early if step.name == "cgroup.limit"]
    # Nothing is lost, nor written twice, and a restore sets everything at once.
    assert sorted(written + late) == sorted(
        step.describe() for step in cgroup.limits(Request(data, options(), ROOT), at_once=True)
        if step.name == "cgroup.limit")


@pytest.mark.parametrize(("resources", "where"), [
    ({"memory": {"limit": 65535}}, "memory.limit"), ({"memory": {"limit": 1}}, "memory.limit"),
    ({"unified": {"memory.max": "63K"}}, 'unified["memory.max"]'),
    ({"unified": {"memory.max": "0"}}, 'unified["memory.max"]'),
])
def test_what_nothing_starts_with_is_refused_up_front(resources: dict[str, typing.Any], where: str) -> None:
    with pytest.raises(ConfigError, match="memory limit too low") as caught:
        plan(config(resources))
    assert caught.value.where == f"linux.resources.{where}"
    plan(config({"memory": {"limit": 65536, "swap": 65536}, "unified": {"memory.high": "0"}}))


class Overfull(Recorder):
    """The kernel kills when memory.max is written."""

    def oom_kills(self, cgroup_fd: int) -> int:
        return 3 + len([call for call in self.calls if call[0] == "write_file"])


def test_a_limit_that_the_init_does_not_fit_into() -> None:
    data = config({"memory": {"limit": 1 << 16}})
    [step] = [step for step in cgroup.late_limits(Request(data, options(), ROOT)) if step.name == "cgroup.late_limit"]
    assert applied(step)[-2:] == [("write_file", "memory.max", "65536", 50), ("oom_kills", 50)]
    with pytest.raises(Refused) as caught:
        applied(step, Overfull(files={"memory.current": "212992\n"}))
    assert caught.value.what == (
        "container init was OOM-killed (memory limit too low?): memory.max = 65536, and 212992 bytes were in use")


# ---- devices and delegation -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("old", "calls"), [
    ([], [("bpf_attach", 50, 100, -1)]),
    ([7], [("bpf_attach", 50, 101, 100)]),
    ([7, 8], [("bpf_attach", 50, 102, -1), ("bpf_detach", 50, 100), ("bpf_detach", 50, 101)]),
])
def test_the_filter_replaces_older_ones(old: list[int], calls: list[tuple[typing.Any, ...]]) -> None:
    class Filtered(Recorder):
        def bpf_query(self, cgroup_fd: int) -> list[int]:
            return old

    kernel = Filtered()
    made = applied(plan(config())[-1], kernel)
    assert [call for call in made if call[0] in ("bpf_attach", "bpf_detach")] == calls
    assert kernel.fds == {}


CGROUP_MOUNT = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]}
USER_NS = [{"type": "cgroup"}, {"type": "user"}]
MAPS = [{"containerID": 0, "hostID": 100000, "size": 1000}, {"containerID": 1000, "hostID": 7, "size": 1}]


def owner(uid: int = 0, mount: dict[str, typing.Any] | None = None, namespaces: typing.Any = None) -> int | None:
    spaces = USER_NS if namespaces is None else namespaces
    data: dict[str, typing.Any] = dict(config(namespaces=spaces, uidMappings=MAPS))
    data["mounts"] = [{**CGROUP_MOUNT, **(mount or {})}]
    data["process"] = {"user": {"uid": uid, "gid": 0}}
    steps = [step for step in plan(typing.cast(Config, data)) if step.name == "cgroup.delegate"]
    return steps[0].uid if steps else None  # type: ignore[attr-defined]


# config-linux.md#cgroup-ownership: "the owner ... to the host uid that maps to the value of process.user.uid in the
# container namespace"
def test_owner() -> None:
    assert owner() == 100000 and owner(999) == 100999 and owner(1000) == 7
    assert owner(1001) is None       # unmapped: the process step says so
    assert owner(mount={"destination": "/sys/fs/cgroup/"}) == 100000


# "A runtime SHOULD NOT change the ownership of a container cgroup unless it will also create a new cgroup namespace",
# "if and only if the cgroup filesystem is to be mounted read/write"
@pytest.mark.spec("config-linux.md#cgroup-ownership", "without a cgroup namespace of its own it is not delegated",
                  "the cgroup is delegated where it is mounted to be written")
@pytest.mark.parametrize(("mount", "namespaces"), [
    ({"options": ["rw", "ro"]}, None), ({"source": "cgroup2"}, None), ({"destination": "/sys/fs"}, None),
    ({}, [{"type": "user"}]), ({}, [{"type": "cgroup", "path": "/proc/1/ns/cgroup"}, {"type": "user"}]),
])
def test_no_delegation(mount: dict[str, typing.Any], namespaces: typing.Any) -> None:
    assert owner(mount=mount, namespaces=namespaces) is None


def test_without_a_user_namespace_uids_are_the_host_s() -> None:
    assert owner(1000, namespaces=[{"type": "cgroup"}]) == 1000
    assert owner(0, namespaces=[{"type": "cgroup"}]) is None     # root owns it already


# config-linux.md#cgroup-ownership: "Note that not all files listed in /sys/kernel/cgroup/delegate necessarily exist in
# every cgroup. Runtimes MUST NOT fail in this scenario"
@pytest.mark.spec("config-linux.md#cgroup-ownership", "a listed file that is not there is no error",
                  "only the files meant for it are delegated")
def test_delegated_files() -> None:
    step = cgroup.Delegate(uid=7)
    kernel = Recorder(files={"/sys/kernel/cgroup/delegate": "cgroup.procs\nmemory.reclaim\n"},
                      modes={"memory.reclaim": None})
    changed = [call for call in applied(step, kernel) if call[0] == "chown"]
    assert changed == [("chown", 50, 7, -1), ("chown", 100, 7, -1)]
    assert kernel.fds == {}


# "If the /sys/kernel/cgroup/delegate file does not exist, the runtime MUST fall back to using the following list"
@pytest.mark.spec("config-linux.md#cgroup-ownership", "an old kernel has a list, too")
def test_delegated_files_of_an_old_kernel() -> None:
    opened = [call[1] for call in applied(cgroup.Delegate(uid=7), Recorder()) if call[0] == "open"]
    assert opened == ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]


def test_without_a_cgroup_nothing_is_delegated() -> None:
    assert applied(cgroup.Delegate(uid=7), fd=-1) == []
