"""The steps on a kernel with every controller: each value read back, and what it does to a process."""
from __future__ import annotations

import errno
import os
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.config.types import Config
from pyrunc.engine.facts import Facts
from pyrunc.engine.run import Engine
from pyrunc.errors import ConfigError, StepError
from pyrunc.host import Host, probe
from pyrunc.kernel.linux import Kernel
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import cgroup
from tests.world import rdma_device

from .hierarchy import MOUNT, Tree

pytestmark = pytest.mark.guest
MIB = 1 << 20


class Container:
    """The cgroup steps of a container, run by the engine."""

    def __init__(self, tree: Tree, resources: dict[str, typing.Any], path: str | None = "c", host: Host | None = None,
                 **data: typing.Any) -> None:
        self.tree = tree
        cgroups_path = None if path is None else f"/{tree.top.name}/{path}"
        linux = {"resources": resources, "cgroupsPath": cgroups_path, **data.pop("linux", {})}
        config = typing.cast(Config, {"ociVersion": "1.3.0", "linux": linux, **data})
        self.options = Options(id="c1", nonce="n")
        want = Request(config, self.options, host or probe())
        steps = [*cgroup.create(want), *cgroup.limits(want)]
        self.path = tree.top / (path or "c")
        self.engine = Engine(steps, Kernel())
        self.facts: Facts = self.engine.facts

    def create(self) -> Container:
        self.engine.run()
        return self

    def read(self, file: str) -> str:
        return (self.path / file).read_text().strip()

    def run(self, script: str, *args: str) -> subprocess.CompletedProcess[str]:
        """A shell script in the cgroup."""
        return subprocess.run(["sh", "-c", 'echo $$ >"$0/cgroup.procs"; shift 0; ' + script, str(self.path), *args],
                              capture_output=True, text=True, timeout=60)


def container(tree: Tree, resources: dict[str, typing.Any], **data: typing.Any) -> Container:
    return Container(tree, resources, **data).create()


def fault(tree: Tree, resources: dict[str, typing.Any], **data: typing.Any) -> str:
    with pytest.raises(StepError) as caught:
        Container(tree, resources, **data).create()
    assert not (tree.top / "c").exists(), "undone"
    return str(caught.value)


