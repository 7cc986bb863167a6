"""config-linux.md: resources, as they are in the files of the container's cgroup (cgroup-v2.rst of the kernel)."""
from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ..harness.trial import Trial
from ..model import Fails, NotHere, case, each
from .config_linux_md import cgroup_of

#: cpu.weight of 2048 shares: 79 by the conversion of old, some 170 by the one of runc 1.3.2; 100 is the default.
WEIGHTS = range(60, 300)


def read(t: Trial, resources: dict[str, Any], *files: str) -> str:
    """What is in the first of these files that the container's cgroup has."""
    place = cgroup_of(t.running(linux={"resources": resources}).pid)
    for file in files:
        if (place / file).exists():
            return (place / file).read_text().strip()
    raise NotHere(f"the kernel has no {' or '.join(files)}")


@case("config-linux.md#cpu", "shares")
def shares(t: Trial) -> None:
    """shares are a weight, and twice as many as the default are more than the default"""
    t.needs_controller("cpu")
    weight = int(read(t, {"cpu": {"shares": 2048}}, "cpu.weight"))
    t.true(weight in WEIGHTS and weight != 100, f"cpu.weight is {weight}")


@case("config-linux.md#cpu", "burst")
def burst(t: Trial) -> None:
    """burst is cpu.max.burst"""
    t.needs_controller("cpu")
    t.needs_spec("1.1.0")
    t.equal(read(t, {"cpu": {"quota": 50000, "period": 50000, "burst": 20000}}, "cpu.max.burst"), "20000",
            "cpu.max.burst")


@case("config-linux.md#cpu", "idle")
def idle(t: Trial) -> None:
    """idle is cpu.idle"""
    t.needs_controller("cpu")
    t.needs_spec("1.1.0")
    t.equal(read(t, {"cpu": {"idle": 1}}, "cpu.idle"), "1", "cpu.idle")


@case("config-linux.md#block-io", "blockIO", "weight")
def weight_of_block_devices(t: Trial) -> None:
    """blockIO.weight is io.bfq.weight or, converted, io.weight"""
    t.needs_controller("io")
    said = read(t, {"blockIO": {"weight": 500}}, "io.bfq.weight", "io.weight")
    t.true(said.split()[-1] in ("500", "4950"), f"the weight is {said!r}")


@case("config-linux.md#block-io", "weightDevice", "weightDevice.major, minor", "weightDevice.weight")
def weight_of_a_block_device(t: Trial) -> None:
    """An entry of weightDevice is in io.bfq.weight, or in io.weight where that is how devices are weighed"""
    t.needs_controller("io")
    device, before = weighed_device(t)
    try:
        major, minor = map(int, device.split(":"))
        said = read(t, {"blockIO": {"weightDevice": [{"major": major, "minor": minor, "weight": 300}]}},
                    "io.bfq.weight", "io.weight")
    finally:
        before[0].write_text(before[1])
    found = dict(line.split(" ") for line in said.splitlines())
    t.true(found.get(device) in ("300", "2950"), f"the weight of {device}: {said!r}")


def weighed_device(t: Trial) -> tuple[str, tuple[Path, str]]:
    """Numbers of a block device with BFQ, and what file to write what into afterwards. NotHere without one."""
    for file in sorted(Path("/sys/block").glob("*/queue/scheduler")):
        words = file.read_text().split()
        if "bfq" in (word.strip("[]") for word in words):
            try:
                before = next(word.strip("[]") for word in words if word.startswith("["))
                file.write_text("bfq")
            except OSError:
                continue
            return (file.parent.parent / "dev").read_text().strip(), (file, before)
    raise NotHere("no block device with the scheduler BFQ")


