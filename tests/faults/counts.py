"""Every list and table of config.json, with n entries that differ and that this host can bear."""
from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bundles import MOUNTS, Config, docker_like, merge

Made = Callable[[int, Path], Config]
HOOK = {"path": "/bin/true"}


def process(**changes: Any) -> Made:
    return lambda n, root: {"process": {key: value(n) for key, value in changes.items()}}


def linux(**changes: Any) -> Made:
    return lambda n, root: {"linux": {key: value(n) for key, value in changes.items()}}


def resources(**changes: Any) -> Made:
    return lambda n, root: {"linux": {"resources": {key: value(n) for key, value in changes.items()}}}


def hooks(kind: str) -> Made:
    return lambda n, root: {"hooks": {kind: [HOOK] * n}}


def binds(n: int, root: Path) -> Config:
    return {"mounts": [*MOUNTS, *({"destination": f"/many/{k}", "source": "/bin", "options": ["bind", "ro"]}
                                  for k in range(n))]}


def tmpfs(n: int, root: Path) -> Config:
    return {"mounts": [*MOUNTS, *({"destination": f"/many/{k}", "type": "tmpfs", "source": "t"} for k in range(n))]}


def paths(name: str) -> Made:
    def made(n: int, root: Path) -> Config:
        (root / "many").mkdir(exist_ok=True)
        for k in range(n):
            (root / "many" / str(k)).touch()
        return {"linux": {name: [f"/many/{k}" for k in range(n)]}}
    return made


def rules(n: int) -> list[Config]:
    return [{"allow": True, "type": "c", "major": 1 + k // 250, "minor": k % 250, "access": "rw"} for k in range(n)]


def syscalls(n: int) -> Config:
    return {"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": [f"no_such_call_{k}"], "action": "SCMP_ACT_ERRNO"} for k in range(n)]}


def one_rule(n: int) -> Config:
    return {"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["acct"] * n, "action": "SCMP_ACT_ERRNO"}]}


def compared(n: int) -> Config:
    """A rule for each value of an argument: more than a filter has room for, from some number on."""
    return {"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["personality"], "action": "SCMP_ACT_ERRNO",
                          "args": [{"index": 0, "value": 1000 + k, "op": "SCMP_CMP_EQ"}]} for k in range(n)]}


def mappings(n: int, root: Path) -> Config:
    ids = [{"containerID": k, "hostID": 100000 + k, "size": 1} for k in range(n)]
    return {"linux": {"uidMappings": ids, "gidMappings": ids,
                      "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network", "user")]}}


