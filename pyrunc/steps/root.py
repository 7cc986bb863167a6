"""The container's root: a mount of its own that the other steps fill, and that becomes "/" at the very end.

    prepare   the mount namespace is cut off from the host's, the root file system bound over itself: facts.root_fd
    finish    it becomes read-only
    switch    C makes it "/" (last_stage.c) and gives it its propagation
"""
from __future__ import annotations

import errno
import posix

from ..engine.step import CHILD, LAST, Step
from ..errors import ConfigError
from ..kernel.last_stage import OP_CHROOT, OP_MOVE_ROOT, OP_PIVOT_ROOT, OP_PROPAGATION
from ..rootfs import destination
from ..rootfs.mount_options import NODEV, NOEXEC, NOSUID, PRIVATE, RDONLY, SHARED, SLAVE, UNBINDABLE
from ..rootfs.mounting import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    CREATE,
    OPEN_TREE_CLONE,
    PROC_ROOT_INO,
    PROC_SUPER_MAGIC,
    empty_directory,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

SPEC = "config.md#root"
PROPAGATION_SPEC = "config-linux.md#rootfs-mount-propagation"
MS_REC, MNT_DETACH, UMOUNT_NOFOLLOW = 1 << 14, 2, 8
WORDS = {SLAVE: "slave", PRIVATE: "private", SHARED: "shared", UNBINDABLE: "unbindable"}


class Check(Step):
    """Before anything exists: a bundle without its root file system is the commonest mistake of all."""
    name = "root.check"
    spec = SPEC
    path: str

    def describe(self) -> str:
        return f"check that {self.path} is a directory"

    def failure(self, fault: OSError) -> str:
        return f"invalid rootfs: {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        # The state file and the error texts name the path, so its last component has to be what it says.
        try:
            kernel.close(kernel.open(self.path, posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW))
        except NotADirectoryError:
            if kernel.stat_path(self.path, follow=False).st_mode & destination.S_IFMT == destination.S_IFLNK:
                raise ConfigError(f"invalid rootfs: not an absolute path, or a symlink: {self.path}",
                                  self.where) from None
            raise


class Umask(Step):
    """Mount points get mode 0755 or 0644, whatever the caller's mask was."""
    name = "root.umask"
    spec = SPEC
    side = CHILD

    def describe(self) -> str:
        return "set umask 022 for the set-up"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.umask(0o022)


class Propagation(Step):
    """Cut the new mount namespace off from the host's: nothing that is mounted from here on may show up there."""
    name = "root.propagation"
    spec = PROPAGATION_SPEC
    side = CHILD
    kind: int                 # SLAVE or PRIVATE

    def describe(self) -> str:
        return f"make every mount of the new mount namespace {WORDS[self.kind]}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        fd = kernel.open("/", posix.O_PATH | posix.O_DIRECTORY)
        kernel.mount_setattr(fd, propagation=self.kind, recursive=True)
        kernel.close(fd)


class Parent(Step):
    """Where not all mounts are cut off, the one that the root file system lies on is: pivot_root(2) refuses a shared
    one, and what is attached there would propagate to the host."""
    name = "root.parent"
    spec = PROPAGATION_SPEC
    side = CHILD
    path: str
    kind: int

    def describe(self) -> str:
        return f"make the mount that {self.path} is on {WORDS[self.kind]}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        fd = kernel.open(self.path, posix.O_PATH | posix.O_DIRECTORY)
        # Up to the root of the mount: ".." is another mount then, or for "/" itself.
        while True:
            above = kernel.open("..", posix.O_PATH | posix.O_DIRECTORY, 0, fd)
            if kernel.mount_id(above) != kernel.mount_id(fd) or destination.is_root(kernel, fd, above):
                break
            kernel.close(fd)
            fd = above
        kernel.mount_setattr(fd, propagation=self.kind)
        kernel.close(fd)
        kernel.close(above)


