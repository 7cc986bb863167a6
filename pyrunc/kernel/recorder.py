"""Kernel's double: every method of kernel.Kernel, no effect; it remembers the calls and makes up the answers.

`explain` and most unit tests run on it: no root, no built native module, microseconds. A call is remembered as
the tuple (method name, every argument in the order of Kernel's signature, defaults included).
"""
from __future__ import annotations

import errno
import posix

from .constants import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS
from .recording import EXT4_SUPER_MAGIC, KEYRING, PID, PROC_SUPER_MAGIC, Recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .._native._native import CData
    from .page import Page

AT_FDCWD = -100


class StepByStep:
    """Before a kernel: C never does the usual in one call (kernel/mounts.py), so every call of a step is seen."""

    def usual_mount(self, root_fd: int, path: bytes, kind: bytes, options: bytes, attributes: int, how: int) -> int:
        return -1

    def usual_node(self, root_fd: int, path: str, mode: int, device: int, uid: int, gid: int) -> bool:
        return False

    def usual_readonly(self, root_fd: int, path: str) -> bool:
        return False

    def usual_mask(self, root_fd: int, path: str, file_fd: int, directory_fd: int) -> bool:
        return False


class Recorder(StepByStep, Recording):
    """Every method of Kernel; Recording tells of its knobs."""

    # ---- files ------------------------------------------------------------------------------------------
    def open(self, path: str, flags: int, mode: int = 0, dirfd: int = AT_FDCWD) -> int:
        return self._existing_fd(path, "open", path, flags, mode, dirfd)

    def open_in_root(self, root_fd: int, path: str, flags: int, mode: int = 0,
                     resolve: int = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) -> int:
        return self._existing_fd(path, "open_in_root", root_fd, path, flags, mode, resolve)

    def close(self, fd: int) -> None:
        self._note("close", fd)
        self.fds.pop(fd, None)

    def read(self, fd: int, limit: int) -> bytes:
        self._note("read", fd, limit)
        return self.files.get(self.fds.get(fd, ""), "").encode()[:limit]

    def read_again(self, fd: int, limit: int) -> bytes:
        self._note("read_again", fd, limit)
        return self.files.get(self.fds.get(fd, ""), "").encode()[:limit]

    def wait_changed(self, fd: int, seconds: float) -> None:
        self._note("wait_changed", fd, seconds)

    def write(self, fd: int, data: bytes) -> None:
        self._note("write", fd, data)

    def write_file(self, path: str, data: str, dirfd: int = AT_FDCWD) -> None:
        self._note("write_file", path, data, dirfd)

    def read_file(self, path: str, dirfd: int = AT_FDCWD, limit: int = 1 << 20) -> str:
        self._note("read_file", path, dirfd, limit)
        if path not in self.files:
            raise OSError(errno.ENOENT, posix.strerror(errno.ENOENT), path)
        return self.files[path]

    def write_new(self, name: str, data: bytes, mode: int, dirfd: int) -> None:
        self._note("write_new", name, data, mode, dirfd)

    def rename(self, name: str, new: str, dirfd: int) -> None:
        self._note("rename", name, new, dirfd)

    def replace(self, name: str, data: bytes, mode: int, dirfd: int) -> None:
        self._note("replace", name, data, mode, dirfd)

    def set_blocking(self, fd: int) -> None:
        self._note("set_blocking", fd)

    def lock(self, fd: int) -> None:
        self._note("lock", fd)

    def remove_tree(self, path: str) -> None:
        self._note("remove_tree", path)

    def memory_page(self, before: Page) -> object:
        self._note("memory_page", before.steps)
        return before

    def map_page(self, name: str, dirfd: int, before: Page) -> object:
        self._note("map_page", name, dirfd, before.steps)
        return before

    def mkdir(self, path: str, mode: int, dirfd: int = AT_FDCWD) -> None:
        self._note("mkdir", path, mode, dirfd)

    def rmdir(self, path: str, dirfd: int = AT_FDCWD) -> None:
        self._note("rmdir", path, dirfd)

    def unlink(self, path: str, dirfd: int = AT_FDCWD) -> None:
        self._note("unlink", path, dirfd)

    def symlink(self, target: str, name: str, dirfd: int) -> None:
        self._note("symlink", target, name, dirfd)

    def mknod(self, name: str, mode: int, device: int, dirfd: int) -> None:
        self._note("mknod", name, mode, device, dirfd)

    def mkfifo(self, name: str, mode: int, dirfd: int) -> None:
        self._note("mkfifo", name, mode, dirfd)

    def stat(self, fd: int) -> posix.stat_result:
        self._note("stat", fd)
        return self._stat(self.fds.get(fd, ""))

    def mount_flags(self, fd: int) -> int:
        self._note("mount_flags", fd)
        return 0

    def stat_path(self, path: str, follow: bool = True) -> posix.stat_result:
        self._note("stat_path", path, follow)
        return self._stat(path)

    def chmod(self, fd: int, mode: int) -> None:
        self._note("chmod", fd, mode)

    def chown(self, fd: int, uid: int, gid: int) -> None:
        self._note("chown", fd, uid, gid)

    def fs_type(self, fd: int) -> int:
        self._note("fs_type", fd)
        path = self.fds.get(fd, "")
        below_proc = f"{path.strip('/')}/".startswith("proc/")
        return self.fs_types.get(path, PROC_SUPER_MAGIC if below_proc else EXT4_SUPER_MAGIC)

    def fs_flags(self, fd: int) -> int:
        self._note("fs_flags", fd)
        return 0

    def setxattr(self, fd: int, name: str, value: bytes) -> None:
        self._note("setxattr", fd, name, value)

    def getxattr(self, fd: int, name: str) -> bytes:
        self._note("getxattr", fd, name)
        return b""

    def removexattr(self, fd: int, name: str) -> None:
        self._note("removexattr", fd, name)

    def subdirectories(self, fd: int) -> list[str]:
        self._note("subdirectories", fd)
        return []

    def listxattr(self, fd: int) -> list[str]:
        self._note("listxattr", fd)
        return []

    def set_times(self, fd: int, accessed: int, modified: int) -> None:
        self._note("set_times", fd, accessed, modified)

    def list_dir(self, fd: int) -> list[str]:
        self._note("list_dir", fd)
        return []

    def read_link(self, fd: int) -> str:
        self._note("read_link", fd)
        return self.files.get(self.fds.get(fd, ""), "/target")

    def reopen(self, fd: int, flags: int) -> int:
        return self._fd(self.fds.get(fd, ""), "reopen", fd, flags)

    def fd_path(self, fd: int) -> str:
        self._note("fd_path", fd)
        return self.fds.get(fd, "")

    def copy_data(self, source: int, target: int) -> None:
        self._note("copy_data", source, target)

    def mount_id(self, fd: int) -> int:
        self._note("mount_id", fd)
        return fd                    # every descriptor is on a mount of its own

    def umask(self, mask: int) -> None:
        self._note("umask", mask)

    # ---- processes and namespaces -----------------------------------------------------------------------
    def clone3(self, flags: int, cgroup_fd: int, pdeathsig: int) -> tuple[int, int]:
        return PID, self._fd(f"pidfd {PID}", "clone3", flags, cgroup_fd, pdeathsig)

    def unshare(self, flags: int) -> None:
        self._note("unshare", flags)

    def setns(self, fd: int, kind: int) -> None:
        self._note("setns", fd, kind)

    def pidfd_open(self, pid: int) -> int:
        return self._fd(f"pidfd {pid}", "pidfd_open", pid)

    def pidfd_send_signal(self, pidfd: int, number: int) -> None:
        self._note("pidfd_send_signal", pidfd, number)

    def pidfd_getfd(self, pidfd: int, number: int) -> int:
        return self._fd(f"descriptor {number} of {self.fds.get(pidfd, pidfd)}", "pidfd_getfd", pidfd, number)

    def prctl(self, option: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
        self._note("prctl", option, a, b, c, d)
        return 0

    def prlimit(self, pid: int, resource: int, soft: int, hard: int) -> None:
        self._note("prlimit", pid, resource, soft, hard)

    def sched_setattr(self, pid: int, attributes: bytes) -> None:
        self._note("sched_setattr", pid, attributes)

    def sched_setaffinity(self, pid: int, mask: bytes) -> None:
        self._note("sched_setaffinity", pid, mask)

    def become_child(self) -> None:
        self._note("become_child")

    def wait_status(self, pidfd: int) -> int:
        self._note("wait_status", pidfd)
        return 0

    def is_child(self, pidfd: int) -> bool:
        self._note("is_child", pidfd)
        return True

    def readable(self, fd: int) -> bool:
        self._note("readable", fd)
        return False

    def oom_kills(self, cgroup_fd: int) -> int:
        self._note("oom_kills", cgroup_fd)
        return 0

    def socketpair(self) -> tuple[int, int]:
        self._note("socketpair")
        first, self._next_fd = self._next_fd, self._next_fd + 2
        return first, first + 1

    def kill_and_reap(self, pid: int, pidfd: int) -> None:
        self._note("kill_and_reap", pid, pidfd)

    def open_own(self, root: str, id: str, name: str) -> int:
        return self._existing_fd(f"{root}/{id}/{name}", "open_own", root, id, name)

    def open_process(self, who: Mapping[str, Any], alive: Callable[[Mapping[str, Any]], bool]) -> int:
        return self._fd(f"pidfd {who['pid']}", "open_process", dict(who))

    def wait_end(self, pidfd: int, seconds: float) -> bool:
        self._note("wait_end", pidfd, seconds)
        return True

    def wait_unread(self, fd: int, signals: Sequence[int]) -> int:
        self._note("wait_unread", fd, signals)
        return 0

    def hold_signals(self, signals: Sequence[int]) -> object:
        self._note("hold_signals", signals)
        return ()

    def set_signals(self, mask: Any) -> None:
        self._note("set_signals", mask)

    def raise_signal(self, number: int) -> None:
        self._note("raise_signal", number)

    def exit(self, status: int) -> None:
        self._note("exit", status)

    def getpid(self) -> int:
        self._note("getpid")
        return 1

    def setsid(self) -> None:
        self._note("setsid")

    def set_ids(self, uid: int, gid: int, groups: Sequence[int] | None) -> None:
        self._note("set_ids", uid, gid, groups)

    def sethostname(self, name: str) -> None:
        self._note("sethostname", name)

    def setdomainname(self, name: str) -> None:
        self._note("setdomainname", name)

    def run_program(self, path: str, args: Sequence[str], env: Sequence[str], stdin: bytes, timeout: float | None,
                    cwd_fd: int = -1, streams: tuple[int, int] = (-1, -1)) -> tuple[int, str, str]:
        self._note("run_program", path, args, env, stdin, timeout, cwd_fd, streams)
        return self.programs.get(path, (0, "", ""))

    def join_session_keyring(self, name: str) -> int:
        self._note("join_session_keyring", name)
        return KEYRING

    def keyring_permit(self, serial: int, add: int) -> None:
        self._note("keyring_permit", serial, add)

    def loopback_up(self) -> None:
        self._note("loopback_up")

    def move_network_device(self, name: str, new_name: str, source: int, target: int) -> str:
        self._note("move_network_device", name, new_name, source, target)
        return new_name.replace("%d", "0")

    # ---- mounts -----------------------------------------------------------------------------------------
    def open_tree(self, path: str, flags: int, dirfd: int = AT_FDCWD) -> int:
        return self._existing_fd(path, "open_tree", path, flags, dirfd)

    def move_mount(self, from_fd: int, to_fd: int) -> None:
        self._note("move_mount", from_fd, to_fd)

    def fsopen(self, kind: str) -> int:
        return self._fd(f"fsopen {kind}", "fsopen", kind)

    def fsconfig(self, fd: int, command: int, key: str | None = None, value: str | None = None, aux: int = 0) -> None:
        self._note("fsconfig", fd, command, key, value, aux)

    def fsmount(self, fd: int, attributes: int) -> int:
        return self._fd(f"fsmount of {self.fds.get(fd, fd)}", "fsmount", fd, attributes)

    def mount_setattr(self, fd: int, set_: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False,
                      userns_fd: int = -1) -> None:
        self._note("mount_setattr", fd, set_, clear, propagation, recursive, userns_fd)

    def mount(self, source: str, target: str, kind: str, flags: int, data: str = "") -> None:
        self._note("mount", source, target, kind, flags, data)

    def umount(self, target: str, flags: int) -> None:
        self._note("umount", target, flags)

    def fs_messages(self, fd: int) -> str:
        self._note("fs_messages", fd)
        return ""

    def user_namespace(self, uid_map: str, gid_map: str) -> int:
        return self._fd("user namespace", "user_namespace", uid_map, gid_map)

    def locked_mount_namespace(self) -> int:
        return self._fd("locked mount namespace", "locked_mount_namespace")

    def open_tree_in(self, mount_namespace: int, path: str, flags: int) -> int:
        return self._existing_fd(path, "open_tree_in", mount_namespace, path, flags)

    # ---- terminals --------------------------------------------------------------------------------------
    def pty_peer(self, master: int) -> int:
        return self._fd(f"peer of {self.fds.get(master, master)}", "pty_peer", master)

    def pty_size(self, fd: int, rows: int, columns: int) -> None:
        self._note("pty_size", fd, rows, columns)

    def pty_plain_newlines(self, fd: int) -> None:
        self._note("pty_plain_newlines", fd)

    def pty_size_of_caller(self, fd: int) -> None:
        self._note("pty_size_of_caller", fd)

    def dup(self, fd: int) -> int:
        return self._fd(self.fds.get(fd, ""), "dup", fd)

    def dup2(self, fd: int, number: int) -> None:
        self._note("dup2", fd, number)
        self.fds[number] = self.fds.get(fd, "")

    def send_fd(self, path: str, data: bytes, fd: int) -> None:
        self._note("send_fd", path, data, fd)

    def connect(self, path: str) -> int:
        return self._existing_fd(path, "connect", path)

    def send_on(self, sock_fd: int, data: bytes, fd: int) -> None:
        self._note("send_on", sock_fd, data, fd)

    def receive_on(self, sock_fd: int) -> int:
        return self._fd("received", "receive_on", sock_fd)

    # ---- cgroup devices ---------------------------------------------------------------------------------
    def bpf_load_device(self, program: bytes) -> int:
        return self._fd("device filter", "bpf_load_device", program)

    def bpf_attach(self, cgroup_fd: int, program_fd: int, replace_fd: int = -1) -> None:
        self._note("bpf_attach", cgroup_fd, program_fd, replace_fd)

    def bpf_detach(self, cgroup_fd: int, program_fd: int) -> None:
        self._note("bpf_detach", cgroup_fd, program_fd)

    def bpf_query(self, cgroup_fd: int) -> list[int]:
        self._note("bpf_query", cgroup_fd)
        return []

    def bpf_by_id(self, number: int) -> int:
        return self._fd(f"device filter {number}", "bpf_by_id", number)

    # ---- the last stage ---------------------------------------------------------------------------------
    def last(self, code: int, a: int = 0, b: int = 0, c: int = 0, data: bytes = b"") -> None:
        self._note("last", code, a, b, c, data)
        self.queue.append((code, self.step, a, b, c, data))

    def run_last(self, page: CData) -> None:
        """Unlike Kernel's, this one returns."""
        self._note("run_last", page)
