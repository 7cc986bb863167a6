"""The container's /dev: the devices every container has, those that are configured, and the usual links.

/dev of the image may be anything, links included (CVE-2026-41579, CVE-2026-47766), so all is done on descriptors of
directories inside the root, and a node is looked at again before its mode and owner are changed.
"""
from __future__ import annotations

import errno
import posix

from ..config.mappings import init_ids, unknown_ids
from ..config.namespaces import Namespaces
from ..engine.step import CHILD, Step
from ..paths import absolute
from ..rootfs import destination
from ..rootfs.destination import S_IFBLK, S_IFCHR, S_IFMT
from ..rootfs.devices import DEFAULT, NULL, S_IFIFO, is_device
from ..rootfs.mounting import AT_EMPTY_PATH, OPEN_TREE_CLONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

SPEC = "config-linux.md#devices"
DEFAULT_SPEC = "config-linux.md#default-devices"
KINDS = {"c": S_IFCHR, "u": S_IFCHR, "b": S_IFBLK, "p": S_IFIFO}
#: runtime-linux.md#dev-symbolic-links
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}


class Device(Step):
    """One device node."""
    name = "devices.node"
    side = CHILD
    path: str                 # in the container, absolute and without ".."
    kind: int                 # S_IF*
    number: int               # 0 for a fifo
    mode: int
    uid: int                  # -1, and so for the gid: the init's own, which nobody knows beforehand
    gid: int

    def words(self) -> str:
        if self.kind == S_IFIFO:
            return "fifo"
        letter = "b" if self.kind == S_IFBLK else "c"
        return f"{letter} {posix.major(self.number)}:{posix.minor(self.number)}"

    def describe(self) -> str:
        owner = "of the init's own user and group" if self.uid == self.gid == -1 else f"owner {self.uid}:{self.gid}"
        return f"make {self.path} ({self.words()}), mode {self.mode:04o}, {owner}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if kernel.usual_node(facts.root_fd, self.path, self.kind | self.mode, self.number, self.uid, self.gid):
            return
        directory, name = destination.parent(kernel, facts.root_fd, self.path)
        try:
            kernel.mknod(name, self.kind | self.mode, self.number, directory)
        except FileExistsError:
            self.keep(kernel, directory, name)
        except PermissionError:
            if self.kind == S_IFIFO:
                raise
            self.bind(kernel, directory, name)
        else:
            node = kernel.open(name, destination.PLACE, 0, directory)
            if not is_device(kernel, node, self.kind, self.number):      # exchanged since
                raise self.mismatch()
            kernel.chmod(node, self.mode)        # the umask has been at work
            kernel.chown(node, self.uid, self.gid)
            kernel.close(node)
        kernel.close(directory)

    def keep(self, kernel: Kernel, directory: int, name: str) -> None:
        """What is there is left as it is, if it is the right thing."""
        # config-linux.md#devices: "If a file already exists at path that does not match the requested device, the
        # runtime MUST generate an error."
        there = kernel.open(name, destination.PLACE, 0, directory)
        if not is_device(kernel, there, self.kind, self.number):
            raise self.mismatch()
        kernel.close(there)

    def mismatch(self) -> OSError:
        return OSError(errno.EEXIST, posix.strerror(errno.EEXIST), f"{self.path} is not {self.words()}")

    def bind(self, kernel: Kernel, directory: int, name: str) -> None:
        """The host's device of the same path, on an empty file. Its mode and owner are the host's, and stay so."""
        source = kernel.open(self.path, posix.O_PATH)
        if not is_device(kernel, source, self.kind, self.number):
            raise OSError(errno.ENODEV, posix.strerror(errno.ENODEV), f"{self.path} of the host is not {self.words()}")
        try:
            kernel.close(kernel.open(name, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW, 0o000,
                                     directory))
        except FileExistsError:
            pass
        place = kernel.open(name, destination.PLACE, 0, directory)
        if not is_device(kernel, place, self.kind, self.number):
            if kernel.stat(place).st_mode & S_IFMT != destination.S_IFREG:
                raise self.mismatch()
            mount = kernel.open_tree("", OPEN_TREE_CLONE | AT_EMPTY_PATH, source)
            kernel.move_mount(mount, place)
            kernel.close(mount)
        kernel.close(place)
        kernel.close(source)


class Bound(Device):
    """In a user namespace nobody may make device nodes that work: the host's are bound."""
    name = "devices.bind"

    def describe(self) -> str:
        return f"bind the host's {self.path} ({self.words()})"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        directory, name = destination.parent(kernel, facts.root_fd, self.path)
        self.bind(kernel, directory, name)
        kernel.close(directory)


