"""Bundles made without any download: a root file system of one static busybox, and a config.json.

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

BUSYBOX = Path(os.environ.get("CONFORMANCE_BUSYBOX", "/bin/busybox"))
APPLETS = ("sh", "true", "false", "cat", "id", "ls", "sleep", "echo", "env", "stat", "mkdir", "touch", "kill", "ps",
           "tty", "stty", "hostname", "ip", "wc", "readlink", "test", "dd", "umount", "mount", "chmod", "seq", "head",
           "grep", "sync", "rm", "date", "uname", "tr", "find", "tail", "mknod", "sed", "cut", "sort", "ln")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PROC: Config = {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}
DEV: Config = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
               "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}
PTS: Config = {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
               "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}
MOUNTS: list[Config] = [PROC, DEV, PTS]
NAMESPACES = ("pid", "mount", "ipc", "uts", "network", "cgroup")


def namespaces(*types: str) -> list[Config]:
    """New namespaces of these types."""
    return [{"type": name} for name in types]


def of_a_user(uid: int, gid: int) -> Config:
    """What `linux` has for an ordinary user: a user namespace in which that user is root, and no other id is."""
    return {"namespaces": namespaces(*NAMESPACES, "user"),
            "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}]}


def tmpfs(destination: str, *options: str) -> Config:
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def bind(source: Path | str, destination: str, *options: str) -> Config:
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", *options]}


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


def changes(base: Config, found: Config) -> Config:
    """What merge needs to make `found` of `base`: what is special about a bundle."""
    result: Config = {key: None for key in base if key not in found}
    for key, value in found.items():
        before = base.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := changes(before, value):
                result[key] = inner
        elif key not in base or value != before:
            result[key] = copy.deepcopy(value)
    return result


def told(text: str) -> str:
    """A config.json for people: what it has beside the usual one, or as it is where it is no JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return text
    return json.dumps(changes(config(str(found.get("ociVersion", ""))), found), ensure_ascii=False)


def placed(found: Any, **places: Path) -> Any:
    """A part of a config with paths in place of words: {"DECOY": folder} for what is known in the case only."""
    text = json.dumps(found)
    for word, path in places.items():
        text = text.replace(word, json.dumps(str(path))[1:-1])
    return json.loads(text)


def config(version: str, **changes: Any) -> Config:
    """What every case starts from: a root, a process without capabilities of note, /proc and /dev, six namespaces."""
    return merge({
        "ociVersion": version,
        "root": {"path": "rootfs"},
        "process": {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": [PATH]},
        "mounts": MOUNTS,
        "linux": {"namespaces": namespaces(*NAMESPACES)},
    }, changes)


def root(path: Path) -> Path:
    """A root file system in the folder `path`, made if missing. FileNotFoundError without a static busybox."""
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var", "mnt", "run"):
        (path / name).mkdir(parents=True, exist_ok=True)
        (path / name).chmod(0o755)
    shutil.copy(BUSYBOX, path / "bin/busybox")
    for name in APPLETS:
        (path / "bin" / name).symlink_to("busybox")
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    (path / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    (path / "tmp").chmod(0o1777)
    return path


def write(place: Path, what: Config) -> Path:
    """config.json in a bundle; a root file system too, if there is none yet. Returns the bundle."""
    if not (place / "rootfs").exists():
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        root(place / "rootfs")
    (place / "config.json").write_text(json.dumps(what, indent=1))
    return place
