"""OCI bundles made without any download: a busybox root or the host's own /usr, and a config.json like Docker's.

    bundle(place, docker_like(process={"args": ["id"]}, linux={"resources": {"pids": {"limit": 9}}}))

Changes are merged: dictionaries key by key, a list or a value replaces, None removes the key.
"""
from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

Config = dict[str, Any]

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "true", "false", "cat", "id", "ls", "sleep", "echo", "env", "stat", "mkdir", "touch", "kill", "ps",
           "tty", "stty", "hostname", "ip", "wc", "readlink", "test", "dd", "umount", "mount", "chmod", "seq", "head",
           "grep", "sync", "rm", "date", "uname", "tr", "find", "tail")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: A process that waits, also when it is restored from images: CRIU lets a sleep that it interrupts end there (EINTR).
SLEEPER = ["sh", "-c", "while :; do sleep 1000; done"]

#: What engines grant by default.
CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
                "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
                "CAP_AUDIT_WRITE"]

PROC: Config = {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}
MOUNTS: list[Config] = [
    PROC,
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
     "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
     "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
     "options": ["ro", "nosuid", "noexec", "nodev"]},
]
MASKED = ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def namespaces(*types: str) -> list[Config]:
    """New namespaces of these types."""
    return [{"type": name} for name in types]


def merge(base: Config, changes: Config) -> Config:
    """base with changes, both left as they are; the rules stand at the top of this file."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def minimal(**changes: Any) -> Config:
    """As little as a container can have: a root, a process, pid and mount namespaces and a procfs."""
    return merge({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": [PATH]},
        "mounts": [PROC],
        "linux": {"namespaces": namespaces("pid", "mount")},
    }, changes)


def docker_like(**changes: Any) -> Config:
    """What an engine asks for when the user asks for nothing, without the seccomp profile (seccomp.py has one)."""
    return merge({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "hostname": "box",
        "process": {
            "args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
            "env": [PATH, "TERM=xterm"],
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "oomScoreAdj": 0,
        },
        "mounts": MOUNTS,
        "linux": {
            "namespaces": namespaces("pid", "network", "ipc", "uts", "mount", "cgroup"),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }, changes)


def busybox_root(path: Path) -> Path:
    """A root file system of one static program and its names, with the files that programs expect."""
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var", "mnt", "run"):
        (path / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(BUSYBOX, path / "bin/busybox")
    for name in APPLETS:
        (path / "bin" / name).symlink_to("busybox")
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    (path / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    os.chmod(path / "tmp", 0o1777)
    return path


def host_root(path: Path) -> Path:
    """A root with the host's merged /usr: mount it with host_mounts(), read-only, and every program is there."""
    for name in ("dev", "etc", "proc", "sys", "tmp", "usr", "var"):
        (path / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (path / name).symlink_to(f"usr/{name}")
    return path


def host_mounts() -> list[Config]:
    """MOUNTS, and the host's /usr read-only."""
    return [*MOUNTS, {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro", "nosuid"]}]


def write(place: Path, config: Config) -> Path:
    """config.json in an existing bundle folder, in place of the one before."""
    (place / "config.json").write_text(json.dumps(config, indent=2))
    return place


def bundle(place: Path, config: Config | None = None, *, host_usr: bool = False) -> Path:
    """A bundle in the folder `place`, made if missing: root file system and config.json. Returns the folder.

    Every folder can be searched by anyone, so that a user namespace's root finds its files.
    """
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    (host_root if host_usr else busybox_root)(place / "rootfs")
    return write(place, docker_like() if config is None else config)
