"""The mounts of config.json in their order, by descriptor from beginning to end.

Every mount is made detached (fsopen and fsmount, or open_tree for a bind mount), gets its attributes while nobody can
reach it, and is then attached to a destination that was opened inside the root (move_mount): there is no moment when
it is writable or setuid by mistake, and no path is looked up twice (CVE-2021-30465, CVE-2023-27561).
"""
from __future__ import annotations

import errno
import posix

from ..config.namespaces import Namespaces
from ..engine.step import CHILD, PARENT, Step
from ..errors import ConfigError, at
from ..paths import absolute
from ..rootfs import destination
from ..rootfs.mount_options import NAMES, PRIVATE, RDONLY, SLAVE, MountOptions
from ..rootfs.mounting import (
    CREATE,
    EMULATED,
    OPEN_TREE_CLONE,
    SET_FLAG,
    SET_STRING,
    Mount,
    empty_directory,
    set_attributes,
    set_below_and_propagation,
)
from ..rootfs.usual import COPY_MODE, IN_PROC, NO_LINKS, usual
from . import binds, idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..host import Host
    from ..kernel.linux import Kernel
    from ..options import Options
    from ..request import Request
    from ..rootfs.usual import Usual

MS_REMOUNT = 32
#: fsconfig(2) takes strings of at most this many bytes.
LONGEST_OPTION = 255


class FileSystem(Mount):
    """A file system of its own. Fields besides those of all mounts:

    label            SELinux context, "" for none
    readonly_later   it has to be filled first; mounts.readonly follows at the end
    usual            how C makes it in one call; None if it is not of that kind
    """
    label: str = ""
    readonly_later: bool = False
    usual: Usual | None = None

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if self.usual is not None and (made := kernel.usual_mount(facts.root_fd, *self.usual)) >= 0:
            if made:
                facts.mount_fds[self.index] = made
            return
        place, existed = self.place(kernel, facts)
        mount = self.make(kernel, facts, place if existed else -1)
        set_below_and_propagation(kernel, mount, self.options)
        try:
            kernel.move_mount(mount, place)
        except OSError as fault:
            if fault.errno == errno.EINVAL and not destination.is_directory(kernel, place):
                raise OSError(errno.ENOTDIR, posix.strerror(errno.ENOTDIR), "it can only be mounted on a directory"
                              ) from None
            raise
        kernel.close(place)
        if self.readonly_later:
            facts.mount_fds[self.index] = mount
        else:
            kernel.close(mount)

    def make(self, kernel: Kernel, facts: Facts, covered: int) -> int:
        """The detached mount. covered: what it goes on, -1 when that was made for it."""
        try:
            fs = kernel.fsopen(self.kind)
        except OSError as fault:
            if fault.errno == errno.ENODEV:
                unknown = OSError(errno.ENODEV, fault.strerror, f'file system type "{self.kind}"')
                raise at(unknown, f"{self.where}.type") from None
            raise
        self.configure(kernel, fs, covered)
        try:
            kernel.fsconfig(fs, CREATE)
        except OSError as fault:
            refused = with_messages(kernel, fs, fault, f"make a file system of type {self.kind}")
            raise at(refused, f"{self.where}.type" if fault.errno == errno.EPERM else self.where) from None
        attributes = self.options.here.for_new()
        mount = kernel.fsmount(fs, attributes & ~RDONLY if self.readonly_later else attributes)
        kernel.close(fs)
        return mount

    def configure(self, kernel: Kernel, fs: int, covered: int) -> None:
        """Tell the file system its source and options, one by one, so that an error can name the option."""
        if self.source:
            self.tell(kernel, fs, -1, "source", self.source)
        if self.options.readonly and not self.readonly_later:
            self.tell(kernel, fs, -1, "ro")
        for number, flag in self.options.superblock:
            self.tell(kernel, fs, number, flag)
        for number, key, value in self.options.data:
            self.tell(kernel, fs, number, key, value)
        if self.label:
            self.tell(kernel, fs, -1, "context", self.label)

    def tell(self, kernel: Kernel, fs: int, number: int, key: str, value: str | None = None) -> None:
        """One option; number is its place in mounts[].options, -1 for one that is not from there."""
        try:
            kernel.fsconfig(fs, SET_FLAG if value is None else SET_STRING, key, value)
        except OSError as fault:
            option = key if value is None else f"{key}={value}"
            refused = with_messages(kernel, fs, fault, f"{self.kind} refuses the option {option}")
            from ..config.near import meant
            from ..errors import advise
            from ..rootfs.known_options import FILE_SYSTEM_OPTIONS
            known = (*FILE_SYSTEM_OPTIONS.get(self.kind, ()), *NAMES)
            advise(refused, meant(key, known).strip(" ()"))
            raise at(refused, f"{self.where}.options[{number}]" if number >= 0 else self.where) from None


