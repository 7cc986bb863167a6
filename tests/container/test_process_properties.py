"""Scheduler, I/O priority, personality, memory policy, keyring, labels, affinity: the kernel's word on the process."""
from __future__ import annotations

import ctypes
import json
import os
import re
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like, merge, minimal
from tests.runtimes import Init, Runtime

libc = ctypes.CDLL(None, use_errno=True)
SYS_IOPRIO_GET, SYS_SCHED_GETATTR = 252, 315


def started(runtime: Runtime, place: Path, name: str, changes: dict[str, Any], script: str = "exec sleep 1000") -> Init:
    bundle = bundles.bundle(place / "bundle", merge(docker_like(process={"args": ["sh", "-c", script]}), changes))
    init = runtime.create(name, bundle)
    runtime.ok("start", name)
    runtime.wait_for(name, "running")
    return init


def ran(runtime: Runtime, place: Path, name: str, changes: dict[str, Any], script: str) -> str:
    config = merge(docker_like(process={"args": ["sh", "-c", script]}), changes)
    return runtime.run(name, bundles.bundle(place / "bundle", config)).stdout


def scheduling(pid: int) -> tuple[int, int, int, int]:
    """(policy, flags, nice, priority) by sched_getattr(2)."""
    attr = ctypes.create_string_buffer(56)
    assert libc.syscall(SYS_SCHED_GETATTR, pid, attr, 56, 0) == 0
    policy, flags, nice, priority = struct.unpack_from("=IQiI", attr, 4)
    return policy, flags, nice, priority


# config.md#linux-process: "scheduler (object, OPTIONAL) is an object describing the scheduler properties for the
# process."
@pytest.mark.spec("config.md#linux-process", "scheduler", "scheduler.policy", "scheduler.nice", "scheduler.flags")
@pytest.mark.parametrize("scheduler, seen", [
    ({"policy": "SCHED_OTHER", "nice": 7}, (0, 0, 7, 0)),
    ({"policy": "SCHED_BATCH", "nice": -3}, (3, 0, -3, 0)),
    ({"policy": "SCHED_IDLE"}, (5, 0, os.nice(0), 0)),              # has no use for one, and keeps what it had
    ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, (0, 1, 0, 0))])
def test_scheduler(scheduler: dict[str, Any], seen: tuple[int, ...], runtime: Runtime, place: Path, name: str) -> None:
    assert scheduling(started(runtime, place, name, {"process": {"scheduler": scheduler}}).pid) == seen


# config.md#linux-process: "nice … If not set, the runtime must use the value 0."
@pytest.mark.spec("config.md#linux-process", "scheduler.nice")
@pytest.mark.parametrize(("scheduler", "nice"), [(None, min(os.nice(0) + 5, 19)),
                                                 ({"policy": "SCHED_OTHER"}, 0),
                                                 ({"policy": "SCHED_BATCH", "nice": 9}, 9)])
def test_nice_is_not_the_caller_s(scheduler: dict[str, Any] | None, nice: int, runtime: Runtime, place: Path,
                                  name: str) -> None:
    config = docker_like(process={"args": ["cat", "/proc/self/stat"], "scheduler": scheduler})
    argv = ["nice", "-n", "5", *runtime.argv("run", "--bundle", bundles.bundle(place / "bundle", config), name)]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
    assert int(done.stdout.split()[18]) == nice


