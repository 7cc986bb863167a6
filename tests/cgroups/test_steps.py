"""The steps of steps/cgroup.py: which are planned for which config, and the calls each of them makes."""
from __future__ import annotations

import errno
import typing

import pytest

from pyrunc.config.types import Config
from pyrunc.engine.facts import Facts
from pyrunc.engine.run import failure_text
from pyrunc.engine.step import PARENT, Step
from pyrunc.errors import ConfigError, Refused
from pyrunc.host import Host
from pyrunc.kernel.recorder import Recorder
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import cgroup

ROOT = Host(euid=0)
USER = Host(euid=1000, cgroup_own="/user.slice/session-1.scope")
NESTED = Host(euid=0, in_userns=True)
FILES = {"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": "cpu\n", "cgroup.type": "domain\n",
         "cgroup.events": "populated 0\nfrozen 0\n"}


def config(resources: dict[str, typing.Any] | None = None, cgroups_path: str = "/c1", **linux: typing.Any) -> Config:
    linux["cgroupsPath"] = cgroups_path
    if resources is not None:
        linux["resources"] = resources
    return typing.cast(Config, {"ociVersion": "1.3.0", "linux": linux})


def options(**given: typing.Any) -> Options:
    return Options(**{"id": "c1", "nonce": "n", **given})


def plan(data: Config, host: Host = ROOT, **given: typing.Any) -> list[Step]:
    want = Request(data, options(**given), host)
    return [*cgroup.create(want), *cgroup.limits(want)]


def described(steps: list[Step]) -> list[tuple[str, str, str]]:
    return [(step.name, step.where, step.describe()) for step in steps]


def applied(step: Step, kernel: Recorder | None = None, fd: int = 50) -> list[tuple[typing.Any, ...]]:
    kernel, facts = kernel or Recorder(), Facts()
    facts.cgroup_fd = fd
    step.apply(kernel, facts)
    return kernel.calls


# ---- which steps --------------------------------------------------------------------------------------------------
def test_a_plain_container() -> None:
    steps = plan(config())
    assert described(steps) == [
        ("cgroup.create", "linux.cgroupsPath", "make cgroup /sys/fs/cgroup/c1"),
        ("cgroup.devices", "", "attach a device filter: deny everything, with 11 exceptions")]
    assert all(step.side == PARENT and step.spec.startswith("config-linux.md#") for step in steps)


def test_one_step_for_each_value() -> None:
    data = config({"memory": {"limit": 1 << 30, "swap": 2 << 30, "checkBeforeUpdate": True}, "cpu": {"shares": 1024},
                   "blockIO": {"weight": 500}, "pids": {"limit": 0}, "unified": {"memory.high": "1G"},
                   "devices": [{"allow": False, "access": "rwm"}]})
    assert described(plan(data))[1:] == [
        ("cgroup.usage", "linux.resources.memory.checkBeforeUpdate", "check that memory in use is below 1073741824"),
        ("cgroup.limit", "linux.resources.pids.limit", "pids.max = 1"),
        ("cgroup.limit", "linux.resources.memory.swap", "memory.swap.max = 1073741824"),
        ("cgroup.limit", "linux.resources.memory.limit", "memory.max = 1073741824"),
        ("cgroup.limit", "linux.resources.blockIO.weight", "io.bfq.weight = 500 (or io.weight = 4950)"),
        ("cgroup.limit", "linux.resources.cpu.shares", "cpu.weight = 100"),
        ("cgroup.limit", 'linux.resources.unified["memory.high"]', "memory.high = 1G"),
        ("cgroup.devices", "linux.resources.devices", "attach a device filter: deny everything, with 11 exceptions")]


# config-linux.md#unified: "If the conversion is not possible the runtime MUST generate an error."
def test_what_only_v1_has_is_an_error() -> None:
    for resources in ({"memory": {"kernel": 5, "swappiness": 1}, "pids": {"limit": 5}}, {"memory": {"kernel": 5}}):
        with pytest.raises(ConfigError) as caught:
            plan(config(resources))
        assert caught.value.where == "linux.resources.memory.kernel"


def test_privileged_and_unprivileged_need_no_device_filter() -> None:
    everything = config({"devices": [{"allow": True, "access": "rwm"}]})
    assert [step.name for step in plan(everything)] == ["cgroup.create"]
    assert [step.name for step in plan(config(), NESTED)] == ["cgroup.create"]
    assert [step.name for step in plan(config(cgroups_path=""), USER)] == ["cgroup.create"]


@pytest.mark.parametrize(("given", "born", "later"), [
    ({}, True, False), ({"cgroup_manager": "disabled"}, False, False)])
