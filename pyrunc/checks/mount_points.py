"""Where mounts go and what they are of: places that cannot be, options that do not fit, kinds that are not allowed."""
from __future__ import annotations

import os
import re
import stat
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

from ..config.rules.linux import namespace
from ..config.where import quoted
from ..paths import absolute
from ..rootfs.mountinfo import type_of
from .findings import Finding, error, warning
from .in_root import BELOW_A_FILE, FILE, LOOP, MISSING, Hidden, find, walk

if TYPE_CHECKING:
    from ..config.types import Config
    from ..host import Host

#: File systems with FS_USERNS_MOUNT.
IN_A_USER_NAMESPACE = {"proc", "sysfs", "tmpfs", "ramfs", "devpts", "mqueue", "cgroup", "cgroup2", "overlay", "fuse",
                       "fuse.", "binfmt_misc", "bpf", "rpc_pipefs", "aufs", "shiftfs", "bind", "none", ""}
#: File systems without FS_ALLOW_IDMAP, as of Linux 6.18.
NEVER_MAPPED = {"sysfs", "proc", "9p", "devpts", "cgroup", "cgroup2", "mqueue", "nfs", "nfs4", "cifs", "debugfs",
                "tracefs", "securityfs", "bpf", "pstore", "efivarfs", "configfs", "fusectl"}
#: memparse(): what a size of tmpfs may be.
SIZE = re.compile(r"(0x[0-9a-fA-F]+|\d+)[kKmMgGtTpPeE]?%?")
VALUES = {"size": SIZE, "nr_blocks": SIZE, "nr_inodes": SIZE, "mode": re.compile("0?o?[0-7]+"),
          "uid": re.compile(r"\d+"),
          "gid": re.compile(r"\d+")}
UNITS = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
#: Entries of a tree that are counted for tmpcopyup before it counts as large.
MANY = 100_000


def findings(config: Config, bundle: str, root: str, host: Host) -> Iterator[Finding]:
    """config is sound in itself; root is the host's path of the root, which is there."""
    before: dict[str, Any] = {}
    for index, mount in enumerate(config.get("mounts", ())):
        where, options = f"mounts[{index}]", mount.get("options", ())
        destination = absolute(mount["destination"], "/")
        bound = bool({"bind", "rbind"} & {*options})
        if "remount" not in options:
            yield from _place(root, destination, where, not bound, before, bundle)
        if mount.get("type") == "tmpfs" and not bound:
            yield from _tmpfs(mount, root, destination, before, where)
        if bound and (mount.get("uidMappings") or "idmap" in options or "ridmap" in options):
            yield from _mapped(absolute(mount["source"], bundle), where)
        before[destination] = mount
    yield from _of_a_user(config, host)


def _place(root: str, destination: str, where: str, directory: bool, before: dict[str, Any],
           bundle: str) -> Iterator[Finding]:
    """The mount point is there, or can be made. directory: it has to be one (of bind mounts, on_this_host tells)."""
    top, inside, base = root, destination, ""
    above = destination
    while not base and (above := above.rpartition("/")[0]):
        base = above if above in before else ""
    if base:                          # it is made in another mount: only of a bind mount is there anything to be seen
        outer = before[base]
        options = {*outer.get("options", ())}
        if not {"bind", "rbind"} & options:
            return
        top, inside = absolute(outer["source"], bundle), destination[len(base):]
        if not os.path.isdir(top):
            return
        read_only = "ro" in options
    else:
        read_only = False
    try:
        kind, place = walk(top, inside, Within(base, before))
    except Hidden:
        return
    if kind == LOOP:
        yield error(f"{where}.destination", f"{quoted(destination)}: too many levels of symbolic links")
    elif kind == BELOW_A_FILE:
        yield error(f"{where}.destination",
                    f"{quoted(place)} is a file, so nothing can be mounted below it: not a directory")
    elif kind == MISSING and (read_only or _read_only(top)):
        yield error(f"{where}.destination", f"the mount point {quoted(destination)} does not exist and cannot be made: "
                    "read-only file system", "make it in the image, or in what is mounted above it")
    elif kind == FILE and directory and not base:
        yield error(f"{where}.destination", f"{quoted(destination)} in the root is a file, and this can only be "
                                            "mounted on a directory: not a directory")


