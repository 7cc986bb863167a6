"""The only object with effects: thin methods over system calls, each raising OSError with the errno.

Steps are handed a Kernel and call nothing else that acts. recorder.Recorder has the same methods, acts on
nothing and remembers the calls; that is what `explain` and most unit tests run on. Paths are bytes or str as
the kernel wants them; descriptors are plain ints (no finaliser may close a recycled number, security.md 2.6).
"""
from __future__ import annotations

import errno as _errno
import posix

from .._native import ffi, lib
from .constants import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS
from .mounts import Mounts
from .native import cstr, fail
from .posix import O_CLOEXEC
from .stopping import STOPPING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._native._native import CData
    from .page import Page

AT_EMPTY_PATH = 0x1000
O_PATH = posix.O_PATH


#: Bytes of each stream of a program.
MOST_PRINTED = 4096


def _printed(kept: CData) -> str:
    """The text of a struct pr_printed."""
    data = bytes(ffi.buffer(kept.data, kept.used))
    if kept.total == kept.used:
        return data.decode(errors="backslashreplace")
    for _ in range(3):                   # not the rest of a character whose beginning is gone
        if data and data[0] & 0xC0 == 0x80:
            data = data[1:]
    return "..." + data.decode(errors="backslashreplace")


class Kernel(Mounts):
    """Real effects on the real kernel. See the man pages of the calls the methods are named after."""

    # ---- files ------------------------------------------------------------------------------------------
    def open_in_root(self, root_fd: int, path: str, flags: int, mode: int = 0,
                     resolve: int = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) -> int:
        """openat2(2) below root_fd: symlinks and ".." stay inside, magic links are refused.

        EAGAIN (something was renamed meanwhile) is tried again, 128 times.
        """
        raw = cstr(path)
        for _ in range(128):
            fd: int = lib.pr_openat2(root_fd, raw, flags | O_CLOEXEC, mode, resolve)
            if fd >= 0:
                return fd
            if ffi.errno not in (_errno.EAGAIN, _errno.EINTR):
                break
        raise fail(path)

    def map_page(self, name: str, dirfd: int, before: Page) -> object:
        """Make the journal page (native.h page_t) as a file and map it; before: what has stood in for it."""
        fd = self.open(name, posix.O_RDWR | posix.O_CREAT | posix.O_EXCL, 0o600, dirfd)
        try:
            return self._map(fd, before)
        finally:
            posix.close(fd)

    def memory_page(self, before: Page) -> object:
        """The same page without a file."""
        return self._map(-1, before)

    def _map(self, fd: int, before: Page) -> object:
        page = lib.pr_page_map(fd, before.steps)
        if page == ffi.NULL:
            raise fail("")
        page.parent_step = before.parent_step
        return page

    def chmod(self, fd: int, mode: int) -> None:
        """Mode bits of what an (O_PATH) descriptor refers to: fchmodat2(AT_EMPTY_PATH) or /proc/self/fd."""
        if lib.pr_empty_path_chmod(fd, mode, -1) < 0:
            raise fail(f"chmod {mode:o}")

    def chown(self, fd: int, uid: int, gid: int) -> None:
        """fchownat(2) with AT_EMPTY_PATH; -1 leaves an id."""
        if lib.pr_fchown(fd, uid & 0xffffffff, gid & 0xffffffff) < 0:
            raise fail(f"chown {uid}:{gid}")

    def fs_type(self, fd: int) -> int:
        """The file system's magic number (statfs(2) f_type)."""
        kind: int = lib.pr_fs_type(fd)
        if kind < 0:
            raise fail("statfs")
        return kind

    def fs_flags(self, fd: int) -> int:
        """The mount's ST_* flags (statfs(2) f_flags)."""
        flags: int = lib.pr_fs_flags(fd)
        if flags < 0:
            raise fail("statfs")
        return flags

    def mount_id(self, fd: int) -> int:
        """The id of the mount that fd is on (statx(2) STATX_MNT_ID): tells two mounts of one directory apart."""
        number: int = lib.pr_mount_id(fd)
        if number < 0:
            raise fail("statx")
        return number

    # ---- processes and namespaces -----------------------------------------------------------------------
    def clone3(self, flags: int, cgroup_fd: int, pdeathsig: int) -> tuple[int, int]:
        """(pid, pidfd) in the parent, (0, -1) in the child. See native.h."""
        pidfd = ffi.new("int *", -1)
        pid: int = lib.pr_clone3(flags, cgroup_fd, pidfd, pdeathsig)
        if pid == 0:
            self.cloned = True
        elif pid < 0:
            raise fail("clone3")
        return pid, pidfd[0]

    def unshare(self, flags: int) -> None:
        if lib.pr_unshare(flags) < 0:
            raise fail(f"unshare {flags:#x}")

    def setns(self, fd: int, kind: int) -> None:
        if lib.pr_setns(fd, kind) < 0:
            raise fail(f"setns {kind:#x}")

    def pidfd_getfd(self, pidfd: int, number: int) -> int:
        fd: int = lib.pr_pidfd_getfd(pidfd, number)
        if fd < 0:
            raise fail(f"pidfd_getfd {number}")
        return fd

    def prctl(self, option: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
        value: int = lib.pr_prctl(option, a, b, c, d)
        if value < 0:
            raise fail(f"prctl {option}")
        return value

    def prlimit(self, pid: int, resource: int, soft: int, hard: int) -> None:
        if lib.pr_prlimit(pid, resource, soft, hard) < 0:
            raise fail("prlimit")

    def sched_setattr(self, pid: int, attributes: bytes) -> None:
        """sched_setattr(2) of another process, as last.pack_scheduler() packs it."""
        if lib.pr_sched_setattr(pid, attributes) < 0:
            raise fail("sched_setattr")

    def sched_setaffinity(self, pid: int, mask: bytes) -> None:
        """sched_setaffinity(2), pid 0 for this process; bits for CPUs that the kernel has not are fine."""
        if lib.pr_sched_setaffinity(pid, mask, len(mask)) < 0:
            raise fail("sched_setaffinity")

    def become_child(self) -> None:
        """First thing in the clone: default signals, because CPython and the caller changed some, and nothing of the
        caller's environment, which /proc/PID/environ would show in the container."""
        if lib.pr_signals_reset() < 0:
            raise fail("reset the signals")
        lib.pr_forget_environment()

    def socketpair(self) -> tuple[int, int]:
        """A connected pair of unix stream sockets."""
        pair = ffi.new("int[2]")
        if lib.pr_socketpair(pair) < 0:
            raise fail("socketpair")
        return pair[0], pair[1]

    def set_ids(self, uid: int, gid: int, groups: Sequence[int] | None) -> None:
        """setgroups (None: leave), then all three group ids, then all three user ids, of this process."""
        if groups is not None and lib.pr_setgroups(len(groups), ffi.new("uint32_t[]", list(groups))) < 0:
            raise fail("setgroups")
        if lib.pr_setresgid(gid) < 0:
            raise fail(f"setresgid {gid}")
        if lib.pr_setresuid(uid) < 0:
            raise fail(f"setresuid {uid}")

    def sethostname(self, name: str) -> None:
        raw = cstr(name)
        if lib.pr_sethostname(raw, len(raw)) < 0:
            raise fail(f"sethostname {name}")

    def setdomainname(self, name: str) -> None:
        raw = cstr(name)
        if lib.pr_setdomainname(raw, len(raw)) < 0:
            raise fail(f"setdomainname {name}")

    def run_program(self, path: str, args: Sequence[str], env: Sequence[str], stdin: bytes, timeout: float | None,
                    cwd_fd: int = -1, streams: tuple[int, int] = (-1, -1)) -> tuple[int, str, str]:
        """Run a hook or a helper: (wait status, stdout, stderr). The status is -2 for one that ran out of time.

        streams   descriptors for its stdout and stderr; -1: of what it prints there the end is returned, 4 KiB at most,
                  with "..." in front where something is missing; what is no UTF-8 as \\xNN
        It dies with this process. A signal that asks the runtime to stop ends it: InterruptedError.
        """
        import _signal
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, STOPPING)      # one that has come is noted by now
        try:
            if self.stopped:
                raise InterruptedError(_errno.EINTR, posix.strerror(_errno.EINTR), path)
            done = self._run_program(path, args, env, stdin, timeout, cwd_fd, streams)
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        if done[0] == -3:
            raise InterruptedError(_errno.EINTR, posix.strerror(_errno.EINTR), path)
        return done

    def _run_program(self, path: str, args: Sequence[str], env: Sequence[str], stdin: bytes, timeout: float | None,
                     cwd_fd: int, streams: tuple[int, int]) -> tuple[int, str, str]:
        argv = [ffi.new("char[]", cstr(a)) for a in args]
        envp = [ffi.new("char[]", cstr(e)) for e in env]
        status, kept = ffi.new("int *"), (ffi.new("char[]", MOST_PRINTED), ffi.new("char[]", MOST_PRINTED))
        out, err = (ffi.new("struct pr_printed *", {"data": data, "size": MOST_PRINTED}) for data in kept)
        if lib.pr_run(cstr(path), ffi.new("char *[]", [*argv, ffi.NULL]), ffi.new("char *[]", [*envp, ffi.NULL]),
                      cwd_fd, *streams, stdin, len(stdin), int((timeout or 0) * 1000), 1, status, out, err) < 0:
            raise fail(path)
        return status[0], _printed(out), _printed(err)

    def join_session_keyring(self, name: str) -> int:
        """keyctl(2) KEYCTL_JOIN_SESSION_KEYRING: the one of that name that there is, or a new one; "" is always new."""
        serial: int = lib.pr_keyctl_join_session(cstr(name))
        if serial < 0:
            raise fail(f"join session keyring {name}")
        return serial

    def keyring_permit(self, serial: int, add: int) -> None:
        """Add permissions. OSError (EKEYREJECTED) for a keyring that belongs to another user."""
        if lib.pr_keyctl_setperm(serial, add) < 0:
            raise fail("set keyring permissions")

    def loopback_up(self) -> None:
        if lib.pr_loopback_up() < 0:
            raise fail("set lo up")

    def move_network_device(self, name: str, new_name: str, source: int, target: int) -> str:
        """Move a device between two network namespaces, one of them this process's own; its name there."""
        from .netdev import move
        return move(self.setns, name, new_name, source, target)

    # ---- namespaces of others ---------------------------------------------------------------------------
    def user_namespace(self, uid_map: str, gid_map: str) -> int:
        """A descriptor of a new user namespace with these maps; nobody is in it."""
        return self._of_short_lived_child(lib.CLONE_NEWUSER, "user", {"uid_map": uid_map, "gid_map": gid_map})

    def locked_mount_namespace(self) -> int:
        """A copy of this mount namespace, owned by a new user namespace: there the kernel has locked the flags
        that every mount has, and what is cloned from it keeps the locks (mount_namespaces(7))."""
        return self._of_short_lived_child(lib.CLONE_NEWUSER | lib.CLONE_NEWNS, "mnt", {})

    def _of_short_lived_child(self, flags: int, kind: str, maps: dict[str, str]) -> int:
        pid, pidfd = self.clone3(flags, -1, 9)
        if pid == 0:
            import _signal
            while True:      # its namespaces are all that is wanted of it
                _signal.pause()
        try:
            for name, text in maps.items():
                self.write_file(f"/proc/{pid}/{name}", text)
            return self.open(f"/proc/{pid}/ns/{kind}", posix.O_RDONLY)
        finally:
            self.kill_and_reap(pid, pidfd)

    def open_tree_in(self, mount_namespace: int, path: str, flags: int) -> int:
        """open_tree(2) of a path of another mount namespace; back in this one, root and cwd too, when it returns."""
        own = self.open("/proc/self/ns/mnt", posix.O_RDONLY)
        root, cwd = self.open("/", O_PATH), self.open(".", O_PATH)
        try:
            self.setns(mount_namespace, lib.CLONE_NEWNS)
            try:
                return self.open_tree(path, flags)
            finally:
                self.setns(own, lib.CLONE_NEWNS)
                posix.fchdir(root)
                posix.chroot(".")
                posix.fchdir(cwd)
        finally:
            for fd in (own, root, cwd):
                posix.close(fd)

    # ---- terminals --------------------------------------------------------------------------------------
    def pty_peer(self, master: int) -> int:
        """The slave of a master, unlocked, without becoming the controlling terminal (TIOCGPTPEER)."""
        fd: int = lib.pr_pty_peer(master)
        if fd < 0:
            raise fail("TIOCGPTPEER")
        return fd

    def pty_size(self, fd: int, rows: int, columns: int) -> None:
        if lib.pr_pty_size(fd, rows, columns) < 0:
            raise fail("TIOCSWINSZ")

    def pty_plain_newlines(self, fd: int) -> None:
        """A line that is written to this terminal ends in LF, and not in CR LF (ONLCR of termios(3) cleared)."""
        if lib.pr_tty_no_onlcr(fd) < 0:
            raise fail("TCSETS")

    def pty_size_of_caller(self, fd: int) -> None:
        """Give a terminal the size of the one this command was started at, if there is one at descriptor 2, 1 or 0."""
        rows, columns = ffi.new("unsigned short *"), ffi.new("unsigned short *")
        for own in (2, 1, 0):
            if lib.pr_pty_get_size(own, rows, columns) == 0:
                self.pty_size(fd, rows[0], columns[0])
                return

    # ---- cgroup devices ---------------------------------------------------------------------------------
    def bpf_load_device(self, program: bytes) -> int:
        """Load a BPF_PROG_TYPE_CGROUP_DEVICE program; the verifier's log goes into the error."""
        log = ffi.new("char[]", 4096)
        fd: int = lib.pr_bpf_load_device(ffi.from_buffer(program), len(program) // 8, log, 4096)
        if fd < 0:
            number = ffi.errno
            raise OSError(number, posix.strerror(number), ffi.string(log).decode(errors="replace")[-200:])
        return fd

    def bpf_attach(self, cgroup_fd: int, program_fd: int, replace_fd: int = -1) -> None:
        if lib.pr_bpf_attach(cgroup_fd, program_fd, replace_fd) < 0:
            raise fail("attach the device filter")

    def bpf_detach(self, cgroup_fd: int, program_fd: int) -> None:
        if lib.pr_bpf_detach(cgroup_fd, program_fd) < 0:
            raise fail("detach a device filter")

    def bpf_query(self, cgroup_fd: int) -> list[int]:
        """Ids of the device programs attached to the cgroup itself."""
        ids = ffi.new("uint32_t[]", 64)
        count: int = lib.pr_bpf_query(cgroup_fd, ids, 64)
        if count < 0:
            raise fail("query device filters")
        return [ids[i] for i in range(count)]

    def bpf_by_id(self, number: int) -> int:
        fd: int = lib.pr_bpf_by_id(number)
        if fd < 0:
            raise fail(f"device filter {number}")
        return fd

    # ---- the last stage: queue now, run in C at the end -------------------------------------------------
    def last(self, code: int, a: int = 0, b: int = 0, c: int = 0, data: bytes = b"") -> None:
        """Queue one operation of last_stage.c for the step that is being applied (native.h lists them)."""
        self.queue.append((code, self.step, a, b, c, data))

    def __init__(self) -> None:
        self.queue: list[tuple[int, int, int, int, int, bytes]] = []
        self.step = 0            # index of the step being applied, set by the engine

    def run_last(self, page: CData) -> None:
        """Hand the queue to C. Does not return."""
        ops = ffi.new("op_t[]", len(self.queue))
        blob = bytearray(8)
        for op, (code, step, a, b, c, data) in zip(ops, self.queue):
            op.code, op.step, op.a, op.b, op.c = code, step, a, b, c
            op.data, op.len = len(blob), len(data)
            blob += data
            blob += bytes(-len(blob) % 8)   # structs in the blob are aligned
        lib.pr_last_stage(page, ops, len(self.queue), ffi.from_buffer(blob), len(blob))