def test_where_the_init_gets_in(given: dict[str, str], born: bool, later: bool) -> None:
    assert cgroup.born_inside(Request(config(), options(**given), ROOT)) is born
    assert cgroup.joins_later(Request(config(), options(**given), ROOT)) is later
    assert list(cgroup.join(Request(config(), options(**given), ROOT))) == []


def test_disabled() -> None:
    assert plan(config(), cgroup_manager="disabled") == []
    with pytest.raises(ConfigError, match=r"^pids.max cannot be set: cgroups are disabled: at linux"):
        plan(config({"pids": {"limit": 1}}), cgroup_manager="disabled")


def test_no_hierarchy() -> None:
    nowhere = Host(euid=0, cgroup_mount="")
    with pytest.raises(ConfigError, match=r"memory.max cannot be set: no cgroup v2 hierarchy is mounted") as caught:
        plan(config({"memory": {"limit": 1 << 30}}), nowhere)
    assert caught.value.where == "linux.resources.memory.limit"
    with pytest.raises(ConfigError, match="no cgroup v2 hierarchy is mounted; --cgroup-manager disabled does without"):
        plan(config(), nowhere)
    assert plan(config(), nowhere, cgroup_manager="disabled") == []


def test_no_hierarchy_rootless() -> None:
    nowhere = Host(euid=1000, cgroup_mount="")
    assert plan(config(cgroups_path=""), nowhere) == []
    with pytest.raises(ConfigError):
        plan(config(cgroups_path="/x"), nowhere)
    with pytest.raises(ConfigError):
        plan(config({"pids": {"limit": 5}}, cgroups_path=""), nowhere)


# ---- making -------------------------------------------------------------------------------------------------------
def test_create_walks_down_and_marks() -> None:
    kernel, facts = Recorder(files=FILES), Facts()
    step = plan(config(cgroups_path="/a/c1"))[0]
    step.apply(kernel, facts)
    opened = 0x10000 | 0x20000       # O_DIRECTORY | O_NOFOLLOW
    assert [call for call in kernel.calls if call[0] != "read_file"] == [
        ("open", "/sys/fs/cgroup", opened, 0, -100),
        ("write_file", "cgroup.subtree_control", "+memory +pids", 100),
        ("mkdir", "a", 0o1755, 100), ("open", "a", opened, 0, 100), ("close", 100),
        ("write_file", "cgroup.subtree_control", "+memory +pids", 101),
        ("mkdir", "c1", 0o1755, 101), ("open", "c1", opened, 0, 101), ("close", 101),
        ("setxattr", 102, "trusted.pyrunc", b"c1:n")]
    assert facts.cgroup_fd == 102 and list(kernel.fds) == [102]


def test_nothing_is_enabled_twice() -> None:
    kernel = Recorder(files={**FILES, "cgroup.subtree_control": "cpu memory pids\n"})
    plan(config())[0].apply(kernel, Facts())
    assert not [call for call in kernel.calls if call[0] == "write_file"]


def test_without_cap_sys_admin_the_mark_is_a_user_attribute() -> None:
    kernel = Recorder(files=FILES, errors={"setxattr": [errno.EPERM]})
    plan(config())[0].apply(kernel, Facts())
    assert [call[2] for call in kernel.calls if call[0] == "setxattr"] == ["trusted.pyrunc", "user.pyrunc"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_controllers_that_may_not_be_enabled(number: int) -> None:
    """Not delegated: no second try for each of them; a limit that needs one says so itself."""
    kernel = Recorder(files=FILES, errors={"write_file": [number]})
    plan(config())[0].apply(kernel, Facts())
    assert len([call for call in kernel.calls if call[0] == "write_file"]) == 1


def test_controllers_one_by_one_when_not_all_at_once() -> None:
    kernel = Recorder(files=FILES, errors={"write_file": [errno.EINVAL, errno.EINVAL]})
    plan(config())[0].apply(kernel, Facts())
    assert [call[2] for call in kernel.calls if call[0] == "write_file"] == ["+memory +pids", "+memory", "+pids"]


@pytest.mark.parametrize(("resources", "written"), [
    ({}, ["+memory +pids"]),
    ({"pids": {"limit": 1}}, ["+memory +pids", "+pids"]),
    ({"pids": {"limit": 1}, "memory": {"limit": 1 << 30}}, ["+memory +pids"]),
])
def test_thread_mode_only_for_limits_that_ask_for_it(resources: dict[str, typing.Any], written: list[str]) -> None:
    kernel = Recorder(files=FILES, errors={"write_file": [errno.EBUSY]})
    plan(config(resources))[0].apply(kernel, Facts())
    assert [call[2] for call in kernel.calls if call[0] == "write_file"] == written


def test_domain_controllers_are_refused_in_thread_mode() -> None:
    kernel = Recorder(files={**FILES, "cgroup.type": "domain invalid\n"})
    step = plan(config({"memory": {"limit": 1 << 30}}))[0]
    with pytest.raises(Refused) as caught:
        step.apply(kernel, Facts())
    assert caught.value.what == \
        "cgroup /sys/fs/cgroup/c1 is in thread mode (domain invalid), which excludes controller memory"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV])