def mapped_groups(n: int, root: Path) -> Config:
    made = mappings(n, root)
    return merge(made, {"linux": {"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]}})


def mapped_mount(n: int, root: Path) -> Config:
    ids = mappings(n, root)["linux"]["uidMappings"]
    return {"mounts": [*MOUNTS, {"destination": "/many", "type": "bind", "source": "/bin", "options": ["bind"],
                                 "uidMappings": ids, "gidMappings": ids}]}


def one_destination(n: int, root: Path) -> Config:
    return {"mounts": [*MOUNTS, *({"destination": "/many", "type": "tmpfs", "source": "t"} for _ in range(n))]}


def hook(**changes: Any) -> Made:
    return lambda n, root: {"hooks": {"createRuntime": [
        {**HOOK, **{key: value(n) for key, value in changes.items()}}]}}


def numbers(n: int) -> str:
    """A list of CPUs or memory nodes."""
    return ",".join(["0"] * n)


def parameters(n: int, root: Path) -> Config:
    """n that there are, in a network namespace with enough devices; the file in the bundle holds on to it."""
    namespace = root.parent / f"network-{n}"
    namespace.touch()
    subprocess.run(["unshare", f"--net={namespace}", "true"], check=True)
    inside = ["nsenter", f"--net={namespace}"]
    subprocess.run([*inside, "ip", "-batch", "-"], check=True, text=True,
                   input="".join(f"link add many{k} type dummy\n" for k in range(n // 25)))
    script = "import glob, json, os; print(json.dumps({p: open(p).read().strip() for p in glob.glob(" \
             "'/proc/sys/net/ipv4/conf/many*/*') if os.stat(p).st_mode & 0o200}))"
    found = json.loads(subprocess.run([*inside, "python3", "-c", script], check=True, capture_output=True).stdout)
    chosen = dict(list(found.items())[:n])
    assert len(chosen) == n
    spaces = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]
    return {"linux": {"namespaces": [*spaces, {"type": "network", "path": str(namespace)}],
                      "sysctl": {path.removeprefix("/proc/sys/"): value for path, value in chosen.items()}}}


def limits_of_disks(name: str, number: tuple[int, int] | None, **changes: Any) -> Made:
    """number None: each of a device that is not there."""
    def made(n: int, root: Path) -> Config:
        numbers = [number or (400 + k // 1000, k % 1000) for k in range(n)]
        return {"linux": {"resources": {"blockIO": {name: [
            {"major": major, "minor": minor, **changes} for major, minor in numbers]}}}}
    return made


THROTTLES = [f"throttle{what}Device" for what in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")]
LOOP = (7, 0)


def options(n: int, root: Path) -> Config:
    return {"mounts": [*MOUNTS, {"destination": "/many", "type": "tmpfs", "source": "t",
                                 "options": ["size=1m", *["nosuid"] * n]}]}


#: Name -> config; each is created, started and deleted.
WORK: dict[str, Made] = {
    "mounts, bind": binds,
    "mounts, tmpfs": tmpfs,
    "mounts[].options": options,
    "linux.devices": linux(devices=lambda n: [{"path": f"/dev/many/{k}", "type": "c", "major": 1, "minor": 3}
                                              for k in range(n)]),
    "linux.resources.devices": resources(devices=rules),
    "linux.maskedPaths": paths("maskedPaths"),
    "linux.readonlyPaths": paths("readonlyPaths"),
    "linux.seccomp.syscalls": linux(seccomp=syscalls),
    "linux.seccomp.syscalls[].names": linux(seccomp=one_rule),
    "process.args": process(args=lambda n: ["/bin/true", *map(str, range(n))]),
    "process.env": process(env=lambda n: ["PATH=/bin", *(f"V{k}={k}" for k in range(n))]),
    "process.user.additionalGids": process(user=lambda n: {"uid": 0, "gid": 0, "additionalGids": list(range(n))}),
    "process.capabilities": process(capabilities=lambda n: {"bounding": ["CAP_KILL"] * n}),
    "process.capabilities (unknown)": process(capabilities=lambda n: {"bounding": [f"CAP_NO{k}" for k in range(n)]}),
    "process.scheduler.flags": process(scheduler=lambda n: {"policy": "SCHED_OTHER",
                                                            "flags": ["SCHED_FLAG_RESET_ON_FORK"] * n}),
    "process.execCPUAffinity": process(execCPUAffinity=lambda n: {"initial": numbers(n)}),
    "mounts (of one destination)": one_destination,
    "linux.devices (of one path)": linux(devices=lambda n: [{"path": "/dev/one", "type": "c", "major": 1,
                                                             "minor": 3}] * n),
    "linux.maskedPaths (of one file)": linux(maskedPaths=lambda n: ["/proc/kcore"] * n),
    "linux.memoryPolicy.flags": linux(memoryPolicy=lambda n: {"mode": "MPOL_BIND", "nodes": "0",
                                                              "flags": ["MPOL_F_STATIC_NODES"] * n}),
    "linux.memoryPolicy.nodes": linux(memoryPolicy=lambda n: {"mode": "MPOL_BIND", "nodes": numbers(n)}),
    "linux.personality.flags": linux(personality=lambda n: {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"] * n}),
    "linux.seccomp.flags": linux(seccomp=lambda n: {"defaultAction": "SCMP_ACT_ALLOW",
                                                    "flags": ["SECCOMP_FILTER_FLAG_LOG"] * n}),
    "linux.seccomp.architectures": linux(seccomp=lambda n: {
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"] * (n // 2)}),
    "hooks.createRuntime[].args": hook(args=lambda n: ["true"] * n),
    "hooks.createRuntime[].env": hook(env=lambda n: [f"V{k}={k}" for k in range(n)]),
    "names that nothing knows": lambda n, root: {f"x{k}": k for k in range(n)},
    "annotations": lambda n, root: {"annotations": {f"org.example.{k}": str(k) for k in range(n)}},
    **{f"hooks.{kind}": hooks(kind) for kind in ("prestart", "createRuntime", "createContainer", "startContainer",
                                                 "poststart", "poststop")},
}


#: The same where there are all controllers and network devices: in the guest.
WORK_IN_GUEST: dict[str, Made] = {
    "linux.sysctl": parameters,
    "linux.resources.cpu.cpus": resources(cpu=lambda n: {"cpus": numbers(n)}),
    "linux.resources.cpu.mems": resources(cpu=lambda n: {"mems": numbers(n)}),
    **{f"linux.resources.blockIO.{name}": limits_of_disks(name, LOOP, rate=1 << 20) for name in THROTTLES},
}


def config(made: Made, n: int, root: Path) -> Config:
    return merge(docker_like(process={"args": ["true"]}), made(n, root))


#: Name -> config, the largest number that works (0: none is tried), and words of the error for more.
LIMITED: dict[str, tuple[Made, int, str]] = {
    "linux.uidMappings": (mappings, 323, "more than 340 mappings"),
    "linux.seccomp (values of one argument)": (linux(seccomp=compared), 1250, "instructions, the kernel takes 4096"),
    "linux.resources.devices (of every major number)": (
        resources(devices=lambda n: [{"allow": True, "type": "c", "minor": k, "access": "rw"} for k in range(n)]), 200,
        "rules for one minor number of every major number"),
    "linux.resources.hugepageLimits": (
        resources(hugepageLimits=lambda n: [{"pageSize": f"{1 + k}KB", "limit": 1} for k in range(n)]), 0, "KB"),
    "linux.netDevices": (linux(netDevices=lambda n: {f"no{k}": {} for k in range(n)}), 0, "no0"),
    "linux.namespaces": (
        lambda n, root: {"hostname": None, "linux": {"namespaces": [{"type": "pid"}] * n}}, 0, "duplicated ns"),
    "process.rlimits": (process(rlimits=lambda n: [{"type": "RLIMIT_CORE", "soft": k, "hard": k} for k in range(n)]), 0,
                        "RLIMIT_CORE"),
    "linux.seccomp (arguments of one call)": (
        linux(seccomp=lambda n: {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["acct"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": k % 6, "value": k, "op": "SCMP_CMP_GE"} for k in range(n)]}]}), 500,
        "instructions, the kernel takes 4096"),
    "process.user.additionalGids": (
        lambda n, root: {"process": {"user": {"uid": 0, "gid": 0, "additionalGids": list(range(20 * n))}}}, 1000,
        "65536"),
    "linux.resources.network.priorities": (
        resources(network=lambda n: {"priorities": [{"name": f"no{k}", "priority": 1} for k in range(n)]}), 0,
        "cgroup v2 has no net_prio controller"),
    "linux.resources.unified": (resources(unified=lambda n: {f"no.{k}": "1" for k in range(n)}), 0, "no.0"),
    "linux.gidMappings": (mapped_groups, 323, "more than 340 mappings"),
    "mounts[7].uidMappings": (mapped_mount, 323, "more than 340 mappings"),
    "linux.timeOffsets": (
        lambda n, root: {"linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "uts", "time")],
                                   "timeOffsets": {f"clock{k}": {"secs": k} for k in range(n)}}},
        0, "known are boottime, monotonic"),
    "linux.memoryPolicy": (linux(memoryPolicy=lambda n: {"mode": "MPOL_BIND", "nodes": f"0-{n - 1}"}), 60,
                           "node"),
    "linux.intelRdt": (linux(intelRdt=lambda n: {"schemata": [f"L3:{k}=f" for k in range(n)]}), 0,
                       "the kernel takes 4096 at once"),
    "linux.intelRdt (one line)": (
        linux(intelRdt=lambda n: {"l3CacheSchema": "L3:" + ";".join(f"{k}=f" for k in range(n))}), 0,
        "the kernel takes 4096 at once"),
}
LIMITED_IN_GUEST: dict[str, tuple[Made, int, str]] = {
    "linux.resources.rdma": (resources(rdma=lambda n: {f"no{k}": {"hcaHandles": 1} for k in range(n)}), 0,
                             "no such device"),
    **{f"linux.resources.blockIO.{name}": (limits_of_disks(name, None, rate=1 << 20), 0, "no such device")
       for name in THROTTLES},
    "linux.resources.blockIO.weightDevice": (limits_of_disks("weightDevice", None, weight=100), 0, "no such device"),
}