@case("config-linux.md#pids", "0 is a limit", "limit")
def no_process_more(t: Trial) -> None:
    """With a limit of 0 the container's process runs, and cannot make another one"""
    t.needs_controller("pids")
    t.needs_spec("1.3.0")
    made = t.create(process={"args": ["sh", "-c", "echo begun; (echo forked); exit 0"]},
                    linux={"resources": {"pids": {"limit": 0}}})
    # systemd takes no TasksMax of 0. One process is there: that is the same.
    seen = (cgroup_of(made.pid) / "pids.max").read_text().strip()
    t.true(seen in ("0", "1"), f"pids.max is {seen}")
    made.start().wait()
    t.equal(made.output.split(), ["begun"], "what the program prints")


def block_device() -> tuple[int, int]:
    """Numbers of a block device of the machine. NotHere without one."""
    for file in sorted(Path("/sys/block").glob("*/dev")):
        major, minor = file.read_text().strip().split(":")
        return int(major), int(minor)
    raise NotHere("no block device")


@each("config-linux.md#block-io", {
    key: ((name, "throttle….major, minor", "throttle….rate"), name, key) for name, key in (
        ("throttleReadBpsDevice", "rbps"), ("throttleWriteBpsDevice", "wbps"), ("throttleReadIOPSDevice", "riops"),
        ("throttleWriteIOPSDevice", "wiops"))})
def throttle(t: Trial, name: str, key: str) -> None:
    """A limit of a block device is in io.max"""
    t.needs_controller("io")
    major, minor = block_device()
    said = read(t, {"blockIO": {name: [{"major": major, "minor": minor, "rate": 1000000}]}}, "io.max")
    t.true(re.search(rf"^{major}:{minor} .*\b{key}=1000000\b", said, re.M), f"io.max is {said!r}")


@case("config-linux.md#huge-page-limits", "hugepageLimits", "pageSize", "limit")
def huge_pages(t: Trial) -> None:
    """A limit of huge pages is in hugetlb.SIZE.max"""
    t.needs_controller("hugetlb")
    folders = Path("/sys/kernel/mm/hugepages").glob("hugepages-*kB")
    sizes = sorted(int(folder.name.split("-")[1].removesuffix("kB")) for folder in folders)
    if not sizes:
        raise NotHere("the kernel has no huge pages")
    units = ((20, "GB"), (10, "MB"), (0, "KB"))
    size = next(f"{sizes[0] >> shift}{unit}" for shift, unit in units if sizes[0] >> shift)
    limit = sizes[0] << 11          # two of them, in bytes
    t.equal(read(t, {"hugepageLimits": [{"pageSize": size, "limit": limit}]}, f"hugetlb.{size}.max"), str(limit),
            f"hugetlb.{size}.max")


@case("config-linux.md#rdma", "rdma", "hcaHandles", "hcaObjects")
def rdma(t: Trial) -> None:
    """Limits of an RDMA device are in rdma.max"""
    t.needs_controller("rdma")
    names = sorted(os.listdir("/sys/class/infiniband")) if Path("/sys/class/infiniband").is_dir() else []
    if not names:
        raise NotHere("no RDMA device")
    said = read(t, {"rdma": {names[0]: {"hcaHandles": 3, "hcaObjects": 100}}}, "rdma.max")
    t.true(f"{names[0]} hca_handle=3 hca_object=100" in said.splitlines(), f"rdma.max is {said!r}")


# ---- what the scheduler and the disks are told of the process -------------------------------------------------------
#: ioprio_get(2): the C library has no function for it.
IOPRIO_GET = {"x86_64": 252, "aarch64": 31, "riscv64": 31, "loongarch64": 31, "ppc64le": 274, "s390x": 283}


def io_priority(pid: int) -> tuple[int, int]:
    """(class, priority) of a process. NotHere on a machine whose number of the call is not known."""
    from ..harness.isolation import call
    number = IOPRIO_GET.get(os.uname().machine)
    if number is None:
        raise NotHere(f"the number of ioprio_get on {os.uname().machine} is not known")
    value = call("syscall", number, 1, pid)
    return value >> 13, value & 0x1FFF


@each("config.md#linux-process", {
    word: (("ioPriority", "ioPriority.class", "ioPriority.priority"), word, number, priority)
    for word, number, priority in (("IOPRIO_CLASS_BE", 2, 6), ("IOPRIO_CLASS_IDLE", 3, 0))})