# ---- values ---------------------------------------------------------------------------------------------------------
@pytest.mark.spec("config-linux.md#memory", "limit", "reservation", "swap")
@pytest.mark.spec("config-linux.md#cpu", "cpu", "shares", "quota", "period", "burst", "idle", "cpus", "mems")
@pytest.mark.spec("config-linux.md#pids", "limit", "0 is a limit")
@pytest.mark.spec("config-linux.md#huge-page-limits", "hugepageLimits", "pageSize", "limit")
@pytest.mark.spec("config-linux.md#unified", "unified", "unknown files are written, too")
@pytest.mark.spec("config-linux.md#control-groups", "resources")
@pytest.mark.parametrize(("resources", "files"), [
    ({"pids": {"limit": 17}}, {"pids.max": "17"}),
    ({"pids": {"limit": 0}}, {"pids.max": "1"}),
    ({"pids": {"limit": -1}}, {"pids.max": "max"}),
    ({"memory": {"limit": 64 * MIB, "reservation": 32 * MIB}},
     {"memory.max": str(64 * MIB), "memory.low": str(32 * MIB), "memory.swap.max": "max"}),
    ({"memory": {"limit": 64 * MIB, "swap": 96 * MIB}},
     {"memory.max": str(64 * MIB), "memory.swap.max": str(32 * MIB)}),
    ({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}, {"memory.swap.max": "0"}),
    ({"memory": {"limit": -1}}, {"memory.max": "max", "memory.swap.max": "max"}),
    ({"memory": {"reservation": -1}}, {"memory.low": "max"}),
    ({"cpu": {"shares": 1024}}, {"cpu.weight": "100"}),
    ({"cpu": {"shares": 2}}, {"cpu.weight": "1"}),
    ({"cpu": {"shares": 262144}}, {"cpu.weight": "10000"}),
    ({"cpu": {"shares": 512}}, {"cpu.weight": "59"}),
    ({"cpu": {"quota": 50000, "period": 200000}}, {"cpu.max": "50000 200000"}),
    ({"cpu": {"quota": 50000}}, {"cpu.max": "50000 100000"}),
    ({"cpu": {"quota": -1, "period": 50000}}, {"cpu.max": "max 50000"}),
    ({"cpu": {"quota": 50000, "burst": 20000}}, {"cpu.max": "50000 100000", "cpu.max.burst": "20000"}),
    ({"cpu": {"idle": 1}}, {"cpu.idle": "1"}),
    ({"cpu": {"idle": 0, "shares": 2048}}, {"cpu.idle": "0", "cpu.weight": "174"}),
    ({"cpu": {"cpus": "0", "mems": "0"}}, {"cpuset.cpus": "0", "cpuset.mems": "0", "cpuset.cpus.effective": "0"}),
    ({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
     {"hugetlb.2MB.max": str(4 * MIB), "hugetlb.2MB.rsvd.max": str(4 * MIB)}),
    ({"unified": {"memory.high": str(32 * MIB), "memory.oom.group": "1", "pids.max": "9", "cgroup.max.depth": "2"},
      "pids": {"limit": 3}},
     {"memory.high": str(32 * MIB), "memory.oom.group": "1", "pids.max": "9", "cgroup.max.depth": "2"}),
])
def test_values_read_back(tree: Tree, resources: dict[str, typing.Any], files: dict[str, str]) -> None:
    made = container(tree, resources)
    assert {file: made.read(file) for file in files} == files


# config-linux.md#unified: "The OCI runtime MUST ensure that the needed cgroup controllers are enabled for the cgroup."
@pytest.mark.spec("config-linux.md#unified", "controllers that are needed are enabled")
def test_every_controller_of_the_host_is_passed_on(tree: Tree) -> None:
    made = container(tree, {}, path="a/b/c")
    assert set(made.read("cgroup.controllers").split()) == set((MOUNT / "cgroup.controllers").read_text().split())


@pytest.mark.spec("config-linux.md#memory", "kernel", "kernelTCP", "swappiness", "disableOOMKiller", "useHierarchy")
@pytest.mark.spec("config-linux.md#cpu", "realtimeRuntime", "realtimePeriod")
@pytest.mark.spec("config-linux.md#block-io", "leafWeight", "weightDevice.leafWeight")
@pytest.mark.spec("config-linux.md#network", "network", "classID", "priorities", "priorities.name",
                  "priorities.priority")
@pytest.mark.spec("config-linux.md#unified", "what cannot be converted from cgroup v1 is an error")
@pytest.mark.parametrize(("where", "value"), [
    ("memory.kernel", MIB), ("memory.kernelTCP", MIB), ("memory.swappiness", 5), ("memory.disableOOMKiller", True),
    ("memory.useHierarchy", False), ("cpu.realtimeRuntime", 5), ("cpu.realtimePeriod", 10),
    ("blockIO.leafWeight", 500), ("network.classID", 1), ("network.priorities", [{"name": "lo", "priority": 1}]),
    ("blockIO.weightDevice", [{"major": 8, "minor": 0, "leafWeight": 500}])])
def test_v1_only_properties_are_refused(tree: Tree, where: str, value: object) -> None:
    name, _, key = where.partition(".")
    with pytest.raises(ConfigError, match="cgroup v2 "):
        container(tree, {name: {key: value}})


@pytest.mark.spec("config-linux.md#unified", "what cannot be converted from cgroup v1 is an error")
def test_what_means_nothing_in_v1_is_accepted(tree: Tree) -> None:
    made = container(tree, {"memory": {"kernel": -1, "kernelTCP": -1, "disableOOMKiller": False, "useHierarchy": True},
                            "cpu": {"realtimeRuntime": 0, "realtimePeriod": 0}, "blockIO": {"leafWeight": 0},
                            "network": {"classID": 0, "priorities": []}})
    assert made.read("memory.max") == "max" and made.read("cpu.max") == "max 100000"


# ---- block devices --------------------------------------------------------------------------------------------------
@pytest.fixture
def disk() -> Iterator[str]:
    """"MAJ:MIN" of a null block device (blk-mq, so that every I/O policy works on it)."""
    subprocess.run(["modprobe", "null_blk", "nr_devices=1"], check=True)
    try:
        yield Path("/sys/block/nullb0/dev").read_text().strip()
    finally:
        subprocess.run(["modprobe", "-r", "null_blk"], check=True)


def numbers(disk: str) -> dict[str, int]:
    major, minor = disk.split(":")
    return {"major": int(major), "minor": int(minor)}


@pytest.mark.spec("config-linux.md#block-io", "blockIO", "throttleReadBpsDevice", "throttleWriteBpsDevice",
                  "throttleReadIOPSDevice", "throttleWriteIOPSDevice", "throttle….major, minor", "throttle….rate")
def test_throttling(tree: Tree, disk: str) -> None:
    limits = {f"throttle{key}Device": [{**numbers(disk), "rate": rate}]
              for key, rate in (("ReadBps", 1048576), ("WriteBps", 2097152), ("ReadIOPS", 100), ("WriteIOPS", 200))}
    made = container(tree, {"blockIO": limits})
    assert made.read("io.max") == f"{disk} rbps=1048576 wbps=2097152 riops=100 wiops=200"


@pytest.mark.spec("config-linux.md#block-io", "weight", "weightDevice", "weightDevice.major, minor",
                  "weightDevice.weight")
def test_weights_of_iocost(tree: Tree, disk: str) -> None:
    """Without BFQ: io.weight, also by device (where runc and crun have nothing)."""
    (MOUNT / "io.cost.qos").write_text(f"{disk} enable=1")
    try:
        made = container(tree, {"blockIO": {"weight": 500, "weightDevice": [{**numbers(disk), "weight": 1000}]}})
        assert made.read("io.weight").splitlines() == ["default 4950", f"{disk} 10000"]
    finally:
        (MOUNT / "io.cost.qos").write_text(f"{disk} enable=0")


@pytest.mark.spec("config-linux.md#block-io", "weight", "weightDevice", "weightDevice.weight")
def test_weights_of_bfq(tree: Tree, disk: str) -> None:
    scheduler = Path("/sys/block/nullb0/queue/scheduler")
    subprocess.run(["modprobe", "bfq"], check=True)
    scheduler.write_text("bfq")
    try:
        made = container(tree, {"blockIO": {"weight": 500, "weightDevice": [{**numbers(disk), "weight": 1000}]}})
        assert made.read("io.bfq.weight").splitlines() == ["default 500", f"{disk} 1000"]
    finally:
        scheduler.write_text("none")


def test_a_weight_that_nobody_takes(tree: Tree, disk: str) -> None:
    """Neither BFQ nor iocost on the device: an error, where others drop it in silence."""
    words = fault(tree, {"blockIO": {"weightDevice": [{**numbers(disk), "weight": 1000}]}})
    assert words.startswith("io.bfq.weight") and "linux.resources.blockIO.weightDevice[0] in config.json" in words
    assert os.strerror(errno.EOPNOTSUPP).lower() in words


def test_no_such_device(tree: Tree) -> None:
    words = fault(tree, {"blockIO": {"throttleReadBpsDevice": [{"major": 250, "minor": 77, "rate": 5}]}})
    assert "io.max = 250:77 rbps=5: no such device: at linux.resources.blockIO.throttleReadBpsDevice[0]" in words


# ---- rdma -----------------------------------------------------------------------------------------------------------
@pytest.mark.spec("config-linux.md#rdma", "rdma", "hcaHandles", "hcaObjects")
@pytest.mark.spec("features-linux.md#cgroup", "rdma")
def test_rdma(tree: Tree) -> None:
    device = rdma_device()
    made = container(tree, {"rdma": {device: {"hcaHandles": 3, "hcaObjects": 10000}}})
    assert made.read("rdma.max") == f"{device} hca_handle=3 hca_object=10000"
    tree.find("c", "c1:n").remove()
    made = container(tree, {"rdma": {device: {"hcaObjects": 7}}})
    assert made.read("rdma.max") == f"{device} hca_handle=max hca_object=7"


def test_rdma_without_the_device(tree: Tree) -> None:
    words = fault(tree, {"rdma": {"mlx5_9": {"hcaHandles": 3}}})
    assert words.startswith("rdma.max = mlx5_9 hca_handle=3: ") and 'at linux.resources.rdma["mlx5_9"]' in words


# ---- what is refused ------------------------------------------------------------------------------------------------
# config-linux.md#unified: "The runtime MUST generate an error when the configuration refers to a cgroup controller that
# is not present or that cannot be enabled."
@pytest.mark.spec("config-linux.md#unified", "a controller that is not there is an error")
@pytest.mark.parametrize(("key", "words"), [
    ("nosuch.max", 'unified resource "nosuch.max" can\'t be set: controller "nosuch" not available in the cgroup v2 '
     "hierarchy at /sys/fs/cgroup"),
    ("memory.nosuch", 'unable to set unified resource "memory.nosuch": no such file or directory: this kernel has no '
     "memory.nosuch"),
    ("cgroup.nosuch", 'unable to set unified resource "cgroup.nosuch": no such file or directory: this kernel has no '
     "cgroup.nosuch"),
])
def test_unified_unknown(tree: Tree, key: str, words: str) -> None:
    assert fault(tree, {"unified": {key: "1"}}) == \
        f'{words}: at linux.resources.unified["{key}"] in config.json: step cgroup.limit ' \
        "(config-linux.md#control-groups)"


@pytest.mark.spec("config.md#valid-values", "invalid and unsupported values are errors")
@pytest.mark.parametrize(("resources", "words"), [
    ({"cpu": {"cpus": "4096"}}, "cpuset.cpus = 4096: "),
    ({"cpu": {"mems": "x"}}, "cpuset.mems = x: invalid argument: at linux.resources.cpu.mems in config.json"),
    ({"cpu": {"period": 5}}, "cpu.max = max 5: invalid argument: at linux.resources.cpu.period"),
    ({"hugepageLimits": [{"pageSize": "3MB", "limit": 5}]},
     "this kernel has no hugetlb.3MB.max: at linux.resources.hugepageLimits[0] in config.json"),
])
def test_values_the_kernel_refuses(tree: Tree, resources: dict[str, typing.Any], words: str) -> None:
    assert fault(tree, resources).startswith(words)


@pytest.mark.spec("config-linux.md#memory", "checkBeforeUpdate", "a limit below the use is refused")
def test_check_before_update_refuses(tree: Tree) -> None:
    (tree.top / "c").mkdir(parents=True)
    (MOUNT / "cgroup.subtree_control").write_text("+memory")
    (tree.top / "cgroup.subtree_control").write_text("+memory")
    # Pages stay charged to the cgroup when the process that touched them has gone.
    blob = Path("/dev/shm/charged")
    subprocess.run(["sh", "-c", f"echo $$ >{tree.path('c')}/cgroup.procs; head -c 16M /dev/zero >{blob}"], check=True)
    try:
        usage = int((tree.top / "c/memory.current").read_text())
        assert usage > 16 * MIB
        with pytest.raises(StepError) as caught:
            container(tree, {"memory": {"limit": 12 * MIB, "checkBeforeUpdate": True}})
        assert str(caught.value).startswith(f"rejecting memory limit {12 * MIB} <= usage ")
        assert "linux.resources.memory.checkBeforeUpdate" in str(caught.value)
        assert (tree.top / "c/memory.max").read_text() == "max\n"
    finally:
        blob.unlink()


# ---- what limits do -------------------------------------------------------------------------------------------------
@pytest.mark.spec("config-linux.md#memory", "limit", "swap")
def test_memory_is_limited_and_kills_are_counted(tree: Tree) -> None:
    made = container(tree, {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}})
    ended = made.run('exec "$1" -c "bytearray(64 << 20)"', sys.executable)
    assert ended.returncode == -9
    assert tree.find("c", "c1:n").oom_kills() == Kernel().oom_kills(made.facts.cgroup_fd) == 1


