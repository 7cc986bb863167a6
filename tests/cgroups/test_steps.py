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
