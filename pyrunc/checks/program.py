"""What is executed: by whom it may be, and whether the kernel can make anything of what the file holds.

The image's files are read here by a program of the host, but never run; what is read of one is bounded. The reasons are
those that the last stage gives when execve has failed (_native/last_explain.c), in the same words.
"""
from __future__ import annotations

import errno
import os
import platform
import stat
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.environment import DEFAULT_PATH
from ..config.mappings import host_id
from ..config.rules.linux import namespace
from ..config.where import quoted
from ..errors import NOT_FOUND_IN_PATH, strerror
from ..paths import absolute
from .findings import Finding, error, warning
from .in_root import BELOW_A_FILE, LOOP, Hidden, find, find_program, walk

if TYPE_CHECKING:
    from ..config.types import Config

HEAD = 256                       # BINPRM_BUF_SIZE: what of a script's first line the kernel looks at
MACHINES = {"x86_64": 62, "aarch64": 183, "riscv64": 243, "s390x": 22, "ppc64le": 21}
NAMES = {3: "x86", 8: "MIPS", 21: "PowerPC", 22: "s390x", 40: "ARM", 62: "x86-64", 183: "AArch64", 243: "RISC-V",
         258: "LoongArch"}
NOT_THERE = {LOOP: errno.ELOOP, BELOW_A_FILE: errno.ENOTDIR}
PT_INTERP = 3
PROGRAM_HEADERS = 64
WHERE = "process.args[0]"


def findings(config: Config, root: str) -> Iterator[Finding]:
    """config is sound in itself; root is the host's path of the root, which is there."""
    process = config.get("process")
    if process is None:
        yield warning("process", "config.json has no process: the container can be created but not started")
        return
    mounts = {absolute(mount["destination"], "/"): mount.get("options", ()) for mount in config.get("mounts", ())}
    yield from _directory(process["cwd"], root, mounts)
    search = next((entry[5:] for entry in reversed(process.get("env", [])) if entry.startswith("PATH=")), DEFAULT_PATH)
    name = process["args"][0]
    if "/" in name and not name.startswith("/"):
        name = f"{process['cwd']}/{name}"
    try:
        found, useless = find_program(root, name, search, mounts)
    except Hidden:
        yield from _mounted(name, config, mounts)
        return
    if found is None:
        yield error(WHERE, f"exec: {quoted(process['args'][0])}: {_refusal(name, useless, root, mounts)}",
                    *[_reason(path, root) for path in useless[:1]])
        return
    who = _owner(config)
    if who is not None and (closed := _closed(found, root, *who)):
        yield error(WHERE, f"exec: {quoted(process['args'][0])}: "
                    + (NOT_FOUND_IN_PATH if "/" not in name else f"stat {name}: permission denied"), closed)
    elif reason := content(found, root, mounts):
        yield error("process.args", f"exec: {quoted(process['args'][0])} cannot be executed", reason)


def _directory(cwd: str, root: str, mounts: Collection[str]) -> Iterator[Finding]:
    try:
        place = find(root, cwd, mounts)
    except Hidden:
        return
    if place is None:
        yield warning("process.cwd", f"{quoted(cwd)} does not exist in the root: it is made, and belongs to root")
    elif not os.path.isdir(place):
        yield error("process.cwd", f"{quoted(cwd)} is not a directory")


def _mounted(name: str, config: Config, mounts: dict[str, Any]) -> Iterator[Finding]:
    """A program by its path on a mount that lets none be executed; what else is there, only a container could tell."""
    if "/" not in name:
        return
    above = [place for place in mounts if f"{absolute(name, '/')}/".startswith(f"{place}/")]
    if above and "noexec" in mounts[max(above, key=len)]:
        yield error(WHERE, f"exec: {quoted(name)}: permission denied", "it is on a mount with the option noexec")


def _refusal(name: str, useless: list[str], root: str, mounts: Collection[str]) -> str:
    """As create words it: what is named by a path is looked at, and in PATH only what can be executed counts."""
    if "/" not in name:
        return NOT_FOUND_IN_PATH
    if not useless:
        try:
            number = NOT_THERE.get(walk(root, name, mounts)[0], errno.ENOENT)
        except OSError as fault:             # a name that is too long, say
            number = fault.errno or errno.ENOENT
        return f"stat {name}: {strerror(number)}"
    return "is a directory" if os.path.isdir(useless[0]) else "permission denied"