@pytest.mark.spec("config-linux.md#pids", "limit")
def test_pids_are_limited(tree: Tree) -> None:
    made = container(tree, {"pids": {"limit": 2}})
    assert "fork" in made.run("true & true & true & wait").stderr
    assert made.run("exec /bin/true").returncode == 0


# ---- devices --------------------------------------------------------------------------------------------------------
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "urandom": (1, 9), "kmsg": (1, 11), "mem": (1, 1)}


def opens(made: Container, mode: str) -> set[str]:
    """Which of DEVICES a process in the cgroup can open by nodes it makes itself."""
    script = 'cd "$1"; for d in null:3 zero:5 full:7 urandom:9 kmsg:11 mem:1; do mknod $d c 1 ${d#*:} || exit 9; ' \
             f'(: {mode}$d) 2>/dev/null && echo ${{d%:*}}; rm $d; done'
    with_nodes = Path("/dev/shm") / made.tree.top.name       # /tmp is mounted nodev in places
    with_nodes.mkdir()
    try:
        ran = made.run("mount -t tmpfs -o dev none " + f'"{with_nodes}"' + "; " + script, str(with_nodes))
        assert ran.returncode in (0, 1), ran
        return set(ran.stdout.split())
    finally:
        subprocess.run(["umount", str(with_nodes)], check=True)
        with_nodes.rmdir()