@pytest.mark.spec("config.md#linux-process", "scheduler.policy", "scheduler.priority", "scheduler.flags")
@pytest.mark.guest
@pytest.mark.parametrize(("policy", "number"), [("SCHED_FIFO", 1), ("SCHED_RR", 2)])
def test_realtime_scheduler(policy: str, number: int, runtime: Runtime, place: Path, name: str) -> None:
    scheduler = {"policy": policy, "priority": 10, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    assert scheduling(started(runtime, place, name, {"process": {"scheduler": scheduler}}).pid) == (number, 1, 0, 10)


# config.md#linux-process: "The I/O priority settings will be automatically applied to the entire process group,
# affecting all processes within the container."
@pytest.mark.spec("config.md#linux-process", "ioPriority", "ioPriority.class", "ioPriority.priority")
@pytest.mark.parametrize("kind, number", [("RT", 1), ("BE", 2), ("IDLE", 3)])
def test_io_priority(kind: str, number: int, runtime: Runtime, place: Path, name: str) -> None:
    priority = {"class": f"IOPRIO_CLASS_{kind}", "priority": 5}
    init = started(runtime, place, name, {"process": {"ioPriority": priority}}, "sleep 1000 & wait")
    children, deadline = Path(f"/proc/{init.pid}/task/{init.pid}/children"), time.monotonic() + 60
    while not (found := children.read_text().split()):
        assert time.monotonic() < deadline, "it starts no child"
        time.sleep(0.005)
    assert [libc.syscall(SYS_IOPRIO_GET, 1, pid) for pid in (init.pid, int(found[0]))] == [number << 13 | 5] * 2


# config-linux.md#personality: "LINUX32 will set the uname system call to show a 32 bit CPU type, such as i686."
@pytest.mark.spec("config-linux.md#personality", "personality", "domain", "flags")
@pytest.mark.parametrize("personality, machine, number", [
    ({"domain": "LINUX"}, "x86_64", "00000000"), ({"domain": "LINUX32"}, "i686", "00000008"),
    ({"domain": "LINUX32", "flags": ["ADDR_NO_RANDOMIZE"]}, "i686", "00040008")])
def test_personality(personality: dict[str, Any], machine: str, number: str, runtime: Runtime, place: Path,
                     name: str) -> None:
    said = ran(runtime, place, name, {"linux": {"personality": personality}}, "uname -m; cat /proc/self/personality")
    assert said.split() == [machine, number]


# config-linux.md#memory-policy: "memoryPolicy (object, OPTIONAL) sets the NUMA memory policy for the container."
@pytest.mark.spec("config-linux.md#memory-policy", "memoryPolicy", "mode", "nodes", "flags")
@pytest.mark.parametrize("policy, seen", [
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "bind=static:0"),
    ({"mode": "MPOL_INTERLEAVE", "nodes": "0"}, "interleave:0"),
    ({"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, "prefer=relative:0"),
    ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "prefer (many):0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}, "bind=balancing:0"),
    ({"mode": "MPOL_LOCAL"}, "local"), ({"mode": "MPOL_DEFAULT"}, "default"), (None, "interleave:0")])
def test_memory_policy(policy: dict[str, Any] | None, seen: str, runtime: Runtime, place: Path, name: str) -> None:
    nodes, set_mempolicy = ctypes.c_ulong(1), 238
    assert libc.syscall(set_mempolicy, 3, ctypes.byref(nodes), 64) == 0      # MPOL_INTERLEAVE, which is inherited
    try:
        changes = {"linux": {"memoryPolicy": policy}, "process": {"args": ["sleep", "1000"]}}
        init = started(runtime, place, name, changes)
    finally:
        libc.syscall(set_mempolicy, 0, None, 0)
    lines = Path(f"/proc/{init.pid}/numa_maps").read_text().splitlines()
    assert {re.sub(r"^\w+ (prefer \(many\):\S+|\S+).*", r"\1", line) for line in lines} == {seen}


def test_session_keyring(runtime: Runtime, place: Path, name: str) -> None:
    """The container has a session keyring of its own, which its user may search."""
    unmasked: dict[str, Any] = {"linux": {"maskedPaths": []}}
    said = ran(runtime, place, name, unmasked, "cat /proc/keys")
    [line] = [line for line in said.splitlines() if f"_ses.{name}:" in line]
    assert int(line.split()[4], 16) & 0x00080000, "its owner's processes may not search it"


def test_no_new_keyring(runtime: Runtime, place: Path, name: str) -> None:
    config = docker_like(process={"args": ["cat", "/proc/keys"]}, linux={"maskedPaths": []})
    said = runtime.run(name, bundles.bundle(place / "bundle", config), "--no-new-keyring").stdout
    assert f"_ses.{name}:" not in said


# config.md#linux-process: "Any value which cannot be mapped to a relevant kernel interface, or cannot be granted
# otherwise MUST be logged as a warning by the runtime."
@pytest.mark.spec("config.md#linux-process", "capabilities that cannot be granted are a warning")
@pytest.mark.spec("runtime.md#warnings", "a warning changes nothing")
def test_unknown_capability_is_a_warning(runtime: Runtime, place: Path, name: str) -> None:
    sets = {"bounding": ["CAP_KILL", "CAP_TEST"], "permitted": ["CAP_KILL"]}
    config = docker_like(process={"args": ["grep", "CapPrm", "/proc/self/status"], "capabilities": sets})
    outcome = runtime("--debug", "run", "--bundle", bundles.bundle(place / "bundle", config), name)
    assert (outcome.status, outcome.stdout.split()[1]) == (0, f"{1 << 5:016x}")
    assert "CAP_TEST is unknown to this kernel: at process.capabilities.bounding[1]" in outcome.stderr


def test_engines_own_affinity_is_not_the_containers(runtime: Runtime, place: Path, name: str) -> None:
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(every)})
    try:
        init = started(runtime, place, name, {})
    finally:
        os.sched_setaffinity(0, every)
    assert os.sched_getaffinity(init.pid) >= every


