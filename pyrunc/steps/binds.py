"""Bind mounts: a detached copy of the source with all its attributes, then its attachment in the container.

A privileged runtime takes the sources before the clone, while the host is all there is. If the container has a user
namespace, it takes them from a view in which the kernel has locked the flags of the host's mounts: what was read-only
or nosuid there cannot be changed by the container's root. The init itself takes its sources when the runtime has no
privilege; and those that lie in the container's root, at their turn: mounts listed before may be what they mean.
"""
from __future__ import annotations

import errno
import posix

from ..engine.step import CHILD, PARENT, Barrier, Step
from ..errors import at
from ..paths import absolute
from ..rootfs import destination
from ..rootfs.destination import is_directory
from ..rootfs.mounting import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    AT_SYMLINK_NOFOLLOW,
    OPEN_TREE_CLONE,
    PROC_ROOT_INO,
    PROC_SUPER_MAGIC,
    Mount,
    set_attributes,
    set_below_and_propagation,
)
from . import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..host import Host
    from ..kernel.linux import Kernel
    from ..request import Request
    from ..rootfs.mount_options import MountOptions

#: What is wrong with a source, and not with how it is taken.
OF_THE_PATH = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG)


class View(Step):
    """A copy of the mount namespace in which every mount's flags are locked (mount_namespaces(7))."""
    name = "binds.view"
    spec = "config.md#mounts"

    def describe(self) -> str:
        return "copy the host's mounts, so that the container's root cannot clear their flags"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.keep(self, kernel.locked_mount_namespace())

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if (fd := facts.kept(self, -1)) >= 0:
            kernel.close(fd)
            facts.keep(self, -1)


class Source(Mount):
    """Take the source: a mount of its own that nobody sees yet."""
    name = "binds.source"
    host_path: str            # source, absolute
    view: View | None
    inherited: int            # propagation that the container's mounts have to begin with, 0 to keep the host's

    def describe(self) -> str:
        tree = " and the mounts below it" if self.options.recursive_bind else ""
        return f"open {self.host_path}{tree}" + (f": {self.words}" if self.words else "")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        mount = self.take(kernel, facts, OPEN_TREE_CLONE | (AT_RECURSIVE if self.options.recursive_bind else 0))
        facts.mount_fds[self.index] = mount
        if self.inherited:
            kernel.mount_setattr(mount, propagation=self.inherited, recursive=True)
        set_attributes(kernel, mount, self.options)
        set_below_and_propagation(kernel, mount, self.options)

    def take(self, kernel: Kernel, facts: Facts, flags: int) -> int:
        if not self.follows():
            flags |= AT_SYMLINK_NOFOLLOW
        try:
            if self.view:
                return kernel.open_tree_in(facts.kept(self.view, -1), self.host_path, flags)
            return kernel.open_tree(self.host_path, flags)
        except OSError as fault:
            raise (at(fault, f"{self.where}.source") if fault.errno in OF_THE_PATH else fault) from None

    def follows(self) -> bool:
        return not (self.options.source_nofollow or self.options.copy_symlink)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if self.side == PARENT and (fd := facts.mount_fds.pop(self.index, -1)) >= 0:
            kernel.close(fd)


class LeaveOut(Mount):
    """A warning: options of a file system, which a bind mount cannot have. As crun and mount(8) do; runc refuses."""
    name = "binds.leave_out"
    side = PARENT

    def ignored(self) -> str:
        return ", ".join([name for _, name in self.options.superblock] + [key for _, key, _ in self.options.data])

    def describe(self) -> str:
        return f"ignore options that a bind mount cannot have: {self.ignored()}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        from ..config.near import meant
        from ..rootfs.mount_options import NAMES
        for number, name in [*self.options.superblock, *((number, key) for number, key, _ in self.options.data)]:
            facts.warnings.append(f"a bind mount cannot have its own {name}{meant(name, NAMES)}: "
                                  f"at {self.where}.options[{number}] in config.json")


class SourceInRoot(Source):
    """At its turn, by the init: the mounts that are listed before it are made. Links on the way are the container's, as
    everything in the root is: they lead nowhere else."""
    name = "binds.source_in_root"
    side = CHILD
    inside: str               # the path below the root

    def take(self, kernel: Kernel, facts: Facts, flags: int) -> int:
        place = destination.find(kernel, facts.root_fd, self.inside, self.follows())
        mount = kernel.open_tree("", flags | AT_EMPTY_PATH, place)
        kernel.close(place)
        return mount


class Lend(Step):
    """The init shows the runtime a source that it has taken itself."""
    name = "binds.lend"
    spec = "config.md#mounts"
    side = CHILD
    index: int
    source: str

    def describe(self) -> str:
        return f"send the mount of {self.source} to the runtime"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.send_on(facts.sync_fd, b"\n", facts.mount_fds[self.index])


class Borrow(Step):
    """The other end of binds.lend."""
    name = "binds.borrow"
    spec = "config.md#mounts"
    index: int
    source: str

    def describe(self) -> str:
        return f"receive the mount of {self.source} from the init"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.mount_fds[self.index] = kernel.receive_on(facts.sync_fd)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if (fd := facts.mount_fds.pop(self.index, -1)) >= 0:
            kernel.close(fd)


