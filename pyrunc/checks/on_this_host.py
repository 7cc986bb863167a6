"""The bundle against this machine: its root, what is mounted, joined and run, and what the kernel must have."""
from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..config.rules.sysctl import path as sysctl_path
from ..config.where import at, quoted
from ..engine.hints import of_filter
from ..errors import ConfigError, strerror
from ..kernel.namespaces import NAMESPACES
from ..paths import absolute
from . import host_files, mount_points, program
from .findings import Finding, error, warning
from .in_root import Hidden, find

if TYPE_CHECKING:
    from ..config.types import Config
    from ..host import Host

NS_GET_NSTYPE = 0xB703           # ioctl_ns(2)
NEWEST = (1, 3)


def findings(config: Config, bundle: str, host: Host) -> Iterator[Finding]:
    """config is sound in itself; bundle is absolute."""
    root = os.path.join(bundle, config["root"]["path"])
    yield from _version(config)
    yield from _root(root)
    yield from _namespaces(config)
    yield from _mounts(config, bundle, root)
    if os.path.isdir(root):
        yield from program.findings(config, root)
        yield from mount_points.findings(config, bundle, root, host)
        yield from _devices(config, root)
    yield from _hooks(config)
    yield from _security(config, host)
    yield from _seccomp(config)
    yield from _kernel(config, host)


def _version(config: Config) -> Iterator[Finding]:
    major, minor = config["ociVersion"].split(".")[:2]
    if (int(major), int(minor)) > NEWEST:
        yield warning("ociVersion", f"newer than {'.'.join(map(str, NEWEST))}: what is new since then is ignored")


def _root(root: str) -> Iterator[Finding]:
    if not os.path.lexists(root):
        yield error("root.path", f"{quoted(root)} does not exist: no such file or directory")
    elif os.path.islink(root):
        yield error("root.path", f"invalid rootfs: {quoted(root)} is a symlink")
    elif not os.path.isdir(root):
        yield error("root.path", f"{quoted(root)} is not a directory")
    elif not os.listdir(root):
        yield warning("root.path", f"{quoted(root)} is empty")


def _namespaces(config: Config) -> Iterator[Finding]:
    for index, entry in enumerate(config.get("linux", {}).get("namespaces", ())):
        where, (kind, name) = f"linux.namespaces[{index}]", NAMESPACES[entry["type"]]
        if not os.path.exists(f"/proc/self/ns/{name}"):
            yield error(f"{where}.type", f"{entry['type']} namespaces aren't enabled in the kernel")
        if path := entry.get("path"):
            try:
                with open(path, "rb") as file:
                    found = fcntl.ioctl(file, NS_GET_NSTYPE)
            except PermissionError:
                yield warning(f"{where}.path", f"{quoted(path)} cannot be checked without more privileges")
            except OSError as fault:
                reason = strerror(fault.errno or 0) if not os.path.exists(path) else "it is not a namespace"
                yield error(f"{where}.path", f"{quoted(path)}: {reason}")
            else:
                if found != kind:
                    yield error(f"{where}.path", f"{quoted(path)} is a namespace of another type")


def _mounts(config: Config, bundle: str, root: str) -> Iterator[Finding]:
    known = {line.split()[-1] for line in host_files.text("/proc/filesystems").splitlines()}
    before: set[str] = set()
    for index, mount in enumerate(config.get("mounts", ())):
        where, options = f"mounts[{index}]", mount.get("options", ())
        destination = absolute(mount["destination"], "/")
        if not mount["destination"].startswith("/"):
            yield warning(f"{where}.destination", "a relative destination is deprecated: it is taken from /")
        if "bind" in options or "rbind" in options:
            source = os.path.join(bundle, mount["source"])
            if not os.path.exists(source):
                yield error(f"{where}.source", f"{quoted(source)} does not exist: no such file or directory")
            else:
                yield from _same_sort(source, root, destination, before, where)
        elif (kind := mount.get("type", "")) not in known | {"cgroup"} and known and "remount" not in options:
            yield warning(f"{where}.type", f"{quoted(kind)} is not in /proc/filesystems: it needs a kernel module")
        before.add(destination)


def _same_sort(source: str, root: str, destination: str, before: set[str], where: str) -> Iterator[Finding]:
    """A directory can only be mounted on a directory, anything else only on something else."""
    try:
        place = find(root, destination, before)
    except Hidden:
        return
    if place and os.path.isdir(place) != os.path.isdir(source):
        sorts = ["a file", "a directory"]
        yield error(f"{where}.source", f"{quoted(source)} is {sorts[os.path.isdir(source)]}, but {quoted(destination)} "
                                       f"in the root is {sorts[os.path.isdir(place)]}: not a directory")