def priority_of_input_and_output(t: Trial, word: str, number: int, priority: int) -> None:
    """The process has the class and priority of ioPriority"""
    t.needs_spec("1.1.0")
    made = t.running(process={"ioPriority": {"class": word, "priority": priority}})
    seen = io_priority(made.pid)
    t.equal(seen if number != 3 else seen[:1], (number, priority) if number != 3 else (number,), f"ioprio with {word}")


@case("config.md#linux-process", "scheduler.priority", "scheduler.flags")
def scheduler_of_real_time(t: Trial) -> None:
    """The process has the priority of a real-time policy, and its flags"""
    t.needs_spec("1.1.0")
    made = t.running(process={"scheduler": {"policy": "SCHED_FIFO", "priority": 7,
                                            "flags": ["SCHED_FLAG_RESET_ON_FORK"]}})
    t.equal(os.sched_getscheduler(made.pid), os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, "policy and flags")
    t.equal(os.sched_getparam(made.pid).sched_priority, 7, "priority")


@case("config.md#linux-process", "execCPUAffinity", "execCPUAffinity.final")
def processors_of_exec(t: Trial) -> None:
    """A process of exec runs on the processors of execCPUAffinity.final"""
    t.needs_spec("1.2.0")
    first = min(os.sched_getaffinity(0))
    made = t.running(process={"execCPUAffinity": {"final": str(first)}})
    said = t.runtime.ok("exec", made.id, "sed", "-n", r"s/^Cpus_allowed_list:\s*//p", "/proc/self/status").stdout
    t.equal(said.strip(), str(first), "processors of exec's process")


# ---- what only cgroup v1 has ---------------------------------------------------------------------------------------
V1: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "swappiness": ("memory", ("swappiness",), {"memory": {"swappiness": 33}}),
    "disableOOMKiller": ("memory", ("disableOOMKiller",), {"memory": {"disableOOMKiller": True}}),
    "kernel": ("memory", ("kernel",), {"memory": {"kernel": 1 << 20}}),
    "kernelTCP": ("memory", ("kernelTCP",), {"memory": {"kernelTCP": 1 << 20}}),
    "realtimeRuntime": ("cpu", ("realtimeRuntime", "realtimePeriod"), {"cpu": {"realtimeRuntime": 5000}}),
    "leafWeight": ("block-io", ("leafWeight",), {"blockIO": {"leafWeight": 500}}),
    "leafWeight of a device": ("block-io", ("weightDevice.leafWeight",), {
        "blockIO": {"weightDevice": [{"major": 7, "minor": 0, "leafWeight": 500}]}}),
    "classID": ("network", ("network", "classID"), {"network": {"classID": 0x100001}}),
    "priorities": ("network", ("priorities", "priorities.name", "priorities.priority"),
                   {"network": {"priorities": [{"name": "lo", "priority": 1}]}})}


def value_of_cgroup_v1(t: Trial, resources: dict[str, Any]) -> None:
    """A limit that cgroup v2 has nothing like is an error"""
    t.needs_cgroups()
    t.refused(linux={"resources": resources})


for _label, (_chapter, _names, _resources) in V1.items():
    each("config-linux.md#unified", {_label: ("what cannot be converted from cgroup v1 is an error", _resources)},
         also={f"config-linux.md#{_chapter}": _names})(value_of_cgroup_v1)


@case("config-linux.md#memory", "useHierarchy")
def memory_is_counted_upwards(t: Trial) -> None:
    """useHierarchy is what cgroup v2 always does: true is no error"""
    t.needs_controller("memory")
    made = t.running(linux={"resources": {"memory": {"useHierarchy": True, "limit": 64 << 20}}})
    file = cgroup_of(made.pid) / "memory.max"
    if not file.exists():
        raise Fails("no memory.max in the container's cgroup")
    t.equal(file.read_text().strip(), str(64 << 20), "memory.max")