# GHSA-g54h-m393-cpwq: "resources: {}" must not mean that every device may be used.
@pytest.mark.spec("config-linux.md#allowed-device-list", "devices")
def test_the_default_is_deny(tree: Tree) -> None:
    made = container(tree, {})
    assert opens(made, "<") == opens(made, "<>") == {"null", "zero", "full", "urandom"}


@pytest.mark.spec("config-linux.md#allowed-device-list", "allow", "type", "major, minor", "access",
                  "rules apply in the listed order")
def test_rules(tree: Tree) -> None:
    made = container(tree, {"devices": [{"allow": False, "access": "rwm"},
                                        {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]})
    assert "kmsg" in opens(made, "<") and "kmsg" not in opens(made, "<>") and "mem" not in opens(made, "<")


@pytest.mark.spec("config-linux.md#allowed-device-list", "rules apply in the listed order")
def test_all_but_one(tree: Tree) -> None:
    made = container(tree, {"devices": [{"allow": True, "access": "rwm"},
                                        {"allow": False, "type": "c", "major": 1, "minor": 11, "access": "w"}]})
    assert "kmsg" in opens(made, "<") and "kmsg" not in opens(made, "<>") and "mem" in opens(made, "<")


def test_privileged(tree: Tree) -> None:
    made = container(tree, {"devices": [{"allow": True, "access": "rwm"}]})
    assert opens(made, "<") == set(DEVICES) and Kernel().bpf_query(made.facts.cgroup_fd) == []


def test_exactly_one_filter_is_left(tree: Tree) -> None:
    made = container(tree, {})
    kernel = Kernel()
    (first,) = kernel.bpf_query(made.facts.cgroup_fd)
    step = made.engine.steps[-1]
    assert isinstance(step, cgroup.Devices)
    step.apply(kernel, made.facts)
    (second,) = kernel.bpf_query(made.facts.cgroup_fd)
    assert first != second
    for _ in range(2):               # somebody else's programs on our cgroup, as systemd leaves them
        kernel.bpf_attach(made.facts.cgroup_fd, kernel.bpf_load_device(step.program))
    assert len(kernel.bpf_query(made.facts.cgroup_fd)) == 3
    step.apply(kernel, made.facts)
    assert len(kernel.bpf_query(made.facts.cgroup_fd)) == 1
    assert "kmsg" not in opens(made, "<")


def test_a_big_rule_list_passes_the_verifier(tree: Tree) -> None:
    rules = [{"allow": True, "type": "cb"[i % 2], "major": 1000 + i, "minor": i, "access": ("r", "rw", "m")[i % 3]}
             for i in range(1500)]
    made = container(tree, {"devices": rules})
    assert "kmsg" not in opens(made, "<")