class Ptmx(Step):
    """The container's own devpts has the multiplexer that belongs to it."""
    name = "devices.ptmx"
    spec = DEFAULT_SPEC
    side = CHILD

    def describe(self) -> str:
        return "link /dev/ptmx to pts/ptmx"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        directory = destination.directory(kernel, facts.root_fd, "/dev")
        try:
            kernel.unlink("ptmx", directory)
        except FileNotFoundError:
            pass
        kernel.symlink("pts/ptmx", "ptmx", directory)
        kernel.close(directory)


class Links(Step):
    """/dev/fd and its kin; what the image has under these names stays."""
    name = "devices.links"
    spec = "runtime-linux.md#dev-symbolic-links"
    side = CHILD

    def describe(self) -> str:
        return "link " + ", ".join(f"/dev/{name} to {target}" for name, target in LINKS.items())

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        directory = destination.directory(kernel, facts.root_fd, "/dev")
        for name, target in LINKS.items():
            try:
                kernel.symlink(target, name, directory)
            except FileExistsError:
                pass
        kernel.close(directory)


class Core(Step):
    """As runc has it, on kernels with a /proc/kcore."""
    name = "devices.core"
    spec = DEFAULT_SPEC
    side = CHILD

    def describe(self) -> str:
        return "link /dev/core to /proc/kcore, if there is one"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        directory = destination.directory(kernel, facts.root_fd, "/dev")
        try:
            kernel.stat_path("/proc/kcore")
            kernel.symlink("/proc/kcore", "core", directory)
        except (FileExistsError, FileNotFoundError):
            pass
        kernel.close(directory)


class Stdio(Step):
    """Standard streams that are the host's null device become the container's: else they would keep the host's /dev in
    reach (/proc/self/fd). Nothing but the null device itself is replaced, and by nothing else (CVE-2026-88265)."""
    name = "devices.stdio"
    spec = DEFAULT_SPEC
    side = CHILD

    def describe(self) -> str:
        return "reopen standard streams that are /dev/null, from the container's /dev/null"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        streams = [number for number in (0, 1, 2) if is_device(kernel, number, *NULL)]
        if not streams:
            return
        place = destination.find(kernel, facts.root_fd, "/dev/null")
        if not is_device(kernel, place, *NULL):
            raise OSError(errno.ENODEV, posix.strerror(errno.ENODEV), "the container's /dev/null is something else")
        null = kernel.reopen(place, posix.O_RDWR)
        for number in streams:
            kernel.dup2(null, number)
        kernel.close(null)
        kernel.close(place)


def all(want: Request) -> Iterator[Step]:
    """CHILD, when the mounts are there. A /dev that is a bind mount is the host's business, and is left alone."""
    bound = any(parsed.bind and fields["path"] == "/dev" for parsed, fields in want.mounts)
    kind = Bound if want.namespaces.private("user") or not want.host.privileged else Device
    for path, device in wanted(want.config).items():
        if path != "/dev/ptmx" and not (bound and path.startswith("/dev/")):
            yield (Device if device["kind"] == S_IFIFO else kind)(path=path, **device)
    if not bound:
        yield Ptmx()
        yield Links()
        yield Core()
        process = want.config.get("process")
        if not (process and process.get("terminal")):
            yield Stdio()


def wanted(config: Config) -> dict[str, dict[str, Any]]:
    """path -> fields of the step: the default devices, and the configured ones, which may replace them."""
    uid, gid = init_ids(config) if Namespaces(config).private("user") else (0, 0)
    if unknown_ids(config):
        uid = gid = -1
    devices: dict[str, dict[str, Any]] = {
        path: {"kind": S_IFCHR, "number": posix.makedev(*number), "mode": 0o666, "uid": uid, "gid": gid,
               "spec": DEFAULT_SPEC} for path, number in DEFAULT.items()}
    for index, device in enumerate(config.get("linux", {}).get("devices") or ()):
        kind = KINDS[device["type"]]
        number = 0 if kind == S_IFIFO else posix.makedev(device.get("major", 0), device.get("minor", 0))
        devices[absolute(device["path"], "/")] = {
            "kind": kind, "number": number, "mode": device.get("fileMode", 0o666) & 0o7777,
            "uid": device.get("uid", uid), "gid": device.get("gid", gid), "spec": SPEC,
            "where": f"linux.devices[{index}]"}
    return devices
