"""The systemd driver against systemd: units made, changed, stopped; as root and as a user."""
from __future__ import annotations

import contextlib
import os
import subprocess
import time
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc import plan as plans
from pyrunc.cgroups.systemd import unit
from pyrunc.cgroups.systemd.unit import Manager
from pyrunc.cgroups.v2 import Cgroup
from pyrunc.config.types import Config, Resources
from pyrunc.engine.facts import Facts
from pyrunc.engine.run import Engine
from pyrunc.engine.step import Barrier, Step
from pyrunc.errors import StepError
from pyrunc.host import Host, probe
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.posix import PosixKernel
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.state.container import Container as Owner
from pyrunc.steps import cgroup, join

from .hierarchy import MOUNT
from .test_limits import MIB

pytestmark = pytest.mark.guest_systemd


def show(name: str, *properties: str, user: int = 0) -> dict[str, str]:
    command = ["systemctl", "show", name, "-p", ",".join(properties)]
    if user:
        command = ["runuser", "-u", f"#{user}", "--", "env", f"XDG_RUNTIME_DIR=/run/user/{user}", command[0], "--user",
                   *command[1:]]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


class Fails(Step):
    """A step that fails after the unit has been started."""
    name = "test.fails"

    def describe(self) -> str:
        return "fail"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        raise OSError(5, "Input/output error")


class Container:
    """The steps after the clone, around a process that stands in for the init."""

    def __init__(self, name: str, resources: dict[str, typing.Any] | None = None, path: str | None = None,
                 host: Host | None = None, extra: list[Step] | None = None, **data: typing.Any) -> None:
        linux = {"resources": resources or {}, "cgroupsPath": path or f"pyrunc-test.slice:t:{name}"}
        self.config = typing.cast(Config, {"ociVersion": "1.3.0", "linux": linux, **data})
        self.options = Options(id=name, nonce="n", systemd_cgroup=True)
        self.host = host or probe()
        self.unit = unit.Unit(self.config, self.options, self.host)
        self.path = MOUNT / self.unit.cgroup
        self.engine = Engine([*cgroup.join(Request(self.config, self.options, self.host)), *(extra or [])], Kernel())
        self.init = subprocess.Popen(["sleep", "1000"])
        self.engine.facts.pid = self.init.pid
        self.mark = f"{name}:n"

    def create(self) -> Container:
        self.engine.run()
        return self

    def read(self, file: str) -> str:
        return (self.path / file).read_text().strip()

    def delete(self) -> None:
        found = Cgroup(str(self.path), self.mark, PosixKernel())
        found.kill()
        found.remove()
        found.close()
        manager = Manager(self.unit.user, PosixKernel())
        manager.stop(self.unit.name, self.mark)
        manager.close()

    def end(self) -> None:
        self.init.kill()
        self.init.wait()
        self.delete()


@pytest.fixture
def made(name: str) -> Iterator[typing.Callable[..., Container]]:
    containers: list[Container] = []

    def make(resources: dict[str, typing.Any] | None = None, **data: typing.Any) -> Container:
        containers.append(Container(f"{name}x{len(containers)}", resources, **data))
        return containers[-1]

    yield make
    for container in containers:
        container.end()


Make = typing.Callable[..., Container]


@pytest.mark.spec("features-linux.md#cgroup", "systemd")
def test_a_scope_around_the_init(made: Make) -> None:
    container = made({"memory": {"limit": 64 * MIB}, "pids": {"limit": 9}}).create()
    assert container.unit.cgroup == f"pyrunc.slice/pyrunc-test.slice/{container.unit.name}"
    assert Path(f"/proc/{container.init.pid}/cgroup").read_text() == f"0::/{container.unit.cgroup}\n"
    assert os.getxattr(container.path, "trusted.pyrunc") == container.mark.encode()
    assert show(container.unit.name, "Slice", "Delegate", "ActiveState", "Transient", "DefaultDependencies") == {
        "Slice": "pyrunc-test.slice", "Delegate": "yes", "ActiveState": "active", "Transient": "yes",
        "DefaultDependencies": "no"}
    assert set(container.read("cgroup.controllers").split()) >= {"cpu", "memory", "io", "pids", "hugetlb", "cpuset"}


def test_values_are_in_both_places(made: Make) -> None:
    container = made({
        "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB}, "pids": {"limit": 17},
        "cpu": {"shares": 512, "quota": 12345, "period": 50000, "cpus": "0", "mems": "0"},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 2 * MIB}],
        "unified": {"memory.high": str(60 * MIB)}}).create()
    assert show(container.unit.name, "MemoryMax", "MemorySwapMax", "MemoryLow", "MemoryHigh", "TasksMax", "CPUWeight",
                "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "AllowedCPUs", "AllowedMemoryNodes") == {
        "MemoryMax": str(64 * MIB), "MemorySwapMax": str(32 * MIB), "MemoryLow": str(32 * MIB),
        "MemoryHigh": str(60 * MIB), "TasksMax": "17", "CPUWeight": "59", "CPUQuotaPerSecUSec": "250ms",
        "CPUQuotaPeriodUSec": "50ms", "AllowedCPUs": "0", "AllowedMemoryNodes": "0"}
    files = {"memory.max": str(64 * MIB), "memory.swap.max": str(32 * MIB), "memory.low": str(32 * MIB),
             "memory.high": str(60 * MIB), "pids.max": "17", "cpu.weight": "59", "cpu.max": "12345 50000",
             "cpuset.cpus": "0", "hugetlb.2MB.max": str(2 * MIB)}
    assert {file: container.read(file) for file in files} == files