# config.md#linux-process: "initial (string, OPTIONAL) is a list of CPUs a runtime parent process to be run on
# initially …", "final (string, OPTIONAL) is a list of CPUs the process will be run on after the transition to
# container's cgroup."
@pytest.mark.spec("config.md#linux-process", "execCPUAffinity", "execCPUAffinity.final")
def test_affinity_of_exec(runtime: Runtime, place: Path, name: str) -> None:
    last = str(max(os.sched_getaffinity(0)))
    started(runtime, place, name, {"process": {"execCPUAffinity": {"initial": "0", "final": last}}})
    said = runtime.ok("exec", name, "grep", "Cpus_allowed_list", "/proc/self/status").stdout
    assert said.split() == ["Cpus_allowed_list:", last]


# ---- AppArmor: the guest's kernel has it; the profile is in conftest.py ------------------------------------------
# config.md#linux-process: "apparmorProfile (string, OPTIONAL) specifies the name of the AppArmor profile for the
# process."
@pytest.mark.spec("config.md#linux-process", "apparmorProfile")
@pytest.mark.guest
@pytest.mark.parametrize("nnp", [False, True])
def test_apparmor_profile_confines(nnp: bool, apparmor: None, runtime: Runtime, place: Path, name: str) -> None:
    said = ran(runtime, place, name, {"process": {"apparmorProfile": "pyrunc-test", "noNewPrivileges": nnp}},
               "cat /proc/self/attr/current; cat /etc/group >/dev/null && echo may; cat /etc/passwd 2>&1")
    assert said.splitlines() == ["pyrunc-test (enforce)", "may", "cat: can't open '/etc/passwd': Permission denied"]


@pytest.mark.guest
def test_apparmor_profile_of_exec(apparmor: None, runtime: Runtime, place: Path, name: str) -> None:
    started(runtime, place, name, {})
    said = runtime.ok("exec", "--apparmor", "pyrunc-test", name, "cat", "/proc/self/attr/current").stdout
    assert said.strip() == "pyrunc-test (enforce)"


# Unconfined is what exec says, not what it leaves out.
@pytest.mark.guest
def test_apparmor_profile_of_exec_is_otherwise_the_containers(apparmor: None, runtime: Runtime, place: Path,
                                                              name: str) -> None:
    started(runtime, place, name, {"process": {"apparmorProfile": "pyrunc-test"}})
    shown = {"args": ["cat", "/proc/self/attr/current"], "cwd": "/", "env": [bundles.PATH]}
    file = place / "process.json"
    for process, profile in (({}, "pyrunc-test (enforce)"), ({"apparmorProfile": ""}, "pyrunc-test (enforce)"),
                             ({"user": {"uid": 5, "gid": 5}}, "pyrunc-test (enforce)"),
                             ({"apparmorProfile": "unconfined"}, "unconfined")):
        file.write_text(json.dumps({**shown, **process}))
        assert runtime.ok("exec", "--process", file, name).stdout.strip() == profile
    for flags in ([], ["--apparmor", ""]):
        assert runtime.ok("exec", *flags, name, *shown["args"]).stdout.strip() == "pyrunc-test (enforce)"