class Trusted(FileSystem):
    """One whose content every program trusts: no link may lead it elsewhere (CVE-2019-19921, CVE-2023-27561,
    CVE-2025-54867)."""

    def place(self, kernel: Kernel, facts: Facts, as_directory: bool = True) -> tuple[int, bool]:
        try:
            return destination.directory(kernel, facts.root_fd, self.path, links=False), True
        except OSError as fault:
            if fault.errno in (errno.ELOOP, errno.ENOTDIR):
                raise self.refusal(f'filesystem "{self.kind}" must be mounted on ordinary directory') from None
            raise self.no_place(fault) from None


class Proc(Trusted):
    name = "mounts.proc"


class Sysfs(Trusted):
    name = "mounts.sysfs"


class Tmpfs(FileSystem):
    """Has the mode of the directory it covers, unless an option says otherwise; with tmpcopyup its content, too."""
    name = "mounts.tmpfs"

    def configure(self, kernel: Kernel, fs: int, covered: int) -> None:
        if covered >= 0:
            self.tell(kernel, fs, -1, "mode", f"{kernel.stat(covered).st_mode & 0o7777:04o}")
        super().configure(kernel, fs, covered)

    def make(self, kernel: Kernel, facts: Facts, covered: int) -> int:
        mount = super().make(kernel, facts, covered)
        if self.options.copy_up and covered >= 0:
            from ..rootfs.copy_up import copy, failed
            try:
                copy(kernel, covered, mount)
            except OSError as fault:
                raise failed(fault, self.words, self.target, self.where) from None
        return mount


class Mqueue(FileSystem):
    """Knows no context option: its root is labelled instead."""
    name = "mounts.mqueue"
    root_label: str = ""

    def make(self, kernel: Kernel, facts: Facts, covered: int) -> int:
        mount = super().make(kernel, facts, covered)
        if self.root_label:
            top = kernel.open(".", posix.O_RDONLY | posix.O_DIRECTORY, 0, mount)
            kernel.setxattr(top, "security.selinux", self.root_label.encode())
            kernel.close(top)
        return mount


class Cgroup(FileSystem):
    """cgroup2. Where the kernel allows no mount of it (in a user namespace without a cgroup namespace of its own), the
    host's is bound: the container's cgroup if it has a cgroup namespace, else all there is."""
    name = "mounts.cgroup"
    mounted: str              # where the host has cgroup2
    own: bool                 # the container has a cgroup namespace
    masked: bool              # with nothing to bind, an empty read-only directory is better than what is below

    def make(self, kernel: Kernel, facts: Facts, covered: int) -> int:
        try:
            return super().make(kernel, facts, covered)
        except OSError as fault:
            if fault.errno not in (errno.EPERM, errno.EBUSY) or not self.mounted:
                raise
        return self.bind(kernel, facts)

    def bind(self, kernel: Kernel, facts: Facts) -> int:
        try:
            own = self.own and facts.cgroup_fd >= 0
            mount = kernel.open_tree(kernel.fd_path(facts.cgroup_fd) if own else self.mounted, OPEN_TREE_CLONE)
        except FileNotFoundError:
            if not self.masked:
                raise
            return empty_directory(kernel, "")
        set_attributes(kernel, mount, self.options)
        return mount