def test_a_vanished_parent_is_made_again(number: int) -> None:
    kernel, facts = Recorder(files=FILES, errors={"mkdir": [0, number]}), Facts()
    plan(config(cgroups_path="/a/c1"))[0].apply(kernel, facts)
    assert [call[1] for call in kernel.calls if call[0] == "mkdir"] == ["a", "c1", "a", "c1"]
    assert list(kernel.fds) == [facts.cgroup_fd]


def test_an_existing_cgroup_is_used_when_it_is_empty() -> None:
    kernel, facts = Recorder(files=FILES, errors={"mkdir": [errno.EEXIST]}), Facts()
    plan(config())[0].apply(kernel, facts)
    assert facts.cgroup_fd >= 0


@pytest.mark.parametrize(("events", "text"), [
    ("populated 1\nfrozen 0\n", "container's cgroup is not empty: 2 process(es) found: /sys/fs/cgroup/c1"),
    ("populated 0\nfrozen 1\n", "container's cgroup unexpectedly frozen: /sys/fs/cgroup/c1"),
])
def test_unfit_cgroups(events: str, text: str) -> None:
    kernel, facts = Recorder(files={**FILES, "cgroup.events": events, "./cgroup.procs": "12\n13\n"}), Facts()
    step = plan(config())[0]
    with pytest.raises(Refused) as caught:
        step.apply(kernel, facts)
    assert caught.value.what == text
    assert facts.cgroup_fd == -1 and kernel.fds == {}
    assert not [call for call in kernel.calls if call[0] == "setxattr"]


# ---- without permission ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
@pytest.mark.parametrize("method", ["mkdir", "setxattr"])
def test_rootless_does_without_when_nothing_needs_it(number: int, method: str) -> None:
    kernel, facts = Recorder(files=FILES, errors={method: [number, number]}), Facts()
    plan(config(cgroups_path=""), USER)[0].apply(kernel, facts)
    assert facts.cgroup_fd == -1 and kernel.fds == {}


@pytest.mark.parametrize(("data", "host", "given"), [
    (config({"pids": {"limit": 1}}, cgroups_path=""), USER, {}),
    (config(cgroups_path="/x"), USER, {}),
    (config(cgroups_path=""), USER, {"rootless": "false"}),
    (config(cgroups_path=""), ROOT, {}),
])
def test_otherwise_missing_permission_is_an_error(data: Config, host: Host, given: dict[str, str]) -> None:
    kernel, facts = Recorder(files=FILES, errors={"mkdir": [errno.EACCES]}), Facts()
    step = plan(data, host, **given)[0]
    with pytest.raises(PermissionError) as caught:
        step.apply(kernel, facts)
    assert failure_text(step, caught.value).startswith("make cgroup /sys/fs/cgroup/")
    assert "which is not delegated to this user" in failure_text(step, caught.value)


def test_rootless_true_of_root_forgives() -> None:
    kernel, facts = Recorder(files=FILES, errors={"mkdir": [errno.EROFS]}), Facts()
    steps = plan(config(cgroups_path=""), ROOT, rootless="true")
    for step in steps:
        step.apply(kernel, facts)
    assert facts.cgroup_fd == -1 and not [call for call in kernel.calls if call[0].startswith("bpf")]


def test_a_cgroup_that_may_be_made_but_not_entered() -> None:
    """Processes move only between cgroups whose common ancestor's cgroup.procs may be written."""
    own = "/user.slice/user-1000.slice/session-1.scope"
    host = Host(euid=1000, cgroup_own=own)
    kernel, facts = Recorder(files=FILES), Facts()
    asked = "/sys/fs/cgroup/user.slice/user-1000.slice/cgroup.procs"
    data = config(cgroups_path="")
    plan(data, host)[0].apply(kernel, facts)
    assert ("open", asked, 1, 0, -100) in kernel.calls and facts.cgroup_fd >= 0

    class Refusing(Recorder):
        def open(self, path: str, flags: int, mode: int = 0, dirfd: int = -100) -> int:
            if path == asked:
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return super().open(path, flags, mode, dirfd)

    kernel, facts = Refusing(files=FILES), Facts()
    plan(data, host)[0].apply(kernel, facts)
    assert facts.cgroup_fd == -1
    step = plan(config({"pids": {"limit": 1}}, cgroups_path=""), host)[0]
    with pytest.raises(PermissionError):
        step.apply(Refusing(files=FILES), Facts())


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
