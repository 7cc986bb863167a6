"""Bundles with a name, one subject each: what `explain` prints for them is kept in tests/golden, and what a process in
them sees is compared with Debian's runc. Paths outside the bundle are made by the test that needs them."""
from __future__ import annotations

from typing import Any

from .bundles import CAPABILITIES, MOUNTS, PATH, PROC, Config, docker_like, minimal, namespaces
from .seccomp_profile import small

#: Where a test pins the namespaces that `joined_namespaces` names, and the host folders that some bundles bind.
JOINED = "/run/pyrunc-test/ns"
JOINED_TYPES = {"network": "net", "ipc": "ipc", "uts": "uts"}
SHARED = "/run/pyrunc-test/shared"

DEFAULT_TYPES = ("pid", "network", "ipc", "uts", "mount", "cgroup")


def bind(destination: str, *options: str, source: str = SHARED) -> Config:
    return {"destination": destination, "type": "bind", "source": source, "options": list(options)}


def hooks() -> dict[str, list[Config]]:
    """One hook of each kind; each appends its kind and the state it was given to a file in SHARED."""
    return {kind: [{"path": "/bin/sh" if kind == "startContainer" else "/usr/bin/env",
                    "args": ["sh", "-c", f"cat >>/dev/null; echo {kind}"] if kind == "startContainer" else
                    ["env", "sh", "-c", f"(echo {kind}; cat; echo) >>{SHARED}/hooks"],
                    "env": ["PATH=/usr/bin:/bin", f"KIND={kind}"], "timeout": 10}]
            for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")}


def all_resources() -> Config:
    return {
        "devices": [{"allow": False, "access": "rwm"},
                    {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}],
        "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 32},
        "blockIO": {"weight": 200},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 2 << 20}],
        "unified": {"memory.high": str(60 << 20), "cpu.max.burst": "1000"},
    }


def user_namespace() -> Config:
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    return docker_like(linux={"namespaces": namespaces("user", *DEFAULT_TYPES),
                              "uidMappings": mapping, "gidMappings": mapping})