def _reason(path: str, root: str) -> str:
    place = quoted(path.removeprefix(root))
    if os.path.isdir(path):
        return f"{place} is a directory"
    if not os.path.isfile(path):
        return f"{place} is not a regular file"
    return f"no user may execute {place}"


def _owner(config: Config) -> tuple[int, set[int]] | None:
    """(uid, gids) of the host that the program is run as; None for who may read and search everything there, or is of a
    user namespace whose ids are elsewhere."""
    process: Any = config["process"]
    linux = config.get("linux", {})
    user, sets = process.get("user", {"uid": 0, "gid": 0}), process.get("capabilities")
    names: list[str] = sets.get("effective", []) if sets is not None else []
    if {"CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"} & {*names} or (sets is None and user["uid"] == 0):
        return None
    joined = namespace(config, "user")
    if joined is not None and joined.get("path"):
        return None
    uid, gids = user["uid"], {user["gid"], *user.get("additionalGids", ())}
    if joined is not None:
        mapped = host_id(linux.get("uidMappings", []), uid)
        return None if mapped is None else (mapped, {
            found for gid in gids if (found := host_id(linux.get("gidMappings", []), gid)) is not None})
    return uid, gids


def _closed(path: str, root: str, uid: int, gids: set[int]) -> str:
    """Why the user cannot execute a file that is there: a folder above it, or the file itself; "" when it can."""
    inside = Path(path.removeprefix(root))
    for place in [*reversed(inside.parents), inside]:
        found = os.stat(f"{root}{place}")
        shift = 6 if found.st_uid == uid else 3 if found.st_gid in gids else 0
        if not found.st_mode >> shift & 1 and not _has_list(f"{root}{place}"):
            what = "searched" if stat.S_ISDIR(found.st_mode) else "executed"
            return f"{quoted(str(place))} may not be {what} by uid {uid}"
    return ""


def _has_list(path: str) -> bool:
    """Whether it has an access control list (acl(5)), which may say otherwise than its mode."""
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False


def content(path: str, root: str, mounts: Collection[str]) -> str:
    """Why the kernel would not execute the file, "" when it would, or nobody can tell."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
        if head.startswith(b"\x7fELF"):
            interpreter, reason = _elf(file, head), ""
            if isinstance(interpreter, str):
                return interpreter
            kind = "its dynamic loader"
        elif head.startswith(b"#!"):
            line, newline, _ = head[2:].partition(b"\n")
            if newline and line.endswith(b"\r"):
                return "its first line ends with a carriage return (DOS line ends)"
            interpreter, reason, kind = (line.split() or [b""])[0], "", "its interpreter"
        else:
            # A format may be registered (binfmt_misc), by its first bytes.
            reason = "the file is empty" if not head else "neither a program nor a script that begins with #!"
            return "" if head and _registered() else reason
    name = interpreter.decode(errors="replace")
    try:
        if name and find(root, name, mounts) is None:
            return f"{kind} {quoted(name)} is not in the container"
    except Hidden:
        pass
    return ""


def _elf(file: Any, head: bytes) -> bytes | str:
    """The path of a program's loader, b"" for none; a text says why the program itself cannot be."""
    order = "<" if head[5:6] == b"\1" else ">"
    machine = struct.unpack(f"{order}H", head[18:20])[0] if len(head) >= 20 else 0
    own = MACHINES.get(platform.machine())
    if own is not None and machine != own and not (machine == 3 and own == 62) and not _registered():
        return f"it is built for another processor ({NAMES.get(machine, f'ELF machine {machine}')})"
    if head[4:5] != b"\2" or len(head) < 64:
        return b""
    offset, = struct.unpack(f"{order}Q", head[32:40])
    size, count = struct.unpack(f"{order}HH", head[54:58])
    for number in range(min(count, PROGRAM_HEADERS)):
        file.seek(min(offset + number * size, 1 << 31))
        segment = file.read(56)
        if len(segment) == 56 and struct.unpack(f"{order}I", segment[:4])[0] == PT_INTERP:
            start, length = struct.unpack(f"{order}Q16xQ", segment[8:40])
            file.seek(min(start, 1 << 31))
            loader: bytes = file.read(min(length, HEAD)).rstrip(b"\0")
            return loader
    return b""


def _registered() -> bool:
    """Whether the kernel knows other formats (binfmt_misc), such as programs for another processor by qemu."""
    try:
        return bool({*os.listdir("/proc/sys/fs/binfmt_misc")} - {"register", "status"})
    except OSError:
        return False
