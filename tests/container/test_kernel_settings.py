"""What the kernel keeps about the container's process, and whose its cgroup is, seen from inside."""
from __future__ import annotations

import ctypes
import os
import resource
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like, merge, namespaces
from tests.runtimes import Runtime

#: RLIMIT_* of getrlimit(2) -> the line of /proc/self/limits
LIMITS = {"AS": "Max address space", "CORE": "Max core file size", "CPU": "Max cpu time", "DATA": "Max data size",
          "FSIZE": "Max file size", "LOCKS": "Max file locks", "MEMLOCK": "Max locked memory",
          "MSGQUEUE": "Max msgqueue size", "NICE": "Max nice priority", "NOFILE": "Max open files",
          "NPROC": "Max processes", "RSS": "Max resident set", "RTPRIO": "Max realtime priority",
          "RTTIME": "Max realtime timeout", "SIGPENDING": "Max pending signals", "STACK": "Max stack size"}
NUMBERS = {"LOCKS": 10}              # the others are in Python's module


def ran(runtime: Runtime, place: Path, name: str, changes: dict[str, Any], *args: str, **options: Any) -> str:
    bundle = bundles.bundle(place / "bundle", merge(docker_like(process={"args": list(args)}), changes))
    outcome = runtime.run(name, bundle, **options)
    assert outcome.status == 0, outcome.stderr
    return outcome.stdout


# config.md#posix-process: "For each entry in rlimits, a getrlimit(3) on type MUST succeed." "rlim.rlim_cur MUST match
# the configured value." "rlim.rlim_max MUST match the configured value."
@pytest.mark.spec("config.md#posix-process", "rlimits.type", "every rlimit can be read back", "rlim_cur is soft",
                  "rlim_max is hard")
def test_every_resource_limit(runtime: Runtime, place: Path, name: str) -> None:
    wanted = {}
    for short in LIMITS:
        _, hard = resource.getrlimit(NUMBERS.get(short) or getattr(resource, f"RLIMIT_{short}"))
        # Lower than the own one, which no privilege is needed for, and high enough to run with.
        hard = min(hard if hard >= 0 else 1 << 40, 1 << 33 if short in ("AS", "DATA", "STACK", "RSS", "FSIZE") else 900)
        wanted[short] = (max(hard - 1, 0), hard)
    limits = [{"type": f"RLIMIT_{short}", "soft": soft, "hard": hard} for short, (soft, hard) in wanted.items()]
    said = ran(runtime, place, name, {"process": {"rlimits": limits}}, "cat", "/proc/self/limits")
    found = {line[:26].strip(): tuple(line[26:].split()[:2]) for line in said.splitlines()}
    assert {short: found[text] for short, text in LIMITS.items()} == {
        short: (str(soft), str(hard)) for short, (soft, hard) in wanted.items()}


# config.md#linux-process: "If oomScoreAdj is not set, the runtime MUST NOT change the value of oom_score_adj."
@pytest.mark.spec("config.md#linux-process", "oom_score_adj is left alone without it")
def test_oom_score_adj_is_left_alone(runtime: Runtime, place: Path, name: str) -> None:
    before = Path("/proc/self/oom_score_adj").read_text()
    Path("/proc/self/oom_score_adj").write_text(str(int(before) + 11))
    try:
        said = ran(runtime, place, name, {"process": {"oomScoreAdj": None}}, "cat", "/proc/self/oom_score_adj")
        assert int(said) == int(before) + 11
    finally:
        subprocess.run(["sh", "-c", f"echo {before.strip()} >/proc/{os.getpid()}/oom_score_adj"], check=False)


# config.md#linux-process: "runtime represents the amount of time in nanoseconds during which the process is allowed to
# run in a given period"; "deadline …"; "period …"
@pytest.mark.guest
@pytest.mark.spec("config.md#linux-process", "scheduler.policy", "scheduler.runtime", "scheduler.deadline",
                  "scheduler.period")
