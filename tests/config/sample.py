"""A config.json with every property of runtime-spec 1.3 that the platform linux has, sound in itself."""
from __future__ import annotations

import copy
from typing import Any

HOOK: dict[str, Any] = {"path": "/bin/hook", "args": ["hook", "1"], "env": ["A=b"], "timeout": 5}
IDS: list[dict[str, int]] = [{"containerID": 0, "hostID": 1000, "size": 1000},
                             {"containerID": 1000, "hostID": 5000, "size": 10}]
THROTTLE: list[dict[str, int]] = [{"major": 8, "minor": 0, "rate": 600}]

EVERYTHING: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "box",
    "domainname": "example.org",
    "process": {
        "terminal": True,
        "consoleSize": {"height": 25, "width": 80},
        "cwd": "/",
        "env": ["PATH=/bin", "EMPTY="],
        "args": ["sh", "-c", "true"],
        "commandLine": "",
        "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3, 4], "username": ""},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096},
                    {"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}],
        "apparmorProfile": "profile",
        "capabilities": {name: ["CAP_KILL", "CAP_CHOWN"] for name in
                         ("effective", "bounding", "inheritable", "permitted", "ambient")},
        "noNewPrivileges": True,
        "oomScoreAdj": 100,
        "scheduler": {"policy": "SCHED_DEADLINE", "nice": 0, "priority": 0, "flags": ["SCHED_FLAG_RESET_ON_FORK"],
                      "runtime": 10000, "deadline": 20000, "period": 30000},
        "selinuxLabel": "a:b:c",
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
        "execCPUAffinity": {"initial": "0-1", "final": "0"},
    },
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
        {"destination": "/data", "type": "none", "source": "/srv", "options": ["rbind", "ridmap"],
         "uidMappings": IDS, "gidMappings": IDS},
    ],
    "hooks": {name: [HOOK] for name in
              ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")},
    "annotations": {"org.example.key": "value"},
    "linux": {
        "namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/a"},
                       *({"type": name} for name in ("mount", "ipc", "uts", "user", "cgroup", "time"))],
        "uidMappings": IDS,
        "gidMappings": IDS,
        "timeOffsets": {"monotonic": {"secs": -5, "nanosecs": 7}, "boottime": {"secs": 60, "nanosecs": 0}},
        "devices": [{"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0},
                    {"type": "p", "path": "/dev/pipe"}],
        "netDevices": {"eth7": {"name": "inside"}},
        "cgroupsPath": "/a/b",
        "resources": {
            "devices": [{"allow": False, "access": "rwm"},
                        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}],
            "memory": {"limit": 1 << 30, "reservation": 1 << 29, "swap": 1 << 31, "kernel": -1, "kernelTCP": -1,
                       "swappiness": 60, "disableOOMKiller": False, "useHierarchy": True, "checkBeforeUpdate": True},
            "cpu": {"shares": 1024, "quota": 100000, "burst": 50000, "period": 100000, "realtimeRuntime": 950000,
                    "realtimePeriod": 1000000, "cpus": "0-3,7", "mems": "0", "idle": 0},
            "blockIO": {"weight": 100, "leafWeight": 100,
                        "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
                        "throttleReadBpsDevice": THROTTLE, "throttleWriteBpsDevice": THROTTLE,
                        "throttleReadIOPSDevice": THROTTLE, "throttleWriteIOPSDevice": THROTTLE},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1 << 24}],
            "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
            "pids": {"limit": 100},
            "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
            "unified": {"memory.high": "1073741824"},
        },
        "intelRdt": {"closID": "group", "l3CacheSchema": "L3:0=ff", "memBwSchema": "MB:0=20", "schemata": ["L2:0=f"],
                     "enableMonitoring": True},
        "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
        "sysctl": {"net.ipv4.ip_forward": "1"},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/run/agent.sock", "listenerMetadata": "data",
            "syscalls": [{"names": ["mknod", "mount"], "action": "SCMP_ACT_NOTIFY"},
                         {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38,
                          "args": [{"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}],
        },
        "rootfsPropagation": "slave",
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "mountLabel": "a:b:c",
        "personality": {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]},
    },
    "freebsd": {}, "solaris": {"anything": [1.5]}, "vm": {}, "windows": {"layerFolders": []}, "zos": {},
}

Path = tuple[str | int, ...]


def everything() -> dict[str, Any]:
    """A copy of EVERYTHING, to be spoilt."""
    return copy.deepcopy(EVERYTHING)


def paths(value: Any, path: Path = ()) -> list[Path]:
    """The path of every value below a value, itself included."""
    found = [path]
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found += paths(inner, (*path, key))
    return found


def replaced(config: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy of config with another value at the path, which is not empty."""
    copied = copy.deepcopy(config)
    place: Any = copied
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copied


def without(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """A copy of config without the member at the path."""
    copied = copy.deepcopy(config)
    place: Any = copied
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return copied


def pattern(path: Path) -> str:
    """A path with [] for every index: linux.devices[].path."""
    text = "".join("[]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")