class HostCgroup(Cgroup):
    """Without a cgroup namespace of its own the container sees what the host sees, so the host's mount is cloned. A
    new mount would do the same at a price: made from the initial cgroup namespace it sets nsdelegate and its kin for
    the whole host to what its own options say, and that takes the kernel some 10 ms."""

    def describe(self) -> str:
        return f"bind the host's cgroup2 on {self.target}" + (f": {self.words}" if self.words else "")

    def make(self, kernel: Kernel, facts: Facts, covered: int) -> int:
        return self.bind(kernel, facts)


class OtherKind(FileSystem):
    """One that has no class of its own, such as devpts or overlay."""
    name: str  # type: ignore[misc]  # mounts.<kind>


class LongOptions(OtherKind):
    """An option too long for fsconfig(2) (overlay's lowerdir): mount(2) has room for 4096 bytes of them. It needs a
    path; /proc of the host is always there, and is uncovered again at once in the init's own mount namespace."""

    def make(self, kernel: Kernel, facts: Facts, covered: int) -> int:
        options = [key if value is None else f"{key}={value}" for _, key, value in self.options.data]
        if self.label:
            options.append(f'context="{self.label}"')
        flags = self.options.mount_flags()
        kernel.mount(self.source, "/proc", self.kind, flags & ~RDONLY if self.readonly_later else flags,
                     ",".join(options))
        return kernel.open_tree("/proc", 0)


class Remount(FileSystem):
    """`remount` of a file system: new options for the one that is there."""
    name = "mounts.remount"

    def describe(self) -> str:
        return f"change the {self.kind} on {self.target}: {self.words}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        place, _ = self.place(kernel, facts)
        options = [key if value is None else f"{key}={value}" for _, key, value in self.options.data]
        kernel.mount(self.source, f"/proc/self/fd/{place}", self.kind, MS_REMOUNT | self.options.mount_flags(),
                     ",".join(options))
        set_below_and_propagation(kernel, place, self.options)
        kernel.close(place)


class ReadOnly(Step):
    """The file system is filled: make its mount read-only."""
    name = "mounts.readonly"
    spec = "config.md#mounts"
    side = CHILD
    index: int
    target: str

    def describe(self) -> str:
        return f"make {self.target} read-only"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        mount = facts.mount_fds.pop(self.index)
        kernel.mount_setattr(mount, RDONLY)
        kernel.close(mount)


def with_messages(kernel: Kernel, fs: int, fault: OSError, what: str) -> OSError:
    """The error, with what the file system itself says about it."""
    said = kernel.fs_messages(fs)
    return OSError(fault.errno, fault.strerror, f"{what} ({said})" if said else what)


def sources(want: Request) -> Iterator[Step]:
    """PARENT, before the clone: the sources of bind mounts, where the runtime may take them."""
    mappings = idmap.Mappings(want.config, want.host)
    locked = want.namespaces.private("user")
    view: binds.View | None = None
    used: list[binds.View | idmap.Namespace] = []
    for parsed, fields in want.mounts:
        if parsed.bind and (parsed.superblock or parsed.data):
            yield binds.LeaveOut(**fields)
        if not want.host.privileged:
            continue
        if parsed.bind and not parsed.remount:
            if binds.inside(want, fields):
                continue
            if locked and view is None:
                view = binds.View(where=fields["where"])
                used.append(view)
                yield view
            yield source(want.config, want.options, fields, view, PARENT)
        for step in mappings.steps(fields["index"], parsed, fields["source"]):
            if isinstance(step, idmap.Namespace):
                used.append(step)
            yield step
    if used:
        yield binds.Settle(used=used)


def release(want: Request) -> Iterator[Step]:
    """PARENT, after the clone: the sources are the init's."""
    if want.host.privileged and any(parsed.bind for parsed, _ in want.mounts):
        yield binds.Release()