class Bind(Step):
    """Bind the root file system, with all that is mounted below it, over itself: a root must be a mount."""
    name = "root.bind"
    spec = SPEC
    side = CHILD
    path: str
    private: bool             # else it receives what the host mounts below it later
    shared: bool              # the mount namespace is the runtime's own: what is mounted below must stay below

    def describe(self) -> str:
        return f"bind {self.path} over itself, as the container's root"

    def failure(self, fault: OSError) -> str:
        return f"invalid rootfs: {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        below = kernel.open(self.path, posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW)
        mount = kernel.open_tree("", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH, below)
        if self.private:
            kernel.mount_setattr(mount, propagation=PRIVATE, recursive=self.shared)
        kernel.move_mount(mount, below)
        kernel.close(below)
        facts.root_fd = mount


class Unbind(Step):
    """Without a mount namespace nobody clears up but the runtime: its undo takes the root and all mounts below away."""
    name = "root.unbind"
    spec = SPEC
    path: str

    def describe(self) -> str:
        return f"on failure, unmount {self.path} and everything below it (no mount namespace)"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        pass

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if bound_over_itself(kernel.read_file("/proc/self/mountinfo"), self.path):
            kernel.umount(self.path, MNT_DETACH | UMOUNT_NOFOLLOW)


class Unmount(Unbind):
    """The same at the end of the container, by delete."""
    name = "root.unmount"
    native = True

    def describe(self) -> str:
        return f"unmount {self.path} and everything below it (no mount namespace)"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        self.undo(kernel, facts)


def bound_over_itself(mountinfo: str, path: str) -> bool:
    """Whether the topmost mount on path shows the very directory that it covers (proc_pid_mountinfo(5))."""
    from ..rootfs.mountinfo import parse
    mounts = parse(mountinfo)
    top = [mount for mount in mounts.values() if mount.point == path]
    below = mounts.get(top[-1].parent) if top else None
    if below is None:
        return False
    shown = below.root.rstrip("/") + path[len(below.point.rstrip("/")):]
    return top[-1].device == below.device and top[-1].root.rstrip("/") == shown


class Proc(Step):
    """A procfs that is mounted nowhere, for what is written below /proc: nobody can put something else in its place
    (CVE-2025-52881). Where an outer container's masked paths forbid a new one, the host's is used, if it is one."""
    name = "root.proc"
    spec = "config-linux.md#default-filesystems"
    side = CHILD

    def describe(self) -> str:
        return "open a procfs of the container's pid namespace, without mounting it"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            fs = kernel.fsopen("proc")
            kernel.fsconfig(fs, CREATE)
            facts.proc_fd = kernel.fsmount(fs, NOSUID | NODEV | NOEXEC)
            kernel.close(fs)
        except PermissionError:
            facts.proc_fd = kernel.open("/proc", posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW)
            if (kernel.fs_type(facts.proc_fd) != PROC_SUPER_MAGIC
                    or kernel.stat(facts.proc_fd).st_ino != PROC_ROOT_INO):
                raise


class ReadOnly(Step):
    """The root's own mount, not those on it; no remount, so its other flags stay as they are."""
    name = "root.readonly"
    spec = SPEC
    side = CHILD

    def describe(self) -> str:
        return "make the root read-only"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.mount_setattr(facts.root_fd, RDONLY)


class HideProc(Step):
    """--no-pivot leaves the host's mounts in reach below the new root. A procfs or sysfs among them that is not masked
    would let the container mount one without masks, so these go."""
    name = "root.hide_proc"
    spec = SPEC
    side = CHILD
    path: str

    def describe(self) -> str:
        return "unmount or cover the host's procfs and sysfs, which --no-pivot leaves below the root"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        for point in full_mounts(kernel.read_file("/proc/self/mountinfo"), self.path):
            try:
                fd = kernel.open(point, posix.O_PATH)
            except FileNotFoundError:        # it was below one that is gone
                continue
            kernel.mount_setattr(fd, propagation=SLAVE, recursive=True)
            try:
                kernel.umount(point, MNT_DETACH)
            except OSError as fault:
                if fault.errno not in (errno.EINVAL, errno.EPERM):
                    raise
                cover = empty_directory(kernel, "")      # locked: the mount came with the user namespace
                kernel.move_mount(cover, fd)
                kernel.close(cover)
            kernel.close(fd)