def test_deadline_scheduling(runtime: Runtime, place: Path, name: str) -> None:
    wanted = {"runtime": 10_000_000, "deadline": 20_000_000, "period": 30_000_000}
    config = docker_like(process={"args": ["sleep", "1000"], "scheduler": {
        "policy": "SCHED_DEADLINE", **wanted, "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"]}})
    init = runtime.create(name, bundles.bundle(place / "bundle", config))
    attr, sched_getattr = ctypes.create_string_buffer(56), 315
    assert ctypes.CDLL(None).syscall(sched_getattr, init.pid, attr, 56, 0) == 0
    _, policy, flags, _, _, *times = struct.unpack_from("=IIQiIQQQ", attr)
    assert (policy, flags & 3, times) == (6, 3, list(wanted.values()))


# config.md#linux-process: "initial (string, OPTIONAL) is a list of CPUs a runtime parent process to be run on
# initially, before the transition to container's cgroup." "If [final is] omitted or empty, runtime SHOULD NOT change
# process' CPU affinity after the process is moved to container's cgroup"
@pytest.mark.spec("config.md#linux-process", "execCPUAffinity", "execCPUAffinity.initial", "execCPUAffinity.final",
                  "without final the affinity is left alone")
def test_affinity_of_exec(runtime: Runtime, place: Path, name: str) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    first, last = str(cpus[0]), str(cpus[-1])
    cases = (({"initial": first}, first), ({"final": last}, last),
             ({"initial": first, "final": f"{first},{last}"}, f"{first},{last}"))
    for number, (affinity, expected) in enumerate(cases):
        id = f"{name}-{number}"
        config = docker_like(process={"args": ["sleep", "1000"], "execCPUAffinity": affinity})
        init = runtime.create(id, bundles.bundle(place / id, config))
        runtime.ok("start", id)
        assert os.sched_getaffinity(init.pid) >= set(cpus), "this setting is not applicable to the container's init"
        said = runtime.ok("exec", id, "grep", "Cpus_allowed_list", "/proc/self/status").stdout.split()[1]
        low, _, high = said.partition("-")
        assert {low, high or low} == {*expected.split(",")}, said


# config-linux.md#cgroup-ownership: "Runtimes SHOULD change the cgroup ownership if and only if the cgroup filesystem is
# to be mounted read/write"; "The runtime SHOULD NOT change the ownership of any other files. Changing other files may
# allow the container to elevate its own resource limits"
@pytest.mark.guest
@pytest.mark.spec("config-linux.md#cgroup-ownership", "the cgroup is delegated where it is mounted to be written",
                  "only the files meant for it are delegated")
@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_the_container_manages_its_own_cgroup(mode: str, runtime: Runtime, place: Path, name: str) -> None:
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    mounts = [mount for mount in bundles.MOUNTS if mount["type"] != "cgroup"]
    mounts.append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [mode]})
    script = ("cd /sys/fs/cgroup; mkdir sub && echo 0 >sub/cgroup.procs && cat /proc/self/cgroup; "
              "echo +pids >cgroup.subtree_control && ls sub/pids.max; echo 7 >sub/pids.max && cat sub/pids.max; "
              "(echo max >pids.max) 2>&1; cat pids.max; echo $$ >cgroup.procs 2>/dev/null; true")
    changes = {"mounts": mounts, "linux": {"namespaces": namespaces("user", "pid", "network", "ipc", "uts", "mount",
                                                                   "cgroup"),
                                           "uidMappings": mapping, "gidMappings": mapping,
                                           "resources": {"pids": {"limit": 50}}}}
    said = ran(runtime, place, name, changes, "sh", "-c", script).splitlines()
    if mode == "rw":
        assert said == ["0::/sub", "sub/pids.max", "7", "sh: can't create pids.max: Permission denied", "50"]
    else:
        assert said == ["sh: can't create pids.max: Read-only file system", "50"]
