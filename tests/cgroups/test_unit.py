"""slice:prefix:name -> a unit of systemd, and the steps that are planned with the systemd driver."""
from __future__ import annotations

import posix
import typing

import pytest

from pyrunc.cgroups import path
from pyrunc.cgroups.systemd import unit as systemd
from pyrunc.cgroups.systemd.unit import Unit
from pyrunc.config.types import Config
from pyrunc.engine.step import PARENT
from pyrunc.errors import ConfigError
from pyrunc.host import Host
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import cgroup, scope

from .test_steps import config

SESSION = "/user.slice/user-1000.slice/session-3.scope"
SERVICE = "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service"


def unit(cgroups_path: str, id: str = "c1", **host: typing.Any) -> Unit:
    return Unit(config(cgroups_path=cgroups_path), Options(id=id, systemd_cgroup=True), Host(**host))


@pytest.mark.parametrize(("given", "name", "slice_name", "cgroup_path"), [
    ("", "pyrunc-c1.scope", "system.slice", "system.slice/pyrunc-c1.scope"),
    ("system.slice:docker:1234", "docker-1234.scope", "system.slice", "system.slice/docker-1234.scope"),
    (":docker:1234", "docker-1234.scope", "system.slice", "system.slice/docker-1234.scope"),
    ("a-b-c.slice:p:n", "p-n.scope", "a-b-c.slice", "a.slice/a-b.slice/a-b-c.slice/p-n.scope"),
    ("-.slice:p:n", "p-n.scope", "-.slice", "p-n.scope"),
    ("kubepods.slice::n", "n.scope", "kubepods.slice", "kubepods.slice/n.scope"),
])
def test_names(given: str, name: str, slice_name: str, cgroup_path: str) -> None:
    found = unit(given)
    assert (found.name, found.slice, found.cgroup, found.user) == (name, slice_name, cgroup_path, False)


def test_an_id_that_is_no_unit_name() -> None:
    assert unit("", id="a+b").name == "pyrunc-a\\x2bb.scope"


@pytest.mark.parametrize("given", [
    "/a/b", "a", "a:b", "a:b:c:d", "a.slice:b:", "::", "a:b:c", ".slice:b:c", "a--b.slice:b:c", "-a.slice:b:c",
    "a-.slice:b:c", "a/b.slice:p:n", "system.slice:p:n.slice", "system.slice:p:a/b", "system.slice:p:a b",
    "system.slice:p:" + "n" * 250, "system.slice:p:\u00e9"])
