"""An existing cgroup of a container: what runs in it, freezing, killing, removing (cgroups(7); the kernel's cgroup-v2).

Only a cgroup that carries the container's mark is ever acted on: the path alone may belong to another program by now.
The mark is an extended attribute with the container's id and the nonce of its creation. Directories that pyrunc made
have besides the sticky bit, set by mkdir(2) itself: it says that an empty one without a mark, a parent or one whose
creation was cut short before marking, may be removed. A cgroup that was there before keeps its directory
(runtime.md#delete: what was not created by the container must not be deleted).
"""
from __future__ import annotations

import errno
import posix
import time
from _signal import SIGKILL

from ..errors import Refused
from ..kernel.pidfd import NO_PROCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..kernel.posix import PosixKernel

#: Attributes that hold the mark. The first needs CAP_SYS_ADMIN, and no process of the container can change it.
MARKS = ("trusted.pyrunc", "user.pyrunc")
STICKY = 0o1000
DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW
GONE = (errno.ENOENT, errno.ENODEV)  # what the files of a cgroup answer that has been removed
FREEZE_SECONDS = 10.0
REMOVE_TRIES = 12                    # 1, 2, 4 ... ms between them: 4 s in all


def events(kernel: PosixKernel, fd: int) -> dict[str, bool]:
    """cgroup.events of the cgroup: {"populated": ..., "frozen": ...}."""
    return _state(kernel.read_file("cgroup.events", fd))


def _state(text: str) -> dict[str, bool]:
    words = text.split()
    return {key: value != "0" for key, value in zip(words[::2], words[1::2])}


def wait_event(kernel: PosixKernel, fd: int, event: str, wanted: bool, seconds: float) -> bool:
    """Wait until cgroup.events says so; False when the time is over."""
    end = time.monotonic() + seconds
    watched = kernel.open("cgroup.events", posix.O_RDONLY, 0, fd)
    try:
        # A change is notified to a descriptor that has read the file since the last one.
        while _state(kernel.read_again(watched, 4096).decode()).get(event, wanted) != wanted:
            left = end - time.monotonic()
            if left <= 0:
                return False
            kernel.wait_changed(watched, left)
        return True
    finally:
        kernel.close(watched)


def members(kernel: PosixKernel, name: str, dirfd: int) -> list[int]:
    """Processes directly in the cgroup: pids as this process sees them, without those of other pid namespaces."""
    try:
        text = kernel.read_file(f"{name}/cgroup.procs", dirfd)
    except OSError as fault:
        if fault.errno in GONE:
            return []                # removed meanwhile
        if fault.errno != errno.EOPNOTSUPP:
            raise
        # In a threaded cgroup processes cannot be listed, only threads; the process of each is what is wanted.
        text = kernel.read_file(f"{name}/cgroup.threads", dirfd)
        return sorted({_leader(kernel, int(word)) for word in text.split()} - {0})
    return [pid for pid in map(int, text.split()) if pid]


def _leader(kernel: PosixKernel, thread: int) -> int:
    try:
        for line in kernel.read_file(f"/proc/{thread}/status").split("\n"):
            if line.startswith("Tgid:"):
                return int(line[5:])
    except (FileNotFoundError, ProcessLookupError):
        pass                         # ended meanwhile
    return 0


def below(kernel: PosixKernel, top: int) -> Iterator[tuple[int, str]]:
    """Every cgroup below the directory top, leaves first: (descriptor of its parent, its name).

    One descriptor and no recursion, however deep: with a delegated cgroup the container decides how deep.
    """
    here, names, todo = top, [], [kernel.subdirectories(top)]
    try:
        while True:
            if todo[-1]:
                name = todo[-1].pop()
                try:
                    there = kernel.open(name, DIRECTORY, 0, here)
                except FileNotFoundError:
                    continue
                names.append(name)
                todo.append(kernel.subdirectories(there))
            elif names:
                todo.pop()
                there = kernel.open("..", DIRECTORY, 0, here)
            else:
                return
            up = len(todo) == len(names)
            if here != top:
                kernel.close(here)
            here = there
            if up:
                yield here, names.pop()
    finally:
        if here != top:
            kernel.close(here)