@pytest.mark.spec("config.md#linux-process", "apparmorProfile")
@pytest.mark.guest
def test_apparmor_profile_that_is_not_loaded(runtime: Runtime, place: Path, name: str) -> None:
    config = docker_like(process={"apparmorProfile": "no-such-profile"})
    outcome = runtime.run(name, bundles.bundle(place / "bundle", config))
    assert outcome.status == 1
    assert re.search(r"AppArmor profile no-such-profile .*no such file or directory: at process\.apparmorProfile in "
                     r"config\.json: step lsm\.apparmor .*hint: the profile is not loaded", outcome.stderr)


@pytest.mark.spec("config.md#linux-process", "selinuxLabel")
@pytest.mark.spec("runtime.md#create", "what cannot be applied is an error")
def test_label_without_its_security_module(runtime: Runtime, place: Path, name: str) -> None:
    """runtime.md#create: what cannot be applied is an error, before anything is made."""
    outcome = runtime.run(name, bundles.bundle(place / "bundle", docker_like(process={"selinuxLabel": "a:b:c:s0"})))
    assert outcome.status == 1 and "selinux label is specified in config, but selinux is disabled" in outcome.stderr
    assert "at process.selinuxLabel in config.json" in outcome.stderr


@pytest.mark.parametrize(("count", "size"), [(12000, 1000), (12, 1000000), (1, 200000)])
@pytest.mark.parametrize("part", ["env", "args"])
def test_more_than_the_kernel_takes(part: str, count: int, size: int, runtime: Runtime, place: Path, name: str) -> None:
    """execve(2): E2BIG, for all of it or for one string. It took a minute to come to that."""
    many = [f"V{number}=" + "x" * size for number in range(count)]
    process = {"args": ["true", *many]} if part == "args" else {"env": [bundles.PATH, *many]}
    bundle = bundles.bundle(place / "bundle", minimal(process=process))
    outcome = runtime("create", "--bundle", bundle, name)
    assert outcome.status == 0 and outcome.seconds < 30, outcome.stderr
    outcome = runtime("start", name)
    assert outcome.status == 1 and outcome.seconds < 30 and "argument list too long" in outcome.stderr
    runtime.ok("delete", "--force", name)
    said = runtime("check", "--bundle", bundle)
    assert said.status == 1 and "argument list too long" in said.stdout and f"process.{part}" in said.stdout


KIB = 1 << 10


@pytest.mark.parametrize(("strings", "stack", "most"), [
    (1, 8 << 20, 128 * KIB), (200, 8 << 20, 2 << 20), (20000, 8 << 20, 2 << 20), (20, 256 * KIB, 128 * KIB),
    (400, 1 << 30, 6 << 20), (400, (1 << 64) - 1, 6 << 20)])
def test_the_check_knows_how_much_the_kernel_takes(strings: int, stack: int, most: int, runtime: Runtime, place: Path,
                                                   name: str) -> None:
    """A little less works, and nothing is said; a little more does not, and is told."""
    limit = {"type": "RLIMIT_STACK", "soft": stack, "hard": stack}
    bundle = bundles.bundle(place / "bundle")
    for size in (most - 4 * KIB, most + 4 * KIB):
        pointer = 8 if strings > 1 else 0            # which is no part of the limit on one string
        env = [f"V{n:07}=".ljust(size // strings - 1 - pointer, "x") for n in range(strings)]
        bundles.write(bundle, minimal(process={"args": ["true"], "env": env, "rlimits": [limit]}))
        check, ran = runtime("check", "--bundle", bundle), runtime.run(f"{name}-{size}", bundle)
        assert (check.status, ran.status) == (int(size > most), int(size > most)), (check.stdout, ran.stderr)
        assert ("argument list too long" in ran.stderr) == ("argument list too long" in check.stdout) == (size > most)