def test_idle(made: Make) -> None:
    container = made({"cpu": {"idle": 1}}).create()
    assert container.read("cpu.idle") == "1" and show(container.unit.name, "CPUWeight") == {"CPUWeight": "idle"}


def test_little_memory_is_set_late_and_stays(made: Make) -> None:
    """systemd knows it, too: otherwise it would take it back when it writes what it knows."""
    container = made({"memory": {"limit": 4 * MIB}, "pids": {"limit": 17}}).create()
    assert (container.read("memory.max"), container.read("pids.max")) == ("max", "17")
    for step in cgroup.late_limits(Request(container.config, container.options, container.host)):
        if not isinstance(step, Barrier):
            step.apply(Kernel(), container.engine.facts)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert show(container.unit.name, "MemoryMax", "TasksMax") == {"MemoryMax": str(4 * MIB), "TasksMax": "17"}
    assert (container.read("memory.max"), container.read("pids.max")) == (str(4 * MIB), "17")


def test_a_daemon_reload_changes_nothing(made: Make) -> None:
    """Limits and device rules live on: systemd knows them (nvidia-container-toolkit#48, gpu-operator#485)."""
    container = made({"memory": {"limit": 64 * MIB}, "pids": {"limit": 9}, "cpu": {"quota": 50000},
                      "devices": [{"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]}).create()
    files = ("memory.max", "pids.max", "cpu.max")
    before = {file: container.read(file) for file in files}
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert {file: container.read(file) for file in files} == before
    script = f'echo $$ >{container.path}/cgroup.procs; for n in kmsg mem; do (: </dev/$n) && echo $n; done'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout == "kmsg\n"


def test_annotations(made: Make) -> None:
    container = made(annotations={"org.systemd.property.TimeoutStopSec": "7.5", "org.systemd.property.CollectMode":
                                  "'inactive-or-failed'"}).create()
    assert show(container.unit.name, "TimeoutStopUSec", "CollectMode") == {
        "TimeoutStopUSec": "7.500000s", "CollectMode": "inactive-or-failed"}


def test_subgroup(made: Make) -> None:
    container = made(annotations={"run.oci.systemd.subgroup": "inner"}).create()
    assert Path(f"/proc/{container.init.pid}/cgroup").read_text() == f"0::/{container.unit.cgroup}/inner\n"
    found = Cgroup(str(container.path), container.mark, PosixKernel())
    assert found.procs() == [container.init.pid]


def test_a_unit_of_the_name_that_runs_is_left_alone(made: Make) -> None:
    first = made().create()
    second = made(path=f"pyrunc-test.slice:t:{first.options.id}")
    with pytest.raises(StepError) as caught:
        second.create()
    assert str(caught.value).startswith(f"systemd does not start {first.unit.name}: ")
    assert "linux.cgroupsPath in config.json: step scope.start (config-linux.md#cgroups-path)" in str(caught.value)
    second.delete()
    assert first.init.poll() is None and first.path.exists()
    assert show(first.unit.name, "ActiveState") == {"ActiveState": "active"}


def test_a_failed_unit_of_the_name_makes_way(made: Make) -> None:
    container = made()
    name = container.unit.name
    subprocess.run(["systemd-run", "--scope", "--quiet", "-p", "RuntimeMaxSec=1s", f"--unit={name}", "sleep", "1000"])
    deadline = time.monotonic() + 60
    while show(name, "ActiveState") != {"ActiveState": "failed"}:
        assert time.monotonic() < deadline, "the scope ran out of time"
        time.sleep(0.1)
    container.create()
    assert show(name, "ActiveState") == {"ActiveState": "active"}


def test_a_failure_afterwards_takes_the_unit_back(made: Make) -> None:
    container = made(extra=[Fails()])
    with pytest.raises(StepError, match=r"step test\.fails"):
        container.create()
    assert container.init.wait(60) == -9 and not container.path.exists()
    assert show(container.unit.name, "LoadState") == {"LoadState": "not-found"}


def test_what_systemd_refuses(made: Make) -> None:
    container = made({"unified": {"memory.max": "0"}, "cpu": {"shares": 2}})
    container.engine.steps[0].properties["Nope"] = ("b", True)  # type: ignore[attr-defined]
    with pytest.raises(StepError, match=r"systemd does not start .*: Cannot set property Nope") as caught:
        container.create()
    assert "\n" not in str(caught.value)


def test_delete_stops_the_unit_and_may_be_repeated(made: Make) -> None:
    container = made().create()
    (container.path / "sub/sub").mkdir(parents=True)
    began = time.monotonic()
    container.delete()
    assert time.monotonic() - began < 60           # systemd itself would wait for 90 s before it kills
    container.delete()
    assert container.init.wait(60) == -9 and not container.path.exists()
    assert show(container.unit.name, "LoadState") == {"LoadState": "not-found"}


def test_delete_after_a_creation_that_was_cut_short(made: Make) -> None:
    """SIGKILL between StartTransientUnit and the mark: only the unit's description says whose it is."""
    container = made().create()
    os.removexattr(container.path, "trusted.pyrunc")
    container.delete()
    assert container.init.wait(60) == -9 and not container.path.exists()


def test_another_s_unit_is_not_stopped(made: Make) -> None:
    container = made().create()
    manager = Manager(False, PosixKernel())
    manager.stop(container.unit.name, f"{container.options.id}:other")
    manager.stop("no-such-unit.scope", "x:y")
    manager.close()
    assert container.init.poll() is None and show(container.unit.name, "ActiveState") == {"ActiveState": "active"}


def attach(container: Container, pid: int, subgroup: str = "") -> str:
    """The way of exec where it may not put a process there itself; where the process is then."""
    facts = Facts()
    facts.pid = pid
    joined = join.Cgroup(path=str(container.path), subgroup=subgroup, below="", pid=container.init.pid,
                         mounted=str(MOUNT), own="", moved=True, made=True)
    kernel = Kernel()
    joined.apply(kernel, facts)
    kernel.close(facts.cgroup_fd)
    facts.cgroup_fd = -1                           # as where the caller may not open it
    (step,) = join.attach([joined], {"unit": container.unit.name, "user_manager": container.unit.user})
    step.apply(kernel, facts)
    return Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")


def test_attach(made: Make) -> None:
    container = made().create()
    with sleeping() as pid:
        assert attach(container, pid) == container.unit.cgroup


# The unit's own cgroup may have processes, as it passes no controller on; a second process belongs to the first all
# the same. When it does pass some on, the kernel takes no process there.
def test_attach_with_a_subgroup(made: Make) -> None:
    container = made(annotations={"run.oci.systemd.subgroup": "inner"}).create()
    with sleeping() as pid, sleeping() as other:
        assert attach(container, pid, "inner") == f"{container.unit.cgroup}/inner"
        (container.path / "inner/deep").mkdir()
        for process in (pid, container.init.pid):
            (container.path / "inner/deep/cgroup.procs").write_text(str(process))
        (container.path / "cgroup.subtree_control").write_text("+pids")
        (container.path / "inner/cgroup.subtree_control").write_text("+pids")
        assert attach(container, other, "inner") == f"{container.unit.cgroup}/inner/deep"


@contextlib.contextmanager
def sleeping() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "1000"])
    yield process.pid
    process.kill()
    process.wait()


def test_the_message_bus_where_systemd_itself_cannot_be_reached(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Manager, "_addresses", lambda self: [("/run/systemd/none", True),
                                                            ("/run/dbus/system_bus_socket", False)])
    container = made({"pids": {"limit": 9}}).create()
    assert show(container.unit.name, "TasksMax") == {"TasksMax": "9"}
    container.delete()
    assert not container.path.exists()


def test_systemd_re_executing_itself_meanwhile(made: Make) -> None:
    """The connection breaks; the next call finds the new systemd."""
    manager = Manager(False, PosixKernel())
    assert manager.version() >= 245
    subprocess.run(["systemctl", "daemon-reexec"], check=True)
    manager.set_properties("system.slice", {"TasksMax": ("t", 7777)})
    assert show("system.slice", "TasksMax") == {"TasksMax": "7777"}
    manager.close()


# ---- update ---------------------------------------------------------------------------------------------------------
def change(container: Container, saved: dict[str, typing.Any], new: dict[str, typing.Any]) -> None:
    steps = plans.update(
        typing.cast(Resources, new), typing.cast(Resources, saved), container.host,
        Owner("/root", "c", {"cgroup": str(container.path), "mark": container.mark, "unit": container.unit.name,
                             "user_manager": container.unit.user}, True), {})
    assert [step.name for step in steps.steps[:2]] == ["update.open", "update.properties"]
    Engine(steps, Kernel()).run()


def test_update_and_its_rollback(made: Make) -> None:
    saved = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 9}}
    container = made(saved).create()
    change(container, saved, {"memory": {"limit": 32 * MIB}})
    assert show(container.unit.name, "MemoryMax", "TasksMax") == {"MemoryMax": str(32 * MIB), "TasksMax": "9"}
    assert container.read("memory.max") == str(32 * MIB)
    saved["memory"] = {"limit": 32 * MIB}
    with pytest.raises(StepError, match='controller "nosuch"'):
        change(container, saved, {"memory": {"limit": 16 * MIB}, "unified": {"nosuch.max": "1"}})
    assert show(container.unit.name, "MemoryMax") == {"MemoryMax": str(32 * MIB)}
    assert container.read("memory.max") == str(32 * MIB)