def marked(kernel: PosixKernel, fd: int) -> bytes:
    """The mark that a cgroup carries; empty when it is no container's own."""
    return next(filter(None, (kernel.getxattr(fd, name) for name in MARKS)), b"")


def remove_mark(kernel: PosixKernel, fd: int, name: str) -> None:
    """Take one of MARKS away, if it is there and this user's to take."""
    try:
        kernel.removexattr(fd, name)
    except OSError as fault:
        if fault.errno not in (errno.ENODATA, errno.EPERM, errno.EOPNOTSUPP):
            raise


def hidden(kernel: PosixKernel, path: str) -> bool:
    """Whether no cgroup v2 is to be seen above the path: it is not mounted any more, or covered by another mount."""
    while path := path.rpartition("/")[0]:
        try:
            kernel.close(kernel.open(f"{path}/cgroup.controllers", posix.O_PATH))
            return False
        except (FileNotFoundError, NotADirectoryError):
            continue
    return True


def refuse_hidden(kernel: PosixKernel, path: str) -> None:
    """For a cgroup that is not found, though the container has one: a refusal where that cannot be seen."""
    if hidden(kernel, path):
        raise Refused(f"cgroup {path} cannot be seen: cgroup v2 is not mounted there, or covered by another mount")


class Cgroup:
    """The container's cgroup, found again from what state.json and intent.json hold.

    path   absolute path of the host ("/sys/fs/cgroup/a/b"), "" for a container without one
    mark   path.mark() of its creation
    inode  its number, which no other cgroup gets until the next boot; 0 when it is not known
    made   with inode: by pyrunc

    The inode is known once the container exists. From then on it decides, too: a process of the container with the
    right to may take the mark away, or put another in its place (xattr(7)), and give its directory another mode.
    fd is -1 when there is no such cgroup, or one that is not the container's. Every method then does nothing.
    Refused when the inode is known and no cgroup can be seen there: it may well be there, with the processes in it.
    """

    def __init__(self, path: str, mark: str, kernel: PosixKernel, inode: int = 0, made: bool = False) -> None:
        self.path, self.kernel = path, kernel
        self.fd = -1
        self.made = False            # by pyrunc: its directory goes too
        try:
            fd = kernel.open(path, DIRECTORY) if path else -1
        except (FileNotFoundError, NotADirectoryError):
            if inode:
                refuse_hidden(kernel, path)
            return
        if fd < 0:
            return
        if inode and kernel.stat(fd).st_ino == inode:
            self.fd, self.made = fd, made
        elif marked(kernel, fd) == mark.encode():
            self.fd, self.made = fd, bool(kernel.stat(fd).st_mode & STICKY)
        else:
            kernel.close(fd)

    def close(self) -> None:
        """Let go of the descriptor."""
        if self.fd >= 0:
            self.kernel.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Cgroup:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def exists(self) -> bool:
        """There is such a cgroup and it is the container's."""
        return self.fd >= 0

    # ---- processes --------------------------------------------------------------------------------------------
    def procs(self) -> list[int]:
        """Every process in it and in the cgroups below, ascending."""
        if self.fd < 0:
            return []
        pids = members(self.kernel, ".", self.fd)
        for parent, name in below(self.kernel, self.fd):
            pids += members(self.kernel, name, parent)
        return sorted(set(pids))

    def populated(self) -> bool:
        """A process that is not a zombie is in it or below."""
        return self._event("populated")

    def frozen(self) -> bool:
        """All its processes are stopped by the freezer."""
        return self._event("frozen")

    def _event(self, name: str) -> bool:
        try:
            return self.fd >= 0 and events(self.kernel, self.fd).get(name, False)
        except OSError as fault:
            if fault.errno in GONE:
                return False         # removed meanwhile
            raise

    def freeze(self) -> None:
        """Stop every process; returns when they are. One that does not within 10 s: ETIMEDOUT. When it fails, what it
        has stopped runs again: by the descriptor that is open, for more of them may be what is missing."""
        if self.fd < 0:
            raise Refused("the container has no cgroup to freeze")
        switch = self.kernel.open("cgroup.freeze", posix.O_RDWR, 0, self.fd)
        try:
            before = self.kernel.read(switch, 1)
            self.kernel.write(switch, b"1")
            try:
                if not wait_event(self.kernel, self.fd, "frozen", True, FREEZE_SECONDS):
                    raise OSError(errno.ETIMEDOUT, posix.strerror(errno.ETIMEDOUT), f"freeze {self.path}")
            except BaseException:
                self.kernel.write(switch, before)
                raise
        finally:
            self.kernel.close(switch)

    def thaw(self) -> None:
        """Let them run again. A frozen ancestor keeps them stopped; that is not waited for."""
        try:
            if self.fd >= 0:
                self.kernel.write_file("cgroup.freeze", "0", self.fd)
        except OSError as fault:
            if fault.errno not in GONE:
                raise

    def kill(self) -> None:
        """SIGKILL to every process in it and below, also to those that are being forked. Does not wait for the end."""
        if self.fd < 0:
            return
        try:
            self.kernel.write_file("cgroup.kill", "1", self.fd)
        except OSError as fault:
            # Before Linux 5.14, in a threaded cgroup, or when it has been removed meanwhile.
            if fault.errno not in (*GONE, errno.EOPNOTSUPP):
                raise
            self._kill_each()

    def _kill_each(self) -> None:
        """Without cgroup.kill: nobody forks while frozen, so one pass reaches all; frozen processes die of SIGKILL."""
        try:
            self.freeze()
        except (OSError, Refused):
            pass                     # an unfreezable one is killed all the same, when it can be
        try:
            self.signal(SIGKILL, self.procs())
        finally:
            self.thaw()

    def signal(self, number: int, pids: Sequence[int]) -> None:
        """Send a signal to these of its processes; one that has ended or left meanwhile gets none."""
        kernel = self.kernel
        for pid in pids:
            try:
                pidfd = kernel.pidfd_open(pid)
            except OSError as fault:
                if fault.errno not in NO_PROCESS:
                    raise
                continue
            try:
                if pid in self.procs():         # still that one: the descriptor cannot have got a successor's
                    kernel.pidfd_send_signal(pidfd, number)
            except ProcessLookupError:
                pass
            finally:
                kernel.close(pidfd)

    def wait_empty(self, seconds: float) -> bool:
        """Wait until no process is left in it; False when the time is over."""
        try:
            return self.fd < 0 or wait_event(self.kernel, self.fd, "populated", False, seconds)
        except OSError as fault:
            if fault.errno in GONE:
                return True
            raise

    def oom_kills(self) -> int:
        """How many processes the OOM killer has killed in it and below; 0 without the memory controller."""
        return self.kernel.oom_kills(self.fd)

    # ---- the end ----------------------------------------------------------------------------------------------
    def remove(self) -> None:
        """Remove it and everything below, leaves first, then the parents that pyrunc made if nothing is left in them.

        May be repeated, also when a former one was cut short. EBUSY when processes are still in it after 4 s.
        """
        path = self.path
        if self.fd >= 0:
            for parent, name in below(self.kernel, self.fd):
                self._rmdir(name, parent)
            if self.made:
                self._rmdir(path)
            else:
                self._unmark()
            path = path.rpartition("/")[0]
        while path and self._remove_made(path):
            path = path.rpartition("/")[0]

    def _remove_made(self, path: str) -> bool:
        """Remove a directory that pyrunc made, that no container has and that is empty; whether to go on above it."""
        kernel = self.kernel
        try:
            fd = kernel.open(path, DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return True
        try:
            kernel.close(kernel.open("cgroup.controllers", posix.O_PATH, 0, fd))     # is it one at all?
            if not kernel.stat(fd).st_mode & STICKY or marked(kernel, fd):
                return False
            kernel.rmdir(path)
        except OSError as fault:
            return fault.errno == errno.ENOENT      # else another container's is in it
        finally:
            kernel.close(fd)
        return True

    def _unmark(self) -> None:
        for name in MARKS:
            remove_mark(self.kernel, self.fd, name)

    def _rmdir(self, path: str, dirfd: int = -100) -> None:
        """rmdir(2); EBUSY is tried again: killed processes take a moment to leave. Fine when it is gone."""
        pause = 0.001
        for left in range(REMOVE_TRIES, -1, -1):
            try:
                self.kernel.rmdir(path, dirfd)
                break
            except FileNotFoundError:
                break
            except OSError as fault:
                if fault.errno != errno.EBUSY or not left:
                    raise
            time.sleep(pause)
            pause *= 2