def _devices(config: Config, root: str) -> Iterator[Finding]:
    """What the image has at the path of a device must be that device."""
    mounts = {absolute(mount["destination"], "/") for mount in config.get("mounts", ())}
    kinds = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
    for index, device in enumerate(config.get("linux", {}).get("devices", ())):
        folder, _, name = device["path"].rpartition("/")
        try:
            above = find(root, folder or "/", mounts)
            there = os.lstat(os.path.join(above, name)) if above else None
        except (Hidden, OSError):
            continue
        if there is None or f"{folder}/{name}" in mounts:
            continue
        number = os.makedev(device.get("major", 0), device.get("minor", 0)) if device["type"] != "p" else 0
        if stat.S_IFMT(there.st_mode) != kinds[device["type"]] or there.st_rdev != number:
            yield error(f"linux.devices[{index}].path", f"{quoted(device['path'])} in the root is not this device")


def _hooks(config: Config) -> Iterator[Finding]:
    """Those that are looked up here; startContainer hooks are the container's."""
    hooks: dict[str, Any] = config.get("hooks", {})  # type: ignore[assignment]
    for kind in ("prestart", "createRuntime", "createContainer", "poststart", "poststop"):
        for index, hook in enumerate(hooks.get(kind, ())):
            where, path = f"hooks.{kind}[{index}].path", hook["path"]
            try:
                mode = os.stat(path).st_mode
            except OSError as fault:
                yield error(where, f"{quoted(path)}: {strerror(fault.errno or 0)}")
                continue
            if not stat.S_ISREG(mode) or not mode & 0o111:
                yield error(where, f"{quoted(path)} is not executable: permission denied")
            elif reason := program.content(path, "/", ()):
                yield error(where, f"{quoted(path)} cannot be executed", reason)
            elif (seconds := _sleeps(hook)) > hook.get("timeout", seconds):
                yield error(f"hooks.{kind}[{index}].timeout", f"the hook sleeps for {seconds} s, longer than its "
                                                              f"timeout of "
                                                              f"{hook['timeout']} s")


def _sleeps(hook: Any) -> int:
    """How long a hook takes that is sleep(1): the one program of which that can be said."""
    args = hook.get("args", [])
    plain = os.path.basename(hook["path"]) == "sleep" and len(args) == 2 and args[1].isascii() and args[1].isdigit()
    return int(args[1]) if plain else 0


def _security(config: Config, host: Host) -> Iterator[Finding]:
    process, linux = config.get("process", {}), config.get("linux", {})
    if (profile := process.get("apparmorProfile")) and not host.apparmor:
        yield error("process.apparmorProfile", f"AppArmor is not enabled here, so {quoted(profile)} cannot be applied")
    elif profile and profile != "unconfined":
        try:
            with open("/sys/kernel/security/apparmor/profiles") as file:
                if profile not in {line.rpartition(" (")[0] for line in file}:
                    yield error("process.apparmorProfile", f"the profile {quoted(profile)} is not loaded")
        except OSError:
            yield warning("process.apparmorProfile", "only root can see whether the profile is loaded")
    if process.get("selinuxLabel") and not host.selinux:
        yield error("process.selinuxLabel",
                    "selinux label is specified in config, but selinux is disabled or not supported")
    if linux.get("mountLabel") and not host.selinux:
        yield warning("linux.mountLabel", "no effect: SELinux is not enabled here")


def _seccomp(config: Config) -> Iterator[Finding]:
    seccomp = config.get("linux", {}).get("seccomp")
    if seccomp is None:
        return
    path = seccomp.get("listenerPath", "")
    notify = any(rule["action"] == "SCMP_ACT_NOTIFY" for rule in seccomp.get("syscalls", ()))
    if notify and not (os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode)):
        yield error("linux.seccomp.listenerPath", f"{quoted(path)} is not a socket: no agent would get the listener")
    try:
        from ..seccomp.compile import program as compiled
        from ..seccomp.compile import unknown_names
        from ..seccomp.profile import lets_pass, read
    except ImportError:
        return                                   # a checkout that has not been built yet
    try:
        compiled(read(seccomp))                   # more instructions than the kernel takes, say
    except ConfigError as fault:
        yield error(fault.where, fault.what)
    if not lets_pass(seccomp, "execve") and (refused := of_filter(seccomp, None)):
        yield error(refused[1], "the filter refuses execve, so no program can be started: operation not permitted",
                    refused[0])
    strange = list(unknown_names(read(seccomp), refused=True))       # the others pass, as they are meant to
    if strange:
        names = ", ".join(dict.fromkeys(name for name, _ in strange))
        yield warning(strange[0][1], f"libseccomp does not know these system calls, skipped: {names[:200]}")


def _kernel(config: Config, host: Host) -> Iterator[Finding]:
    linux = config.get("linux", {})
    for name in linux.get("sysctl", {}):
        if not os.path.exists(f"/proc/sys/{sysctl_path(name)}"):
            yield warning(at("linux.sysctl", name), "this kernel has no such parameter, or hides it from this process")
    for name in linux.get("netDevices", {}):
        if not os.path.exists(f"/sys/class/net/{name}"):
            yield error(at("linux.netDevices", name), "there is no such network device in this network namespace")
    if "intelRdt" in linux and not host.resctrl:
        yield error("linux.intelRdt", "intelRdt is specified in config, but Intel RDT is not enabled: resctrl is not "
                                      "mounted")
