"""Finds out which of a snapshot's objects commands write to or read, so that those lie together (snapshot_layout.c).

The commands of a container's life are run with a program whose snapshot is spread. Where no container can be made, less
is known, and a start copies more pages.
"""
from __future__ import annotations

import os
import runpy
import struct
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).resolve().parent
#: Where a process of a spread program tells what it has written to or read: pairs of a block's number and its size.
TOUCHED = 100
IN_CHILD, READ_ONLY = 1 << 31, 1 << 30
#: Larger blocks stay where they are: a command writes to a part of them.
LARGEST = 16 << 10
HEAD, PAGE = 16, 4096
#: The zones (snapshot.h): what the first of these writes to, what else the second does, and so on. "child" is what a
#: process of the container writes, before it becomes that. Then what is only read: by the commands that are done at
#: once (QUICK), and by the others.
READ_AT_ONCE, READ = "read at once", "read"
ZONES = ("state", "kill", "start", "delete", "exec", "create", "run", "child", "features", "--version", "list",
         READ_AT_ONCE, READ)
QUICK = ("state", "kill", "start", "delete", "list")
REST = len(ZONES)
#: What the file begins with: the room of each zone.
HEADER = struct.Struct(f"={REST}Q")

#: What engines let a container do, of every kind.
CAPABILITIES = [f"CAP_{name}" for name in (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE")]
MOUNTS = {
    "/dev": ("tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    "/dev/pts": ("devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    "/dev/shm": ("tmpfs", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    "/dev/mqueue": ("mqueue", "nosuid,noexec,nodev"),
    "/sys": ("sysfs", "nosuid,noexec,nodev,ro"),
    "/sys/fs/cgroup": ("cgroup", "nosuid,noexec,nodev,ro"),
}


def like_an_engines(config: dict[str, Any]) -> None:
    """Let a container be of the kind that engines ask for: more namespaces, mounts, limits, and a filter."""
    config["mounts"] += [{"destination": place, "type": kind, "source": kind, "options": options.split(",")}
                         for place, (kind, options) in MOUNTS.items()]
    config["linux"]["namespaces"] += [{"type": "network"}, {"type": "cgroup"}]
    config["linux"].update(
        maskedPaths=["/proc/kcore", "/proc/keys", "/proc/acpi", "/sys/firmware"],
        readonlyPaths=["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        resources={"devices": [{"allow": False, "access": "rwm"}]},
        seccomp={"defaultAction": "SCMP_ACT_ALLOW", "architectures": [],
                 "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]})
    config["process"].update(
        noNewPrivileges=True, rlimits=[{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}],
        capabilities=dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES))


def touched(program: Any, words: Sequence[str]) -> tuple[int, dict[int, int], dict[int, int], dict[int, int]]:
    """Run a command: its status, and the sizes by number of what it has written to, what its child has, and what one of
    them has only read."""
    with tempfile.TemporaryFile() as told:
        os.dup2(told.fileno(), TOUCHED)
        try:
            status, _ = program(*words, keep=(TOUCHED,))
        finally:
            os.close(TOUCHED)
        told.seek(0)
        own: dict[int, int] = {}
        child: dict[int, int] = {}
        read: dict[int, int] = {}
        for number, size in struct.iter_unpack("=2I", told.read()):
            used = read if number & READ_ONLY else child if number & IN_CHILD else own
            used[number & ~(IN_CHILD | READ_ONLY)] = size
        return status, own, child, read


def try_commands(program: Any, zones: dict[str, dict[int, int]]) -> int:
    """A container's life; what it writes to is added. The status of its creation."""
    name, bundle = f"layout-{os.getpid()}", str(program.bundle)
    statuses = []
    try:
        for words in (["create", "--bundle", bundle, "--pid-file", str(program.place / "pid"), name],
                      ["state", name], ["start", name], ["state", name], ["exec", name, "/bin/sh", "-c", "exit 3"],
                      ["exec", name, "/bin/sh"], ["list"], ["kill", name, "KILL"], ["delete", name],
                      ["run", "--bundle", bundle, "--config", str(program.short()), name], ["features"], ["--version"]):
            status, own, child, read = touched(program, words)
            zones[words[0]].update(own)
            zones["child"].update(child)
            zones[READ_AT_ONCE if words[0] in QUICK else READ].update(read)
            statuses.append(status)
        return statuses[0]
    finally:
        program("delete", "--force", name)


def layout(spread: Path) -> bytes:
    """The layout that a spread program tells by being used."""
    tried: dict[str, Callable[..., Any]] = runpy.run_path(str(HERE / "try_snapshot.py"))
    zones: dict[str, dict[int, int]] = {name: {} for name in ZONES}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        place.chmod(0o755)
        for name, change in (("engine", like_an_engines), ("simple", None)):
            program = tried["Program"](spread, place / name, change)
            if not try_commands(program, defaultdict(dict)):        # (the first compiles the filter, which others find)
                try_commands(program, zones)
        if not zones["create"]:                     # what commands write that find no container
            try_commands(program, zones)
    if not any(zones.values()):
        print("launcher: without a layout: the spread program does not tell what commands write to", file=sys.stderr)
    return packed(zones)


def packed(zones: dict[str, dict[int, int]]) -> bytes:
    """The file: the room of each zone, and then the zone of each block by its number."""
    where: dict[int, int] = {}
    room = [0] * REST
    for kind, found in enumerate(zones.values()):
        for block, size in found.items():
            if size <= LARGEST and block not in where:
                where[block] = kind
                room[kind] += size + HEAD
    room = [(size + PAGE - 1) // PAGE * PAGE for size in room]
    return HEADER.pack(*room) + bytes(where.get(number, REST) for number in range(max(where, default=0) + 1))