def rootless() -> Config:
    """For uid and gid 1000 of the host: one id is mapped, and what only root may ask for is left out."""
    def line(host: int) -> list[Config]:
        return [{"containerID": 0, "hostID": host, "size": 1}]
    mounts = [entry for entry in MOUNTS if entry["type"] not in ("sysfs", "cgroup", "devpts")]
    mounts.append({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                   "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]})
    mounts.append({"destination": "/sys", "type": "none", "source": "/sys",
                   "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]})
    return docker_like(process={"rlimits": None, "oomScoreAdj": None, "user": {"additionalGids": None}}, mounts=mounts,
                       linux={"namespaces": namespaces("user", "pid", "ipc", "uts", "mount", "cgroup"),
                              "uidMappings": line(1000), "gidMappings": line(1000), "resources": None})


def idmapped_mounts() -> Config:
    def line(host: int) -> list[Config]:
        return [{"containerID": 0, "hostID": host, "size": 1000}]
    return docker_like(mounts=[*MOUNTS, {**bind("/mnt", "rbind", "ridmap"),
                                         "uidMappings": line(5000), "gidMappings": line(5000)}])


#: Options of a new mount, each where it makes a difference; and of a tree, as runc 1.1 has them, too.
MOUNT_FLAGS = (["sync"], ["dirsync"], ["lazytime"], ["noatime"], ["strictatime"], ["nodiratime"], ["nosuid", "suid"],
               ["nodev"], ["nodev", "dev"], ["noexec"], ["noexec", "exec"], ["ro"], ["ro", "rw"], ["relatime"],
               ["noatime", "atime"], ["nodiratime", "diratime"], ["sync", "async"], ["mode=711", "uid=7", "gid=8"])
TREE_FLAGS = ("rro", "rrw", "rnosuid", "rsuid", "rnodev", "rdev", "rnoexec", "rexec", "rnodiratime", "rdiratime",
              "rnoatime", "rrelatime", "rstrictatime", "rnosymfollow", "rsymfollow")
PROPAGATION = ("private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable")


def mount_flags() -> list[Config]:
    return [*MOUNTS,
            *({"destination": f"/m/{index}", "type": "tmpfs", "source": "tmpfs", "options": ["size=4k", *options]}
              for index, options in enumerate(MOUNT_FLAGS)),
            *(bind(f"/m/{option}", "rbind", option) for option in (*TREE_FLAGS, *PROPAGATION)),
            {"destination": "/m/0", "type": "tmpfs", "source": "tmpfs", "options": ["remount", "ro", "nosuid"]}]


def configs() -> dict[str, Config]:
    """Name -> config.json."""
    changes: dict[str, dict[str, Any]] = {
        "host_network": {"linux": {"namespaces": namespaces("pid", "ipc", "uts", "mount", "cgroup")}},
        "joined_namespaces": {"hostname": None, "linux": {"namespaces": [
            *namespaces("pid", "mount", "cgroup"),
            *({"type": kind, "path": f"{JOINED}/{file}"} for kind, file in JOINED_TYPES.items())]}},
        "readonly_root": {"root": {"readonly": True}},
        "all_hooks": {"hooks": hooks(), "annotations": {"com.example.key": "value", "empty": ""}},
        "seccomp": {"process": {"noNewPrivileges": True}, "linux": {"seccomp": small()}},
        "terminal": {"process": {"terminal": True, "consoleSize": {"height": 40, "width": 100}}},
        "all_resources": {"linux": {"resources": all_resources()}},
        "devices": {"linux": {
            "devices": [{"path": "/dev/kernel", "type": "c", "major": 1, "minor": 11, "fileMode": 0o640, "uid": 5,
                         "gid": 6},
                        {"path": "/dev/deep/loop", "type": "b", "major": 7, "minor": 3, "fileMode": 0o600},
                        {"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
                        {"path": "/dev/full", "type": "c", "major": 1, "minor": 7, "fileMode": 0o600}],
            "resources": {"devices": [{"allow": False, "access": "rwm"},
                                      {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rw"}]}}},
        "masked_paths": {"linux": {"maskedPaths": ["/proc/kcore", "/proc/acpi", "/etc/passwd", "/var", "/not/there"],
                                   "readonlyPaths": ["/proc/sys", "/etc", "/tmp", "/not/there"]}},
        "sysctl": {"linux": {"sysctl": {"net.ipv4.ip_forward": "1", "net/ipv4/ping_group_range": "0 7",
                                        "kernel.msgmax": "4096", "kernel.shm_rmid_forced": "1",
                                        "fs.mqueue.msg_max": "20"}}},
        "rlimits": {"process": {"rlimits": [
            {"type": "RLIMIT_NOFILE", "soft": 256, "hard": 512}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            {"type": "RLIMIT_NPROC", "soft": 400, "hard": 500},
            {"type": "RLIMIT_STACK", "soft": 4 << 20, "hard": 8 << 20},
            {"type": "RLIMIT_MSGQUEUE", "soft": 4096, "hard": 8192}]}},
        "capabilities": {"process": {
            "user": {"uid": 1000, "gid": 1000, "additionalGids": [5, 6], "umask": 0o27}, "noNewPrivileges": True,
            "capabilities": {"bounding": CAPABILITIES[:6], "permitted": CAPABILITIES[:4], "effective": CAPABILITIES[:2],
                             "inheritable": CAPABILITIES[:3], "ambient": CAPABILITIES[:2]}}},
        "process": {"process": {
            "cwd": "/var/made/deep", "oomScoreAdj": 300, "user": {"uid": 1000, "gid": 1001, "additionalGids": [7, 8]},
            "env": [PATH, "A=1", "A=2", "EMPTY=", "SPACES= a b "]}},
        "mount_flags": {"mounts": mount_flags()},
        "cgroups_path": {"linux": {"cgroupsPath": "/pyrunc-test-named/deep",
                                   "namespaces": namespaces("pid", "network", "ipc", "uts", "mount")}},
        "root_slave": {"linux": {"rootfsPropagation": "rslave"}},
        "root_private": {"linux": {"rootfsPropagation": "rprivate"}},
        "many_mounts": {"mounts": [*MOUNTS,
            *(bind(f"/mnt/{index}", "rbind", *options) for index, options in enumerate(
                (["ro"], ["rw", "nosuid", "nodev", "noexec"], ["noatime"], ["rprivate"], ["rslave"], ["rro"]))),
            bind("/etc/host-file", "bind", "ro", source=f"{SHARED}/file"), bind("/run/made/for/it", "bind"),
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "mode=1777", "noexec"]},
            {"destination": "/var", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "nosuid"]}]},
        "propagation": {"linux": {"rootfsPropagation": "rshared"},
                        "mounts": [*MOUNTS, bind("/mnt", "rbind", "rshared")]},
        "no_process": {"process": None},
    }
    return {"minimal": minimal(), "docker_like": docker_like(), "user_namespace": user_namespace(),
            **{name: docker_like(**change) for name, change in changes.items()},
            "idmapped_mounts": idmapped_mounts(), "rootless": rootless(),
            "bare": minimal(mounts=[], linux={"namespaces": namespaces("mount")}),
            "host_usr": docker_like(mounts=[PROC, *MOUNTS[1:], bind("/usr", "rbind", "ro", source="/usr")])}


BUNDLES = configs()