class Settle(Step):
    """The view and the id mappings have served when the last source is taken."""
    name = "binds.settle"
    spec = "config.md#mounts"
    used: list[View | idmap.Namespace]

    def describe(self) -> str:
        return "close the namespaces that the sources were opened in"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        for namespace in self.used:
            namespace.undo(kernel, facts)


class Release(Step):
    """The sources are the init's now: as long as the runtime holds them, too, the host cannot unmount them."""
    name = "binds.release"
    spec = "config.md#mounts"

    def describe(self) -> str:
        return "close the sources of bind mounts"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        for fd in facts.mount_fds.values():
            kernel.close(fd)
        facts.mount_fds.clear()


class Attach(Mount):
    """Attach the source, a directory on a directory or a file on a file."""
    name = "binds.attach"

    def describe(self) -> str:
        return f"bind {self.source} on {self.target}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        mount = facts.mount_fds.pop(self.index)
        directory = is_directory(kernel, mount)
        if self.path == "/proc" and (kernel.fs_type(mount) != PROC_SUPER_MAGIC
                                     or kernel.stat(mount).st_ino != PROC_ROOT_INO):
            raise self.refusal(f'"{self.target}" cannot be mounted because it is not of type proc')
        place, _ = self.place(kernel, facts, directory)
        if is_directory(kernel, place) != directory:
            # Without the words "is a directory": Docker makes exit code 126 of them.
            what = "a directory cannot be bound on a file" if directory else "a file cannot be bound on a directory"
            raise OSError(errno.ENOTDIR, posix.strerror(errno.ENOTDIR), what)
        kernel.move_mount(mount, place)
        kernel.close(place)
        kernel.close(mount)


class CopyLink(Attach):
    """`copy-symlink`: a source that is a symbolic link is made once more at the destination, anything else is bound. A
    link that says the same may be there already."""

    def describe(self) -> str:
        return f"bind {self.source} on {self.target}; if it is a symbolic link, copy it"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        source = facts.mount_fds[self.index]
        if not is_link(kernel, source):
            super().apply(kernel, facts)
            return
        target = kernel.read_link(source)
        kernel.close(facts.mount_fds.pop(self.index))
        above, name = destination.parent(kernel, facts.root_fd, self.path)
        try:
            kernel.symlink(target, name, above)
        except FileExistsError:
            there = kernel.open(name, destination.PLACE, 0, above)
            if not is_link(kernel, there) or kernel.read_link(there) != target:
                raise OSError(errno.EEXIST, posix.strerror(errno.EEXIST),
                              f"something other than a link to {target} is there") from None
            kernel.close(there)
        kernel.close(above)


def is_link(kernel: Kernel, fd: int) -> bool:
    return kernel.stat(fd).st_mode & destination.S_IFMT == destination.S_IFLNK


class Change(Mount):
    """`bind,remount`: no new mount, but new attributes for the one that is there."""
    name = "binds.change"

    def describe(self) -> str:
        return f"change the attributes of the mount on {self.target}: {self.words}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        place, _ = self.place(kernel, facts)
        # Something is done in any case: mount_setattr(2) looks only then whether there is a mount at all.
        set_attributes(kernel, place, self.options, even_none=not (self.options.below or self.options.propagation))
        set_below_and_propagation(kernel, place, self.options)
        kernel.close(place)


def inside(want: Request, fields: dict[str, Any]) -> str:
    """Where in the container's root the source of a bind mount lies, "" for one that is elsewhere. Links of the host
    are followed; what is not there yet counts by the part that is."""
    source, root = absolute(fields["source"], want.options.bundle), want.rootfs
    parsed: MountOptions = fields["options"]
    if parsed.source_nofollow or parsed.copy_symlink:
        above, slash, name = source.rpartition("/")
        real = want.host.real(above) + slash + name
    else:
        real = want.host.real(source)
    return below(source, root) or below(real, want.host.real(root))


def below(path: str, top: str) -> str:
    """The part of path after top, from a slash on; "" when it leads elsewhere."""
    rest = path.removeprefix(top.rstrip("/"))
    return (rest or "/") if path == top or (rest != path and rest.startswith("/")) else ""


def mapped_by_the_runtime(config: Config, host: Host, parsed: MountOptions, fields: dict[str, Any]) -> Iterator[Step]:
    """CHILD, PARENT: the ids of a source that the init has taken are mapped by the runtime, which alone has the right
    to if the container has a user namespace. Both processes hold the same detached mount meanwhile."""
    steps = list(idmap.Mappings(config, host).steps(fields["index"], parsed, fields["source"]))
    if steps:
        yield Barrier(label=f"the mounts before {fields['where']} are made", waits=PARENT)
        yield Lend(index=fields["index"], source=fields["source"], where=fields["where"])
        yield Borrow(index=fields["index"], source=fields["source"], where=fields["where"])
        yield from steps
        yield Settle(used=[step for step in steps if isinstance(step, idmap.Namespace)])
        yield Release()
        yield Barrier(label=f"the ids of {fields['where']} are mapped", waits=CHILD)
