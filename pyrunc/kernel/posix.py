"""The part of Kernel that CPython's own posix module can do: files of the host, pidfds, this process.

A class of its own because delete, pause, ps and events need no more: they go without the native module, which costs
as much to load as the rest of them.
"""
from __future__ import annotations

import errno
import posix
from sys import byteorder

from . import own_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

AT_FDCWD = -100
O_CLOEXEC = posix.O_CLOEXEC
#: st_nlink of a directory in cgroupfs: its own entry, and "." in it; each subdirectory's ".." is one more.
NO_SUBDIRECTORY = 2


def lines(text: str) -> list[str]:
    """The lines of a text of the kernel's. They end with a newline and with nothing else that splitlines() takes for an
    end, for a container may name its mounts and cgroups as it likes."""
    return text.removesuffix("\n").split("\n") if text else []


class PosixKernel:
    """Real effects, each raising OSError with the errno; see kernel.Kernel, which has these methods, too."""

    #: Whether this process is a child that clone3 has made: what then fails is not the runtime's to undo.
    cloned = False
    #: The signal that asks the runtime to stop what it is at, set by the engine; 0 for none.
    stopped = 0

    # ---- files ------------------------------------------------------------------------------------------
    def open(self, path: str, flags: int, mode: int = 0, dirfd: int = AT_FDCWD) -> int:
        """openat(2), always O_CLOEXEC. For paths of the host only; inside the root use open_in_root."""
        return posix.open(path, flags | O_CLOEXEC, mode, dir_fd=None if dirfd == AT_FDCWD else dirfd)

    def close(self, fd: int) -> None:
        posix.close(fd)

    def read(self, fd: int, limit: int) -> bytes:
        """What there is from the descriptor's position on, at most limit bytes."""
        parts = []
        while limit > 0 and (part := posix.read(fd, min(limit, 65536))):
            parts.append(part)
            limit -= len(part)
        return b"".join(parts)

    def read_again(self, fd: int, limit: int) -> bytes:
        """One pread(2) from the beginning: of a file of the kernel's that is watched."""
        return posix.pread(fd, limit, 0)

    def wait_changed(self, fd: int, seconds: float) -> None:
        """Wait until the kernel says that such a file has changed (POLLPRI), or the time is over."""
        import select
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        poll.poll(seconds * 1000)

    def write(self, fd: int, data: bytes) -> None:
        """One write(2) of everything, for what takes a whole text or none: an attribute, a fifo. A short one is EIO."""
        if posix.write(fd, data) != len(data):
            raise OSError(errno.EIO, posix.strerror(errno.EIO), "short write")

    def write_file(self, path: str, data: str, dirfd: int = AT_FDCWD) -> None:
        """Open an existing file of the host for writing, one write, close: procfs and cgroupfs attributes."""
        fd = self.open(path, posix.O_WRONLY, 0, dirfd)
        try:
            self.write(fd, data.encode())
        finally:
            posix.close(fd)

    def read_file(self, path: str, dirfd: int = AT_FDCWD, limit: int = 1 << 20) -> str:
        """The text of a file of the host (procfs, cgroupfs, our own state), at most limit bytes. Names in it may be a
        container's, and be no UTF-8: of a process (PR_SET_NAME), a mount, a cgroup."""
        fd = self.open(path, posix.O_RDONLY, 0, dirfd)
        try:
            return self.read(fd, limit).decode(errors="surrogateescape")
        finally:
            posix.close(fd)

    def write_new(self, name: str, data: bytes, mode: int, dirfd: int) -> None:
        """A file of ours, whole or not at all: written as .name (O_EXCL), then renamed over name."""
        part = f".{name}"
        try:
            fd = self.open(part, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW, mode, dirfd)
        except FileExistsError:      # of one that was killed here; the lock says that nobody else is writing
            posix.unlink(part, dir_fd=dirfd)
            fd = self.open(part, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW, mode, dirfd)
        try:
            while data:          # a file system that is nearly full takes what it can, and says with the next write why
                data = data[posix.write(fd, data):]
        except BaseException:
            posix.unlink(part, dir_fd=dirfd)
            raise
        finally:
            posix.close(fd)
        posix.rename(part, name, src_dir_fd=dirfd, dst_dir_fd=dirfd)

    def rename(self, name: str, new: str, dirfd: int) -> None:
        """rename(2) of a file of ours within its directory."""
        posix.rename(name, new, src_dir_fd=dirfd, dst_dir_fd=dirfd)

    def replace(self, name: str, data: bytes, mode: int, dirfd: int) -> None:
        """The same in a directory of the caller's: written under a name that nothing there can have, then renamed over
        name, whose permissions do not count. Nothing else in the directory is touched."""
        part = f".new-{posix.urandom(8).hex()}"
        fd = self.open(part, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW, mode, dirfd)
        try:
            try:
                self.write(fd, data)
            finally:
                posix.close(fd)
            posix.rename(part, name, src_dir_fd=dirfd, dst_dir_fd=dirfd)
        except OSError:
            posix.unlink(part, dir_fd=dirfd)
            raise

    def set_blocking(self, fd: int) -> None:
        """Without O_NONBLOCK from here on."""
        posix.set_blocking(fd, True)

    def lock(self, fd: int) -> None:
        """Lock a container's lock file and sign it (own_files.py); BlockingIOError when it is locked."""
        own_files.lock(fd)
        own_files.sign(fd)

    def remove_tree(self, path: str) -> None:
        """Remove a directory of ours and what is in it, without following a link; fine when it is gone."""
        from .remove import tree
        tree(path)

    def mkdir(self, path: str, mode: int, dirfd: int = AT_FDCWD) -> None:
        posix.mkdir(path, mode, dir_fd=None if dirfd == AT_FDCWD else dirfd)

    def rmdir(self, path: str, dirfd: int = AT_FDCWD) -> None:
        posix.rmdir(path, dir_fd=None if dirfd == AT_FDCWD else dirfd)

    def unlink(self, path: str, dirfd: int = AT_FDCWD) -> None:
        posix.unlink(path, dir_fd=None if dirfd == AT_FDCWD else dirfd)

    def symlink(self, target: str, name: str, dirfd: int) -> None:
        """symlinkat(2); name is one component."""
        posix.symlink(target, name, dir_fd=dirfd)

    def mknod(self, name: str, mode: int, device: int, dirfd: int) -> None:
        """mknodat(2); name is one component; mode has the type; device from makedev."""
        posix.mknod(name, mode, device, dir_fd=dirfd)

    def mkfifo(self, name: str, mode: int, dirfd: int) -> None:
        posix.mkfifo(name, mode, dir_fd=dirfd)

    def stat(self, fd: int) -> posix.stat_result:
        """fstat(2), also of O_PATH descriptors."""
        return posix.fstat(fd)

    def mount_flags(self, fd: int) -> int:
        """fstatvfs(3): ST_* flags of the mount that fd is on, also of O_PATH descriptors."""
        return posix.fstatvfs(fd).f_flag

    def stat_path(self, path: str, follow: bool = True) -> posix.stat_result:
        """stat(2) or lstat(2) of a path of the host."""
        return posix.stat(path, follow_symlinks=follow)

    def setxattr(self, fd: int, name: str, value: bytes) -> None:
        """setxattr(2) on a descriptor that is not O_PATH."""
        posix.setxattr(fd, name, value)

    def getxattr(self, fd: int, name: str) -> bytes:
        """The value of an extended attribute; b"" when there is none, or the file system has none at all."""
        try:
            return posix.getxattr(fd, name)
        except OSError as fault:
            if fault.errno in (errno.ENODATA, errno.EOPNOTSUPP):
                return b""
            raise

    def removexattr(self, fd: int, name: str) -> None:
        """removexattr(2) on a descriptor that is not O_PATH."""
        posix.removexattr(fd, name)

    def subdirectories(self, fd: int) -> list[str]:
        """The names of the directories in a directory of cgroupfs, which counts them: the most have none."""
        if posix.fstat(fd).st_nlink == NO_SUBDIRECTORY:
            return []
        with posix.scandir(fd) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def listxattr(self, fd: int) -> list[str]:
        """The names of the extended attributes of a descriptor that is not O_PATH."""
        return posix.listxattr(fd)

    def set_times(self, fd: int, accessed: int, modified: int) -> None:
        """futimens(2), in ns."""
        posix.utime(fd, ns=(accessed, modified))

    def list_dir(self, fd: int) -> list[str]:
        """The names in a directory, without "." and ".."; fd is not O_PATH."""
        return posix.listdir(fd)

    def read_link(self, fd: int) -> str:
        """Where a symbolic link points to; fd is O_PATH|O_NOFOLLOW."""
        return posix.readlink("", dir_fd=fd)

    def reopen(self, fd: int, flags: int) -> int:
        """Open for use what an O_PATH descriptor has been verified to be. OSError (EXDEV) where /proc, that of a joined
        mount namespace, say, leads to something else."""
        opened = posix.open(f"/proc/self/fd/{fd}", flags | O_CLOEXEC)
        try:
            one, other = posix.fstat(fd), posix.fstat(opened)
        except OSError:
            posix.close(opened)
            raise
        if (one.st_dev, one.st_ino) != (other.st_dev, other.st_ino):
            posix.close(opened)
            raise OSError(errno.EXDEV, posix.strerror(errno.EXDEV), "/proc/self/fd leads elsewhere")
        return opened

    def fd_path(self, fd: int) -> str:
        """The path of a descriptor in this process's mount namespace; for messages and for the host's own files."""
        return posix.readlink(f"/proc/self/fd/{fd}")

    def copy_data(self, source: int, target: int) -> None:
        """Copy a file's bytes, from where the descriptors stand to the end of source."""
        while posix.sendfile(target, source, None, 1 << 30):
            pass

    def umask(self, mask: int) -> None:
        posix.umask(mask)

    def readable(self, fd: int) -> bool:
        """Whether a descriptor has something to say now; a pidfd has when the process has ended."""
        import select
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(0))

    def oom_kills(self, cgroup_fd: int) -> int:
        """The cgroup's count of OOM kills (memory.events oom_kill); 0 where nobody counts."""
        if cgroup_fd >= 0:
            try:
                for line in self.read_file("memory.events", cgroup_fd).splitlines():
                    if line.startswith("oom_kill "):
                        return int(line[9:])
            except OSError:
                return 0
        return 0

    def dup(self, fd: int) -> int:
        """Another descriptor of the same, O_CLOEXEC."""
        return posix.dup(fd)

    def dup2(self, fd: int, number: int) -> None:
        posix.dup2(fd, number, True)

    def send_fd(self, path: str, data: bytes, fd: int) -> None:
        """Connect to the unix stream socket at path (host) and send data with one descriptor."""
        import _socket
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, self.connect(path))
        try:
            sock.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, byteorder))])
        finally:
            sock.close()

    def connect(self, path: str) -> int:
        """A descriptor connected to the unix stream socket at a path of the host, of any length."""
        import _socket
        directory, _, name = path.rpartition("/")
        fd = self.open(directory or "/", posix.O_PATH | posix.O_DIRECTORY)
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        fits = len(path.encode(errors="surrogateescape")) < 108                        # sun_path of unix(7)
        try:
            sock.connect(path if fits else f"/proc/self/fd/{fd}/{name}")
        except OSError as fault:
            sock.close()
            number = fault.errno or errno.ENAMETOOLONG                                 # which Python says without it
            raise OSError(number, posix.strerror(number), path) from None
        finally:
            posix.close(fd)
        return sock.detach()

    def send_on(self, sock_fd: int, data: bytes, fd: int) -> None:
        """Send data with one descriptor on a connected unix socket."""
        import _socket
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, sock_fd)
        try:
            sock.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, byteorder))])
        finally:
            sock.detach()

    def receive_on(self, sock_fd: int) -> int:
        """The one descriptor of the next message on a connected unix socket; EPIPE when there is none."""
        import _socket
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, sock_fd)
        try:
            _, rights, _, _ = sock.recvmsg(256, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
        finally:
            sock.detach()
        for level, kind, data in rights:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                return int.from_bytes(data[:4], byteorder)
        raise OSError(errno.EPIPE, posix.strerror(errno.EPIPE), "no descriptor came")

    # ---- processes --------------------------------------------------------------------------------------
    def pidfd_open(self, pid: int) -> int:
        """pidfd_open(2)."""
        try:
            return posix.pidfd_open(pid)
        except OSError as fault:
            fault.filename = f"pidfd_open {pid}"
            raise

    def pidfd_send_signal(self, pidfd: int, number: int) -> None:
        """pidfd_send_signal(2)."""
        import _signal
        try:
            _signal.pidfd_send_signal(pidfd, number)
        except OSError as fault:
            fault.filename = f"signal {number}"
            raise

    def open_own(self, root: str, id: str, name: str) -> int:
        """A file of a container's directory, to be read and believed: StateError when another user may write to it."""
        from .own_files import open_file
        return open_file(root, id, name)

    def open_process(self, who: Mapping[str, Any], alive: Callable[[Mapping[str, Any]], bool]) -> int:
        """A pidfd of exactly the process that a container's state names, if alive(who); ProcessLookupError when it is
        gone."""
        from .pidfd import open_exactly
        return open_exactly(who, alive)

    def wait_end(self, pidfd: int, seconds: float) -> bool:
        """Wait until the process behind a pidfd has ended; False when it has not within that time."""
        from .pidfd import wait_end
        return wait_end(pidfd, seconds)

    def wait_unread(self, fd: int, signals: Sequence[int]) -> int:
        """Wait until nobody has a fifo open for reading (POLLERR of poll(2)), or until one of these signals comes, or
        has come before and was held back: its number, else 0."""
        from .waiting import wait_unread
        return wait_unread(fd, signals)

    def hold_signals(self, signals: Sequence[int]) -> object:
        """Let these signals wait from now on; what set_signals() takes to have it as it was."""
        import _signal
        return _signal.pthread_sigmask(_signal.SIG_BLOCK, signals)

    def set_signals(self, mask: Any) -> None:
        import _signal
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)

    def raise_signal(self, number: int) -> None:
        """Send a signal to this process."""
        posix.kill(posix.getpid(), number)

    def kill_and_reap(self, pid: int, pidfd: int) -> None:
        """SIGKILL a child of ours, or of our parent's (Options.heir), and wait for its end; that may have been."""
        import _signal
        try:
            _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            posix.waitid(posix.P_PIDFD, pidfd, posix.WEXITED)
        except ChildProcessError:
            from .waiting import ended
            ended(pidfd)
        posix.close(pidfd)

    def wait_status(self, pidfd: int) -> int:
        """Wait for the end of a child and leave it to be reaped: its exit status, or minus the signal.

        Of another process's child (Options.heir), waiting.UNKNOWN where the kernel does not tell (before Linux 6.15).
        """
        try:
            info = posix.waitid(posix.P_PIDFD, pidfd, posix.WEXITED | posix.WNOWAIT)
        except ChildProcessError:
            from .waiting import status_of_another
            return status_of_another(pidfd)
        if info is None:
            return 0
        return info.si_status if info.si_code == posix.CLD_EXITED else -info.si_status

    def is_child(self, pidfd: int) -> bool:
        """Whether it is a child of this process, running or not reaped yet."""
        try:
            posix.waitid(posix.P_PIDFD, pidfd, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)
        except ChildProcessError:
            return False
        return True

    def exit(self, status: int) -> None:
        """_exit(2): no finaliser of this process runs."""
        posix._exit(status)

    def getpid(self) -> int:
        """This process's id as its own pid namespace has it."""
        return posix.getpid()

    def setsid(self) -> None:
        posix.setsid()