def all(want: Request) -> Iterator[Step]:
    """CHILD: make and attach every mount, in the order of config.json."""
    # config.md#mounts: "The runtime MUST mount entries in the listed order."
    spaces, mappings = want.namespaces, idmap.Mappings(want.config, want.host)
    label = want.config.get("linux", {}).get("mountLabel", "") if want.host.selinux else ""
    for parsed, fields in want.mounts:
        if not want.host.privileged:
            yield from mappings.steps(fields["index"], parsed, fields["source"])     # refuses, or has none
        if parsed.remount and parsed.bind:
            yield binds.Change(**fields)
        elif parsed.bind:
            inside = binds.inside(want, fields)
            if inside or not want.host.privileged:
                yield source(want.config, want.options, fields, None, CHILD, inside)
            if inside and want.host.privileged:
                yield from binds.mapped_by_the_runtime(want.config, want.host, parsed, fields)
            yield (binds.CopyLink if parsed.copy_symlink else binds.Attach)(**fields)
        else:
            yield file_system(fields, parsed, label, spaces, want.host)


def finish(want: Request) -> Iterator[Step]:
    """CHILD, when nothing is written below the mounts any more: those that had to be filled become read-only."""
    for parsed, fields in want.mounts:
        if not parsed.bind and not parsed.remount and later(parsed, fields):
            yield ReadOnly(index=fields["index"], target=fields["target"], where=fields["where"])


def source(config: Config, options: Options, fields: dict[str, Any], view: binds.View | None,
           side: str, inside: str = "") -> binds.Source:
    """The source of a bind mount. In the container it begins with the propagation that all its mounts have: slaves of
    the host's, unless rootfsPropagation says otherwise."""
    wanted = config.get("linux", {}).get("rootfsPropagation", "")
    inherited = 0 if "shared" in wanted else PRIVATE if "private" in wanted or "unbindable" in wanted else SLAVE
    fields = {**fields, "host_path": absolute(fields["source"], options.bundle), "view": view, "inherited": inherited}
    return binds.SourceInRoot(**fields, inside=inside) if inside else binds.Source(**fields, side=side)


def file_system(fields: dict[str, Any], parsed: MountOptions, label: str, spaces: Namespaces, host: Host) -> FileSystem:
    """The step for one entry that is not a bind mount."""
    kind = fields["kind"]
    if parsed.remount:
        return Remount(**fields)
    path, source = fields["path"], fields["source"]
    if kind in ("proc", "sysfs"):
        return (Proc if kind == "proc" else Sysfs)(**fields, usual=usual(path, kind, source, parsed, NO_LINKS))
    in_proc = IN_PROC if path == "/proc" or path in EMULATED else 0
    if kind == "mqueue":
        return Mqueue(**fields, root_label=label,
                      usual=None if label else usual(path, kind, source, parsed, in_proc))
    if kind == "cgroup2":
        own = spaces.private("cgroup")
        seen = host.cgroup_mount and "mount" in spaces.new and not (own or parsed.data)
        fields = {**fields, "mounted": host.cgroup_mount, "own": own, "masked": not host.privileged}
        return HostCgroup(**fields) if seen else Cgroup(**fields, usual=usual(path, kind, source, parsed, in_proc))
    if any(key == "context" for _, key, _ in parsed.data):
        label = ""
    fields = {**fields, "label": label, "readonly_later": later(parsed, fields)}
    if any(len(value.encode()) > LONGEST_OPTION for _, _, value in parsed.data if value):
        if not spaces.private("mount"):
            raise ConfigError(f"an option of more than {LONGEST_OPTION} bytes needs a mount namespace",
                              f"{fields['where']}.options")
        return LongOptions(**fields, name=f"mounts.{kind}")
    # What is made twice when it fails had better have no device and no server behind it.
    if kind in ("tmpfs", "devpts"):
        how = in_proc | (COPY_MODE if kind == "tmpfs" else 0)
        fields["usual"] = usual(path, kind, source, parsed, how, label, fields["readonly_later"])
    return Tmpfs(**fields) if kind == "tmpfs" else OtherKind(**fields, name=f"mounts.{kind}")


def later(parsed: MountOptions, fields: dict[str, Any]) -> bool:
    """Read-only, but not from the beginning: device nodes and links go into /dev, and a tmpfs is there to be filled."""
    return parsed.readonly and (fields["kind"] == "tmpfs" or fields["path"] == "/dev")