class Within:
    """The places of mounts as they are seen from below one of them."""

    def __init__(self, base: str, mounts: Container[str]) -> None:
        self.base, self.mounts = base, mounts

    def __contains__(self, place: object) -> bool:
        return f"{self.base}{place}" in self.mounts


def _read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _tmpfs(mount: Any, root: str, destination: str, before: dict[str, Any], where: str) -> Iterator[Finding]:
    size = None
    for index, option in enumerate(mount.get("options", ())):
        name, equals, value = option.partition("=")
        if equals and name in VALUES and not VALUES[name].fullmatch(value):
            yield error(f"{where}.options[{index}]", f"tmpfs does not take {quoted(option)}: invalid argument")
        elif name == "size" and equals and not value.endswith("%"):
            unit = UNITS.get(value[-1:].lower(), 0)
            size = int(value[:-1] if unit else value, 0) << unit
    if "tmpcopyup" not in mount.get("options", ()) or not size:
        return
    try:
        place = find(root, destination, before)
    except Hidden:
        return
    if place and os.path.isdir(place) and (used := _used(place, size)) > size:
        yield error(f"{where}.options[{mount['options'].index('tmpcopyup')}]",
                    f"tmpcopyup: what {quoted(destination)} has in the root is larger than size={size}: no space "
                    "left on device", f"a size of at least {used} is needed")


def _used(top: str, enough: int) -> int:
    """Bytes that the files of a tree take in a tmpfs, at least; counted until that is too much anyway."""
    page, total = os.sysconf("SC_PAGESIZE"), 0
    for number, (folder, _, files) in enumerate(os.walk(top)):
        for name in files:
            found = os.lstat(os.path.join(folder, name))
            total += -(-found.st_size // page) * page if stat.S_ISREG(found.st_mode) else 0
        if number > MANY or total > enough << 10:
            break
    return total


def _mapped(source: str, where: str) -> Iterator[Finding]:
    kind = type_of(os.path.realpath(source))
    if kind in NEVER_MAPPED:
        yield error(f"{where}.uidMappings", f"{quoted(source)} is on {kind}, which does not support idmapped mounts")


def _of_a_user(config: Config, host: Host) -> Iterator[Finding]:
    """What only root of the host may mount. (In a new user namespace root of the host may not, either.)"""
    if host.privileged and namespace(config, "user") is None:
        return
    kinds = {entry["type"]: entry for entry in config.get("linux", {}).get("namespaces", ())}
    for index, mount in enumerate(config.get("mounts", ())):
        kind, options = mount.get("type", ""), mount.get("options", ())
        if {"bind", "rbind", "remount"} & {*options}:
            continue
        if kind.partition(".")[0] not in IN_A_USER_NAMESPACE and not host.privileged:
            yield error(f"mounts[{index}].type", f"{kind} cannot be mounted in a user namespace: operation not "
                                                 "permitted")
        elif kind == "sysfs" and "network" not in kinds:
            yield error(f"mounts[{index}].type", "a new sysfs needs a network namespace of the container's own: "
                                                 "operation not permitted", "bind /sys, or add the network namespace")
        elif kind == "proc" and not host.privileged and (covered := _covered()):
            yield warning(f"mounts[{index}]", f"{', '.join(covered[:3])} is covered here: the kernel may forbid a new "
                          "procfs", "run the outer container with unmasked paths, or bind /proc")


def _covered() -> list[str]:
    """What is mounted below /proc, and hides something."""
    from ..rootfs.mountinfo import parse
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        return sorted({mount.point for mount in parse(file.read()).values() if mount.point.startswith("/proc/")
                       and mount.kind not in ("binfmt_misc", "autofs")})