def full_mounts(mountinfo: str, rootfs: str) -> list[str]:
    """Where whole procfs and sysfs are mounted outside rootfs (proc_pid_mountinfo(5))."""
    from ..rootfs.mountinfo import parse
    return [mount.point for mount in parse(mountinfo).values()
            if mount.root == "/" and mount.kind in ("proc", "sysfs")
            and not f"{mount.point}/".startswith(f"{rootfs}/")]


class Switch(Step):
    """The filled root becomes "/". From here on C works, until the container's program runs."""
    name = "root.switch"
    spec = SPEC
    side = LAST
    operation: int
    how: str

    def describe(self) -> str:
        return self.how

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(self.operation, facts.root_fd)


class PropagationFinal(Step):
    """Only now: pivot_root(2) refuses a shared root, and an unbindable one could not have been bound."""
    name = "root.propagation_final"
    spec = PROPAGATION_SPEC
    side = LAST
    kind: int
    recursive: bool

    def describe(self) -> str:
        return f"make the root {WORDS[self.kind]}" + (", and all mounts below it" if self.recursive else "")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_PROPAGATION, self.kind | (MS_REC if self.recursive else 0))


def check(want: Request) -> Iterator[Step]:
    """PARENT: the root file system is there; and who clears up where no mount namespace does it."""
    spaces = want.namespaces
    if "mount" not in spaces.joined:         # else the path means something there, not here
        yield Check(path=want.rootfs, where="root.path")
    if not spaces.private("mount"):
        yield Unbind(path=want.rootfs, where="root.path")


def prepare(want: Request) -> Iterator[Step]:
    """CHILD: facts.root_fd, and facts.proc_fd if something is going to be written below /proc."""
    spaces, rootfs = want.namespaces, want.rootfs
    wanted = want.config.get("linux", {}).get("rootfsPropagation", "")
    where, slave = "linux.rootfsPropagation" if wanted else "root.path", "slave" in wanted
    yield Umask()
    # A namespace that others live in, the runtime's own above all, keeps its propagation (runc 1.5.3).
    if "mount" in spaces.new and "shared" not in wanted:
        private = "private" in wanted or "unbindable" in wanted
        yield Propagation(kind=PRIVATE if private else SLAVE, where=where)
    elif spaces.private("mount"):
        yield Parent(path=rootfs, kind=SLAVE if slave else PRIVATE, where=where)
    here = not spaces.private("mount")
    yield Bind(path=rootfs, private=here or not slave, shared=here, where="root.path")
    yield from proc(want)


def proc(want: Request) -> Iterator[Step]:
    """CHILD: facts.proc_fd, if something is going to be written below /proc."""
    process = want.config.get("process")
    labels = process and (process.get("apparmorProfile") or process.get("selinuxLabel"))
    if labels or want.config.get("linux", {}).get("sysctl"):
        yield Proc()


def finish(want: Request) -> Iterator[Step]:
    """CHILD, when nothing is written to the root any more."""
    if want.config["root"].get("readonly"):
        yield ReadOnly(where="root.readonly")


def switch(want: Request) -> Iterator[Step]:
    """LAST: "/" changes. (With --no-pivot a CHILD step comes before: the last one that may use /proc.)"""
    wanted = want.config.get("linux", {}).get("rootfsPropagation", "")
    if not want.namespaces.private("mount"):
        yield Switch(operation=OP_CHROOT, how="chroot to the root (no mount namespace)", where="root.path")
    elif want.options.no_pivot:
        yield HideProc(path=want.rootfs, where="root.path")
        yield Switch(operation=OP_MOVE_ROOT, how="move the root over /, and chroot to it (--no-pivot)",
                     where="root.path")
    else:
        yield Switch(operation=OP_PIVOT_ROOT, how="pivot_root, and unmount the old root", where="root.path")
    for kind in (SHARED, UNBINDABLE):
        if WORDS[kind] in wanted:
            yield PropagationFinal(kind=kind, recursive=wanted.startswith("r"), where="linux.rootfsPropagation")