def test_refused(given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        unit(given)
    assert caught.value.where == "linux.cgroupsPath"


@pytest.mark.parametrize(("own", "expected"), [
    (SESSION, "user.slice/user-1000.slice/user@1000.service/user.slice/pyrunc-c1.scope"),
    (SERVICE, "user.slice/user-1000.slice/user@1000.service/user.slice/pyrunc-c1.scope"),
    ("/machine/user@7.service", "machine/user@7.service/user.slice/pyrunc-c1.scope")])
def test_the_user_s_manager(own: str, expected: str) -> None:
    found = unit("", euid=1000, cgroup_own=own)
    assert found.user and found.slice == "user.slice" and found.cgroup == expected


@pytest.mark.parametrize(("rootless", "host", "runtime_dir", "user"), [
    ("auto", Host(euid=0), "/run/user/0", False), ("auto", Host(euid=5), "", True), ("true", Host(euid=0), "", True),
    ("false", Host(euid=5), "", False), ("auto", Host(euid=0, in_userns=True), "/run/user/5", True),
    ("auto", Host(euid=0, in_userns=True), "", False)])
def test_whose_manager(rootless: str, host: Host, runtime_dir: str, user: bool,
                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "environ", {b"XDG_RUNTIME_DIR": runtime_dir.encode()})
    assert systemd.user_manager(Options(rootless=rootless), host) is user


def test_where_the_managers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses(user: bool, **environ: str) -> list[tuple[str, bool]]:
        monkeypatch.setattr(posix, "environ", {k.encode(): v.encode() for k, v in environ.items()})
        monkeypatch.setattr(posix, "geteuid", lambda: 7)
        return systemd.Manager(user, typing.cast(typing.Any, None))._addresses()

    assert addresses(False) == [("/run/systemd/private", True), ("/run/dbus/system_bus_socket", False)]
    assert addresses(True) == [("/run/user/7/systemd/private", True), ("/run/user/7/bus", False)]
    assert addresses(True, XDG_RUNTIME_DIR="/r", DBUS_SESSION_BUS_ADDRESS="tcp:host=x;unix:guid=5,path=/b") == [
        ("/r/systemd/private", True), ("/b", False), ("/r/bus", False)]


def test_nobody_there(tmp_path: typing.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyrunc.kernel.posix import PosixKernel
    monkeypatch.setattr(posix, "environ", {b"XDG_RUNTIME_DIR": str(tmp_path).encode()})
    with pytest.raises(ConnectionRefusedError) as caught:
        systemd.Manager(True, PosixKernel()).version()
    assert caught.value.filename == "connect to the user's systemd"


# ---- the plan -------------------------------------------------------------------------------------------------------
OPTIONS = Options(id="c1", nonce="n", systemd_cgroup=True)


def plan(data: Config, host: Host | None = None) -> list[tuple[str, str, str]]:
    host = host or Host()
    assert list(cgroup.create(Request(data, OPTIONS, host))) == list(cgroup.limits(Request(data, OPTIONS, host))) == []
    assert not cgroup.born_inside(Request(data, OPTIONS, host)) and cgroup.joins_later(Request(data, OPTIONS, host))
    steps = list(cgroup.join(Request(data, OPTIONS, host)))
    assert all(step.side == PARENT for step in steps)
    return [(step.name, step.where, step.describe()) for step in steps]


def test_plan() -> None:
    assert plan(config({"pids": {"limit": 5}}, "a-b.slice:p:n")) == [
        ("scope.start", "linux.cgroupsPath", "start p-n.scope in a-b.slice of the system's systemd"),
        ("cgroup.limit", "linux.resources.pids.limit", "pids.max = 5"),
        ("cgroup.devices", "", "attach a device filter: deny everything, with 11 exceptions")]


def test_path() -> None:
    data = config(cgroups_path="a-b.slice:p:n")
    assert path.directory(data, OPTIONS, Host()) == "/sys/fs/cgroup/a.slice/a-b.slice/p-n.scope"


def test_properties_of_the_unit() -> None:
    data = config({"memory": {"limit": 1 << 30}}, ":p:n")
    data["annotations"] = {"org.systemd.property.CollectMode": "'inactive'", "org.systemd.property.TasksMax": "7"}
    (start, *_) = cgroup.join(Request(data, OPTIONS, Host()))
    assert isinstance(start, scope.Start)
    asked = {name: value for name, (_, value) in start.properties.items() if name != "DeviceAllow"}
    assert asked == {"Slice": "system.slice", "Delegate": True, "DefaultDependencies": False, "CPUAccounting": True,
                     "MemoryAccounting": True, "IOAccounting": True, "TasksAccounting": True,
                     "DevicePolicy": "strict", "CollectMode": "inactive", "TasksMax": 7}
    assert [setting.file for setting in start.settings] == ["memory.max"]


def test_little_memory_is_a_property_when_it_is_set() -> None:
    data = config({"memory": {"limit": 1 << 20}, "pids": {"limit": 5}}, ":p:n")
    want = Request(data, OPTIONS, Host())
    (start, *_), late = cgroup.join(want), list(cgroup.late_limits(want))
    assert isinstance(start, scope.Start) and [setting.file for setting in start.settings] == ["pids.max"]
    assert [(step.name, step.describe()) for step in late[1:-1]] == [
        ("scope.properties", "set MemoryMax of p-n.scope"), ("cgroup.late_limit", "memory.max = 1048576")]


def test_a_user_s_unit_has_no_device_policy() -> None:
    (start, *_) = cgroup.join(Request(config(cgroups_path=""), OPTIONS, Host(euid=1000, cgroup_own=SESSION)))
    assert isinstance(start, scope.Start) and "DevicePolicy" not in start.properties


def test_subgroup() -> None:
    data = config(cgroups_path=":p:n")
    data["annotations"] = {"run.oci.systemd.subgroup": "container"}
    assert plan(data)[1] == ("scope.subgroup", 'annotations["run.oci.systemd.subgroup"]',
                             "move the init into container below the unit's cgroup")


@pytest.mark.parametrize("name", ["..", "a/b", "/a", "a/", "."])
def test_subgroup_refused(name: str) -> None:
    data = config(cgroups_path=":p:n")
    data["annotations"] = {"run.oci.systemd.subgroup": name}
    with pytest.raises(ConfigError, match="is not the name of a cgroup"):
        list(cgroup.join(Request(data, OPTIONS, Host())))


@pytest.mark.parametrize(("annotations", "unified"), [({"org.systemd.property.ExecStart": "'x'"}, {}),
                                                      ({}, {"memory.max": "5M"})])
def test_refused_before_the_clone(annotations: dict[str, str], unified: dict[str, str]) -> None:
    data = config({"unified": unified}, ":p:n")
    data["annotations"] = annotations
    with pytest.raises(ConfigError):
        list(cgroup.join(Request(data, OPTIONS, Host())))
