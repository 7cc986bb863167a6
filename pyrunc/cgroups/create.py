"""Making the container's cgroup: down from the mount point, passing every controller on at each level."""
from __future__ import annotations

import errno
import posix

from ..errors import Refused
from .v2 import DIRECTORY, MARKS, STICKY, events, marked, members, remove_mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel.posix import PosixKernel

#: Controllers that also work below a cgroup that holds processes (cgroups(7), "Thread mode").
THREADED = ("cpu", "cpuset", "perf_event", "pids")
MODE = 0o755 | STICKY
TRIES = 64


def make(kernel: PosixKernel, mount: str, path: str, wanted: Sequence[str], mark: str) -> int:
    """Make the cgroup and the missing ones above it, mark it, and return its descriptor (a directory).

    mount    where the hierarchy is mounted
    path     absolute, below mount
    wanted   controllers that limits need: for these, and only these, thread mode is entered where it must be
    mark     path.mark() of this creation

    Raises OSError, and Refused: processes are in the cgroup, or it is frozen, or thread mode
    excludes a wanted controller. What was made until then is for Cgroup.remove() to take back.
    """
    names = path[len(mount):].strip("/").split("/")
    unfit = [controller for controller in wanted if controller not in THREADED]
    fd, made = _try_to_descend(kernel, mount, names, wanted, False)
    try:
        kind = kernel.read_file("cgroup.type", fd).strip()
        if kind != "domain" and unfit:
            raise Refused(f"cgroup {path} is in thread mode ({kind}), which excludes controller {unfit[0]}")
        if kind == "domain invalid":
            kernel.close(_try_to_descend(kernel, mount, names, wanted, True)[0])
        _check(kernel, fd, path)
        _mark(kernel, fd, mark, made)
    except (OSError, Refused):
        kernel.close(fd)
        raise
    return fd


def check_mount(kernel: PosixKernel, mount: str) -> None:
    """A refusal where the hierarchy is mounted, as /proc/self/mounts has it, but covered by something else."""
    try:
        kernel.close(kernel.open(f"{mount}/cgroup.controllers", posix.O_PATH))
    except FileNotFoundError:
        raise Refused(f"cgroup v2 is mounted on {mount}, but covered by another mount; --cgroup-manager disabled does "
                      "without a cgroup") from None


def take(kernel: PosixKernel, mount: str, path: str, wanted: Sequence[str], mark: str) -> int:
    """The same for a cgroup that another program made for the container, whose init is in it already."""
    fd, _ = _try_to_descend(kernel, mount, path[len(mount):].strip("/").split("/"), wanted, False)
    _mark(kernel, fd, mark, False)
    return fd


def _try_to_descend(kernel: PosixKernel, mount: str, names: Sequence[str], wanted: Sequence[str],
                    threaded: bool) -> tuple[int, bool]:
    for _ in range(TRIES):
        try:
            return _descend(kernel, mount, names, wanted, threaded)
        except OSError as fault:
            # A delete next door has removed a parent that was empty for a moment: begin again.
            if fault.errno not in (errno.ENOENT, errno.ENODEV):
                raise
            last = fault
    raise last


def _descend(kernel: PosixKernel, mount: str, names: Sequence[str], wanted: Sequence[str],
             threaded: bool) -> tuple[int, bool]:
    """(descriptor of the cgroup that the last name is, whether it is new)."""
    fd, made = kernel.open(mount, DIRECTORY), False
    try:
        for name in names:
            _pass_on(kernel, fd, wanted)
            try:
                kernel.mkdir(name, MODE, fd)
                made = True
            except FileExistsError:
                made = False
            below = kernel.open(name, DIRECTORY, 0, fd)
            kernel.close(fd)
            fd = below
            # Below a cgroup that holds processes and passes controllers on there is only thread mode, and each
            # level has to be told so, from the top.
            if threaded and kernel.read_file("cgroup.type", fd).strip() == "domain invalid":
                kernel.write_file("cgroup.type", "threaded", fd)
    except (OSError, Refused):
        kernel.close(fd)
        raise
    return fd, made


def _pass_on(kernel: PosixKernel, fd: int, wanted: Sequence[str]) -> None:
    """Enable what the cgroup has for those below it, as far as the kernel allows; a limit that then lacks its
    controller says so itself."""
    has = kernel.read_file("cgroup.controllers", fd).split()
    passed = kernel.read_file("cgroup.subtree_control", fd).split()
    missing = [controller for controller in has if controller not in passed]
    if not missing:
        return
    try:
        kernel.write_file("cgroup.subtree_control", " ".join(f"+{controller}" for controller in missing), fd)
        return
    except OSError as fault:
        if fault.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return                   # not delegated to this user
        busy = fault.errno == errno.EBUSY
    if busy:
        # Processes are in this cgroup. Passing on a threaded controller would still work, and would turn everything
        # below into thread mode: only worth it for a limit that asks for it.
        missing = [controller for controller in missing if controller in wanted and not set(wanted) - set(THREADED)]
    for controller in missing:
        try:
            kernel.write_file("cgroup.subtree_control", f"+{controller}", fd)
        except OSError:
            pass


def _check(kernel: PosixKernel, fd: int, path: str) -> None:
    # config-linux.md#control-groups: "A runtime MAY ... check if the container cgroup is fit for purpose, and MUST
    # generate an error if such a check fails. For example, a frozen cgroup or a non-empty cgroup."
    state = events(kernel, fd)
    if state.get("populated"):
        count = len(members(kernel, ".", fd))
        raise Refused(f"container's cgroup is not empty: {count} process(es) found: {path}" if count else
                      f"container's cgroup is not empty: processes are in cgroups below {path}")
    if state.get("frozen"):
        raise Refused(f"container's cgroup unexpectedly frozen: {path}")


def _mark(kernel: PosixKernel, fd: int, mark: str, made: bool) -> None:
    """Say whose it is. An empty one that another container had used before changes hands."""
    trusted, user = MARKS
    if not made and marked(kernel, fd):
        for name in MARKS:
            remove_mark(kernel, fd, name)
    try:
        kernel.setxattr(fd, trusted, mark.encode())
    except PermissionError:
        kernel.setxattr(fd, user, mark.encode())


def may_enter(kernel: PosixKernel, mount: str, own: str, path: str) -> None:
    """Check that this process may put its child there: cgroup.procs of the nearest common ancestor must be writable.

    That is what clone3(CLONE_INTO_CGROUP) asks, only there it would be too late to do without (cgroups(7)).
    """
    common = mount
    for mine, its in zip(own.strip("/").split("/"), path[len(mount):].strip("/").split("/")):
        if mine != its:
            break
        common = f"{common}/{mine}"
    try:
        kernel.close(kernel.open(f"{common}/cgroup.procs", posix.O_WRONLY))
    except FileNotFoundError:
        pass                         # the hierarchy's own root is not mounted here: the clone will tell
