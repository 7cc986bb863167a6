"""Every list and table of config.json, with n entries that differ and that this host can bear."""
from __future__ import annotations

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
                      "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "user")]}}


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
    "annotations": lambda n, root: {"annotations": {f"org.example.{k}": str(k) for k in range(n)}},
    **{f"hooks.{kind}": hooks(kind) for kind in ("prestart", "createRuntime", "createContainer", "startContainer",
                                                 "poststart", "poststop")},
}


def config(made: Made, n: int, root: Path) -> Config:
    return merge(docker_like(process={"args": ["true"]}), made(n, root))


#: Name -> config, the largest number that works (0: none is tried), and words of the error for more.
LIMITED: dict[str, tuple[Made, int, str]] = {
    "linux.uidMappings": (mappings, 0, "more than 340 mappings"),
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
    "linux.resources.unified": (resources(unified=lambda n: {f"no.{k}": "1" for k in range(n)}), 0, "no.0"),
}
