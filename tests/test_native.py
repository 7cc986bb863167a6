"""Every function of native.h but the last stage, for real: as root, each in a child of its own where it changes it."""
from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import resource
import signal
import socket
import struct
import sys
import termios
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc import last
from pyrunc._native import ffi, lib
from pyrunc.kernel import Kernel

from .forked import forked

KERNEL = Kernel()
NATIVE = Path("pyrunc/_native")
SIGKILL = int(signal.SIGKILL)


def wait(pid: int) -> int:
    """Exit status, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def status_of(pid: int | str = "self") -> dict[str, str]:
    """/proc/PID/status as a dict."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
def anchor() -> Iterator[int]:
    """A descriptor of "/"."""
    fd = os.open("/", os.O_PATH)
    yield fd
    os.close(fd)


# ---- the module itself -------------------------------------------------------------------------------------

def test_every_declaration_is_there() -> None:
    declared = re.findall(r"\b(pr_\w+)\(", (NATIVE / "native.h").read_text())
    assert len(declared) > 50
    for name in declared:
        assert callable(getattr(lib, name))


def test_operations_of_last_py_are_those_of_native_h() -> None:
    numbers = {name for name in dir(lib) if name.startswith("OP_")}
    assert {name for name in dir(last) if name.startswith("OP_")} == numbers
    for name in numbers:
        assert getattr(last, name) == getattr(lib, name), name


def test_descriptors_are_close_on_exec(tmp_path: Path) -> None:
    root = os.open("/", os.O_PATH)
    made = [
        lib.pr_openat2(root, b"etc", os.O_PATH, 0, 0), lib.pr_pidfd_open(os.getpid(), 0), lib.pr_signalfd(),
        lib.pr_open_tree(lib.AT_FDCWD, b"/", 0), lib.pr_fsopen(b"tmpfs"),
    ]
    pair = ffi.new("int[2]")
    assert lib.pr_socketpair(pair) == 0
    for fd in [*made, *pair]:
        assert fd >= 0
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        os.close(fd)
    os.close(root)


# ---- the journal page --------------------------------------------------------------------------------------

def test_page_is_shared_and_outlives_its_writer(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "journal", os.O_RDWR | os.O_CREAT)
    page = lib.pr_page_map(fd, 1)
    assert (page.magic, page.version, page.parent_step, page.child_step) == (lib.PAGE_MAGIC, lib.PAGE_VERSION, -1, -1)
    pid = os.fork()
    if pid == 0:
        page.child_step = 7
        os.kill(os.getpid(), signal.SIGKILL)
    assert wait(pid) == -SIGKILL
    assert page.child_step == 7
    again = lib.pr_page_map(fd, 0)
    assert again.child_step == 7
    lib.pr_page_unmap(again)
    lib.pr_page_unmap(page)
    os.close(fd)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\0" * 65536], ids=["empty", "short", "foreign"])
def test_page_of_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)
    fd = os.open(tmp_path / "journal", os.O_RDWR)
    assert lib.pr_page_map(fd, 0) == ffi.NULL
    assert ffi.errno == errno.EINVAL
    os.close(fd)


def test_now_is_the_monotonic_clock() -> None:
    before = time.monotonic_ns()
    assert before <= lib.pr_now() <= time.monotonic_ns()


# ---- clone3 ------------------------------------------------------------------------------------------------

def test_clone3_gives_pid_and_pidfd() -> None:
    pid, pidfd = KERNEL.clone3(0, -1, 0)
    if pid == 0:
        os._exit(41 if pidfd == -1 else 1)
    info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert info is not None
    assert (info.si_pid, info.si_status) == (pid, 41)
    os.close(pidfd)


def test_clone3_child_is_a_whole_python() -> None:
    """Locks, imports, the at-fork hooks, a second clone and threads work in the child."""
    hooked: list[str] = []
    os.register_at_fork(before=lambda: hooked.append("before"), after_in_child=lambda: hooked.append("child"),
                        after_in_parent=lambda: hooked.append("parent"))
    pid, pidfd = KERNEL.clone3(0, -1, 0)
    if pid == 0:
        try:
            assert hooked == ["before", "child"]
            import wave  # not loaded yet
            assert wave.WAVE_FORMAT_PCM
            assert threading.enumerate() == [threading.main_thread()]
            ran: list[int] = []
            thread = threading.Thread(target=ran.append, args=(1,))
            thread.start()
            thread.join()
            assert ran == [1]
            while lib.pr_tasks() > 1:           # join() returns a moment before the kernel's thread has gone
                time.sleep(0.001)
            inner, _ = KERNEL.clone3(0, -1, 0)
            if inner == 0:
                os._exit(5)
            os._exit(wait(inner))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert hooked == ["before", "parent"]
    assert wait(pid) == 5
    os.close(pidfd)


def test_clone3_500_times_does_not_hang() -> None:
    for round_ in range(500):
        pid, pidfd = KERNEL.clone3(0, -1, SIGKILL)
        if pid == 0:
            os._exit(len([str(n) for n in range(100)]) - 100 + round_ % 7)
        assert wait(pid) == round_ % 7
        os.close(pidfd)


def test_clone3_refuses_more_than_one_thread() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert lib.pr_tasks() == 2
        with pytest.raises(OSError) as refused:
            KERNEL.clone3(0, -1, 0)
        assert refused.value.errno == errno.EDEADLK
    finally:
        stop.set()
        thread.join()


def test_clone3_that_fails_leaves_the_interpreter_usable() -> None:
    for _ in range(3):
        with pytest.raises(OSError) as refused:
            KERNEL.clone3(1 << 40, -1, 0)
        assert refused.value.errno == errno.EINVAL
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def test_clone3_makes_namespaces() -> None:
    kinds = {"uts": lib.CLONE_NEWUTS, "ipc": lib.CLONE_NEWIPC, "net": lib.CLONE_NEWNET, "mnt": lib.CLONE_NEWNS,
             "pid": lib.CLONE_NEWPID, "user": lib.CLONE_NEWUSER, "cgroup": lib.CLONE_NEWCGROUP}
    ready, go = os.pipe()
    pid, pidfd = KERNEL.clone3(sum(kinds.values()), -1, SIGKILL)
    if pid == 0:
        os.close(go)
        os.read(ready, 1)
        os._exit(os.getpid())
    for kind in kinds:
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    os.close(go)
    assert wait(pid) == 1      # it was pid 1
    os.close(ready)
    os.close(pidfd)


def test_clone3_into_a_cgroup() -> None:
    def act() -> None:
        mount = Path("/tmp")
        assert lib.pr_mount(b"cgroup2", bytes(mount), b"cgroup2", 0, b"") == 0
        cgroup = mount / f"pyrunc-test-{os.getpid()}"
        cgroup.mkdir()
        try:
            fd = os.open(cgroup, os.O_PATH)
            pid, _ = KERNEL.clone3(0, fd, SIGKILL)
            if pid == 0:
                line = next(line for line in Path("/proc/self/cgroup").read_text().splitlines()
                            if line.startswith("0::"))
                os._exit(0 if line.endswith(cgroup.name) else 1)
            assert wait(pid) == 0
        finally:
            cgroup.rmdir()
    forked(act, lib.CLONE_NEWNS)


def test_clone_parent_makes_a_sibling() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        inner, _ = KERNEL.clone3(lib.CLONE_PARENT, -1, 0)
        if inner == 0:
            os.write(writing, f"{os.getpid()} {os.getppid()}".encode())
            os._exit(9)
        os._exit(0)
    assert wait(pid) == 0
    sibling, parent = map(int, os.read(reading, 100).split())
    assert parent == os.getpid()
    assert wait(sibling) == 9
    os.close(reading)
    os.close(writing)


def test_child_dies_with_its_parent() -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        os.close(reading)
        pid, _ = KERNEL.clone3(lib.CLONE_NEWPID, -1, SIGKILL)
        if pid == 0:
            time.sleep(60)
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    assert wait(parent) == -SIGKILL
    began = time.monotonic()
    assert os.read(reading, 1) == b""      # closed by the death of the last holder
    assert time.monotonic() - began < 5
    os.close(reading)


def test_change_of_ids_keeps_the_parent_death_signal() -> None:
    def act() -> tuple[int, int, dict[str, str]]:
        lib.pr_prctl(lib.PR_SET_PDEATHSIG, signal.SIGUSR1, 0, 0, 0)
        assert lib.pr_setgroups(2, ffi.new("uint32_t[]", [7, 8])) == 0
        assert lib.pr_setresgid(1234) == 0
        assert lib.pr_setresuid(1233) == 0
        kept = ffi.new("int *")
        assert lib.pr_prctl(lib.PR_GET_PDEATHSIG, int(ffi.cast("uintptr_t", kept)), 0, 0, 0) == 0
        return kept[0], signal.SIGUSR1, status_of()
    kept, wanted, status = forked(act)
    assert kept == wanted
    assert status["Uid"].split() == ["1233"] * 4
    assert status["Gid"].split() == ["1234"] * 4
    assert status["Groups"].split() == ["7", "8"]


# ---- processes ---------------------------------------------------------------------------------------------

def test_unshare_and_setns() -> None:
    def act() -> None:
        before = os.readlink("/proc/self/ns/uts")
        own = os.open("/proc/self/ns/uts", os.O_RDONLY)
        KERNEL.unshare(lib.CLONE_NEWUTS)
        assert os.readlink("/proc/self/ns/uts") != before
        KERNEL.sethostname("inside")
        KERNEL.setdomainname("domain")
        assert (os.uname().nodename, Path("/proc/sys/kernel/domainname").read_text()) == ("inside", "domain\n")
        KERNEL.setns(own, lib.CLONE_NEWUTS)
        assert os.readlink("/proc/self/ns/uts") == before
        with pytest.raises(OSError) as wrong:
            KERNEL.setns(own, lib.CLONE_NEWNET)
        assert wrong.value.errno == errno.EINVAL
    forked(act)


def test_pidfd() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    fd = KERNEL.pidfd_open(pid)
    theirs = KERNEL.pidfd_getfd(fd, writing)
    os.write(theirs, b"x")
    assert os.read(reading, 1) == b"x"
    KERNEL.pidfd_send_signal(fd, signal.SIGTERM)
    assert wait(pid) == -signal.SIGTERM
    with pytest.raises(OSError) as gone:
        KERNEL.pidfd_send_signal(fd, 0)
    assert gone.value.errno == errno.ESRCH
    for each in (fd, theirs, reading, writing):
        os.close(each)


def test_prlimit_of_another_process() -> None:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    KERNEL.prlimit(pid, resource.RLIMIT_NOFILE, 100, 200)
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (100, 200)
    KERNEL.prlimit(pid, resource.RLIMIT_CORE, 0, 2**64 - 1)
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, resource.RLIM_INFINITY)
    os.kill(pid, signal.SIGKILL)
    wait(pid)


def test_close_range() -> None:
    def act() -> None:
        low = os.dup(0)
        high = fcntl.fcntl(0, fcntl.F_DUPFD, 200)
        assert lib.pr_close_range(200, 0xffffffff, lib.CLOSE_RANGE_CLOEXEC) == 0
        assert fcntl.fcntl(high, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
        assert lib.pr_close_range(200, 300, 0) == 0
        with pytest.raises(OSError):
            os.fstat(high)
        os.fstat(low)
    forked(act)


def test_signals_are_default_and_unblocked_after_reset() -> None:
    def act() -> tuple[dict[str, str], dict[str, str]]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert lib.pr_signals_block() == 0
        blocked = status_of()
        assert lib.pr_signals_reset() == 0
        return blocked, status_of()
    blocked, after = forked(act)
    assert int(blocked["SigIgn"], 16) & 1 << signal.SIGPIPE - 1        # CPython's doing
    assert int(blocked["SigBlk"], 16) == 0xfffffffe7ffbfeff & ~(1 << 31 | 1 << 32) & 0xffffffffffffffff
    assert [int(after[key], 16) for key in ("SigBlk", "SigIgn", "SigCgt")] == [0, 0, 0]


def test_signalfd_reads_blocked_signals() -> None:
    def act() -> int:
        fd = lib.pr_signalfd()
        with pytest.raises(BlockingIOError):
            os.read(fd, 128)
        lib.pr_signals_block()
        os.kill(os.getpid(), signal.SIGTERM)
        return int(struct.unpack("=I", os.read(fd, 128)[:4])[0])
    assert forked(act) == signal.SIGTERM


def test_prctl_reports_errors() -> None:
    with pytest.raises(OSError) as unknown:
        KERNEL.prctl(0x7fffffff)
    assert unknown.value.errno == errno.EINVAL


def test_setresuid_of_no_id_is_refused_or_nothing() -> None:
    """-1 means "leave it" to the kernel: the callers' range check is what refuses it (last_check.c for the stage)."""
    def act() -> tuple[int, ...]:
        lib.pr_setresuid(1000)
        assert lib.pr_setresuid(0) == -1
        return os.getresuid()
    assert forked(act) == (1000, 1000, 1000)


def test_affinity() -> None:
    def act() -> set[int]:
        first = min(os.sched_getaffinity(0))
        mask = bytearray(first // 8 + 1)
        mask[first // 8] = 1 << first % 8
        assert lib.pr_sched_setaffinity(0, bytes(mask), len(mask)) == 0
        return os.sched_getaffinity(0) - {first}
    assert forked(act) == set()


def test_session_keyring() -> None:
    def act() -> str:
        serial = KERNEL.join_session_keyring("_ses.test")
        KERNEL.keyring_permit(serial, 0x00080000)              # KEY_USR_SEARCH
        libc = ctypes.CDLL(None, use_errno=True)
        about = ctypes.create_string_buffer(200)
        describe = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
        assert libc.syscall(describe, 6, serial, about, 200) > 0
        return about.value.decode()
    kind, _uid, _gid, permissions, name = forked(act).split(";")
    assert (kind, name) == ("keyring", "_ses.test")
    assert int(permissions, 16) & 0x00080000


def test_loopback_up() -> None:
    def act() -> None:
        KERNEL.unshare(lib.CLONE_NEWNET)
        with socket.socket() as closed, pytest.raises(OSError):
            closed.connect(("127.0.0.1", 9))
        KERNEL.loopback_up()
        server = socket.create_server(("127.0.0.1", 0))
        socket.create_connection(server.getsockname()).close()
    forked(act)


# ---- programs ----------------------------------------------------------------------------------------------

def run(script: str, stdin: bytes = b"", timeout: float | None = 10, env: tuple[str, ...] = ()) -> tuple[int, str]:
    return KERNEL.run_program("/bin/sh", ["sh", "-c", script], env, stdin, timeout)


def test_program_gets_exactly_what_it_is_given() -> None:
    os.environ["PYRUNC_TEST_SECRET"] = "x"
    leak = fcntl.fcntl(0, fcntl.F_DUPFD, 50)
    try:
        assert os.get_inheritable(leak)
        status, out = run("env; cat; ls /proc/self/fd", b"state\n", env=("A=b", "C=d"))
    finally:
        os.close(leak)
        del os.environ["PYRUNC_TEST_SECRET"]
    assert status == 0
    lines = out.split()
    assert {"A=b", "C=d"} <= set(lines[:3])
    assert all(line.startswith(("A=", "C=", "PWD=")) for line in lines[:3])
    assert lines[3:] == ["state", "0", "1", "2", "3"]          # 3 is the directory that ls reads


def test_program_with_default_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        out = run("grep Sig /proc/self/status")[1]
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    masks = dict(re.findall(r"(Sig\w+):\s+(\w+)", out))
    assert int(masks["SigBlk"], 16) == int(masks["SigIgn"], 16) == 0


@pytest.mark.parametrize(("script", "status"), [
    ("exit 3", 3 << 8), ("kill -9 $$", 9), ("exit 0", 0)])
def test_program_status(script: str, status: int) -> None:
    assert run(script) == (status, "")


def test_program_that_prints_more_than_is_kept() -> None:
    status, out = run("yes 0123456789 | head -c 1000000; exit 4")
    assert status >> 8 == 4
    assert len(out) == 4095


def test_program_that_does_not_read_its_stdin() -> None:
    assert run("exit 0", b"x" * 1_000_000) == (0, "")
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN      # as before


def test_program_reads_all_of_a_large_stdin() -> None:
    assert run("wc -c", b"x" * 1_000_000) == (0, "1000000\n")


def test_program_runs_out_of_time() -> None:
    began = time.monotonic()
    status, out = run("echo begun; sleep 60", timeout=0.3)
    assert (status, out) == (-2, "begun\n")
    assert 0.25 < time.monotonic() - began < 5


def test_program_without_time_limit() -> None:
    assert run("sleep 0.2; echo done", timeout=None) == (0, "done\n")


def test_program_that_leaves_a_daemon_behind() -> None:
    """Its end counts, not that of a pipe which something else still holds."""
    began = time.monotonic()
    assert run("sleep 3 & echo started") == (0, "started\n")
    assert time.monotonic() - began < 2


def test_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        KERNEL.run_program("/nowhere/hook", ["hook"], [], b"", 1)
    assert missing.value.filename == "/nowhere/hook"
    (tmp_path / "plain").touch(0o644)
    with pytest.raises(PermissionError):
        KERNEL.run_program(str(tmp_path / "plain"), ["x"], [], b"", 1)


def test_program_in_a_directory(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    assert KERNEL.run_program("/bin/pwd", ["pwd"], [], b"", 5, fd) == (0, f"{tmp_path}\n")
    os.close(fd)


def test_program_with_closed_stdio() -> None:
    def act() -> tuple[int, str]:
        for fd in range(3):
            os.close(fd)
        return run("cat", b"text")
    assert forked(act) == (0, "text")


def test_program_with_sigchld_ignored_is_an_error_not_a_success() -> None:
    def act() -> int:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with pytest.raises(OSError) as unknown:
            run("exit 1")
        return unknown.value.errno or 0
    assert forked(act) == errno.ECHILD


def test_programs_leave_no_descriptor() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(20):
        run("echo x", b"y", timeout=1)
        with pytest.raises(OSError):
            KERNEL.run_program("/nowhere", ["x"], [], b"", 1)
    assert sorted(os.listdir("/proc/self/fd")) == before


# ---- files -------------------------------------------------------------------------------------------------

def test_openat2_stays_in_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("inside")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "up").symlink_to("../../../../../../../../etc/passwd")
    (root / "magic").symlink_to("/proc/self/root/etc/passwd")
    (root / "proc").mkdir()
    fd = os.open(root, os.O_PATH)
    for path in ("absolute", "up", "../../etc/passwd", "/etc/passwd", "etc/../../etc/passwd"):
        found = KERNEL.open_in_root(fd, path, os.O_RDONLY)
        assert os.read(found, 10) == b"inside", path
        os.close(found)
    with pytest.raises(FileNotFoundError):
        KERNEL.open_in_root(fd, "magic", os.O_RDONLY)

    def real_proc() -> None:
        assert lib.pr_mount(b"proc", bytes(root / "proc"), b"proc", 0, b"") == 0
        inner = os.open(root, os.O_PATH)
        with pytest.raises(OSError) as refused:
            KERNEL.open_in_root(inner, "magic", os.O_RDONLY)
        assert refused.value.errno == errno.ELOOP
    forked(real_proc, lib.CLONE_NEWNS)
    for resolve, path in ((lib.RESOLVE_BENEATH, "../x"), (lib.RESOLVE_NO_SYMLINKS, "absolute")):
        with pytest.raises(OSError) as refused:
            KERNEL.open_in_root(fd, path, os.O_RDONLY, 0, resolve)
        assert refused.value.errno in (errno.EXDEV, errno.ELOOP)
    os.close(fd)


def test_file_system_facts(anchor: int) -> None:
    proc = os.open("/proc", os.O_PATH)
    assert KERNEL.fs_type(proc) == 0x9fa0
    assert KERNEL.fs_flags(proc) == os.fstatvfs(proc).f_flag | 0x20            # ST_VALID, which glibc hides
    ids = {line.split()[4]: int(line.split()[0]) for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    assert lib.pr_mount_id(proc) == ids["/proc"]
    assert lib.pr_mount_id(anchor) == ids["/"]
    os.close(proc)
    with pytest.raises(OSError) as closed:
        KERNEL.fs_type(proc)
    assert closed.value.errno == errno.EBADF


def test_chmod_and_chown_of_an_o_path_descriptor(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    fd = os.open(file, os.O_PATH)
    KERNEL.chmod(fd, 0o4751)
    KERNEL.chown(fd, 11, -1)
    KERNEL.chown(fd, -1, 12)
    KERNEL.chmod(fd, 0o640)
    assert (file.stat().st_mode & 0o7777, file.stat().st_uid, file.stat().st_gid) == (0o640, 11, 12)
    os.close(fd)


def test_chmod_without_fchmodat2(tmp_path: Path) -> None:
    """The way for kernels before 6.6, forced by a seccomp filter that answers ENOSYS: by /proc, if it is a procfs."""
    file = tmp_path / "file"
    file.write_text("")

    def act() -> int:
        deny_fchmodat2()
        fd = os.open(file, os.O_PATH)
        KERNEL.chmod(fd, 0o601)
        assert lib.pr_mount(b"tmpfs", b"/proc", b"tmpfs", 0, b"") == 0
        with pytest.raises(OSError) as fake:
            KERNEL.chmod(fd, 0o777)
        return fake.value.errno or 0
    assert forked(act, lib.CLONE_NEWNS) == errno.EXDEV
    assert file.stat().st_mode & 0o7777 == 0o601


def deny_fchmodat2() -> None:
    program = b"".join(struct.pack("HBBI", *line) for line in [
        (0x20, 0, 0, 0),                        # load the number of the system call
        (0x15, 0, 1, 452),                      # is it fchmodat2?
        (0x06, 0, 0, 0x00050000 | errno.ENOSYS),
        (0x06, 0, 0, 0x7fff0000)])
    buffer = ctypes.create_string_buffer(program)

    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    whole = Program(4, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert lib.pr_prctl(lib.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(whole)) == 0


# ---- mounts ------------------------------------------------------------------------------------------------

def mount_line(path: Path) -> str:
    lines = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if line.split()[4] == str(path)]
    return lines[-1] if lines else ""


def test_mount_api_round_trip(tmp_path: Path) -> None:
    def act() -> None:
        source, target = tmp_path / "source", tmp_path / "target"
        source.mkdir()
        target.mkdir()
        context = KERNEL.fsopen("tmpfs")
        KERNEL.fsconfig(context, lib.FSCONFIG_SET_STRING, "size", "64k")
        KERNEL.fsconfig(context, lib.FSCONFIG_CMD_CREATE)
        fresh = KERNEL.fsmount(context, lib.MOUNT_ATTR_NOSUID)
        place = os.open(source, os.O_PATH)
        KERNEL.move_mount(fresh, place)
        assert "nosuid" in mount_line(source)
        assert "size=64k" in mount_line(source)
        (source / "file").write_text("x")

        clone = KERNEL.open_tree(str(source), lib.OPEN_TREE_CLONE | lib.AT_RECURSIVE)
        KERNEL.mount_setattr(clone, lib.MOUNT_ATTR_RDONLY | lib.MOUNT_ATTR_NOEXEC, recursive=True)
        place = os.open(target, os.O_PATH)
        KERNEL.move_mount(clone, place)
        assert (target / "file").read_text() == "x"
        assert {"ro", "nosuid", "noexec"} <= set(mount_line(target).split()[5].split(","))
        with pytest.raises(OSError) as readonly:
            (target / "new").write_text("")
        assert readonly.value.errno == errno.EROFS

        KERNEL.mount_setattr(clone, 0, lib.MOUNT_ATTR_RDONLY)
        (target / "new").write_text("")
        KERNEL.mount_setattr(clone, propagation=lib.MS_SHARED)
        assert "shared:" in mount_line(target)
        KERNEL.umount(str(target), lib.MNT_DETACH)
        assert mount_line(target) == ""
    forked(act, lib.CLONE_NEWNS)


def test_mount_option_that_the_file_system_refuses_is_named() -> None:
    def act() -> None:
        context = KERNEL.fsopen("tmpfs")
        with pytest.raises(OSError) as refused:
            KERNEL.fsconfig(context, lib.FSCONFIG_SET_STRING, "size", "plenty")
        assert refused.value.filename == "size=plenty"
    forked(act, lib.CLONE_NEWNS)


def test_umount_does_not_follow(tmp_path: Path) -> None:
    def act() -> None:
        (tmp_path / "dir").mkdir()
        (tmp_path / "link").symlink_to("dir")
        KERNEL.mount("tmpfs", str(tmp_path / "dir"), "tmpfs", 0)
        with pytest.raises(OSError) as refused:
            KERNEL.umount(str(tmp_path / "link"), lib.UMOUNT_NOFOLLOW)
        assert refused.value.errno == errno.EINVAL
        KERNEL.umount(str(tmp_path / "dir"), lib.UMOUNT_NOFOLLOW)
    forked(act, lib.CLONE_NEWNS)


def test_idmapped_mount(tmp_path: Path) -> None:
    def act() -> tuple[int, int]:
        KERNEL.mount("tmpfs", str(tmp_path), "tmpfs", 0)
        ready, _go = os.pipe()
        pid, _ = KERNEL.clone3(lib.CLONE_NEWUSER, -1, SIGKILL)
        if pid == 0:
            os.read(ready, 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{name}").write_text("0 100000 1000\n")
        userns = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
        os.kill(pid, signal.SIGKILL)
        (tmp_path / "file").write_text("")
        clone = KERNEL.open_tree(str(tmp_path), lib.OPEN_TREE_CLONE)
        KERNEL.mount_setattr(clone, lib.MOUNT_ATTR_IDMAP, userns_fd=userns)
        seen = os.stat("file", dir_fd=clone)
        return seen.st_uid, seen.st_gid
    assert forked(act, lib.CLONE_NEWNS) == (100000, 100000)


# ---- terminals ---------------------------------------------------------------------------------------------

def test_pseudo_terminal() -> None:
    def act() -> None:
        master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        slave = KERNEL.pty_peer(master)
        assert os.isatty(slave)
        assert fcntl.fcntl(slave, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        KERNEL.pty_size(slave, 31, 97)
        rows, columns = ffi.new("unsigned short *"), ffi.new("unsigned short *")
        assert lib.pr_pty_get_size(master, rows, columns) == 0
        assert (rows[0], columns[0]) == (31, 97)
        os.setsid()
        with pytest.raises(OSError):
            os.open("/dev/tty", os.O_RDWR)
        KERNEL.controlling_terminal(slave)
        os.close(os.open("/dev/tty", os.O_RDWR))
    forked(act)


def test_raw_and_back() -> None:
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    slave = KERNEL.pty_peer(master)
    before = termios.tcgetattr(slave)
    saved = ffi.new("unsigned char[128]")
    size = lib.pr_tty_raw(slave, saved, 128)
    assert size > 0
    raw = termios.tcgetattr(slave)
    assert not raw[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert lib.pr_tty_restore(slave, saved, size) == 0
    assert termios.tcgetattr(slave) == before
    assert before[1] & termios.ONLCR
    assert lib.pr_tty_no_onlcr(slave) == 0
    assert not termios.tcgetattr(slave)[1] & termios.ONLCR
    assert (lib.pr_tty_raw(slave, saved, 4), ffi.errno) == (-1, errno.ENOSPC)
    assert (lib.pr_tty_restore(slave, saved, 4), ffi.errno) == (-1, errno.EINVAL)
    os.close(slave)
    os.close(master)


def test_terminal_functions_on_a_pipe() -> None:
    reading, writing = os.pipe()
    saved = ffi.new("unsigned char[128]")
    for result in (lib.pr_pty_peer(reading), lib.pr_pty_size(reading, 1, 1), lib.pr_tty_raw(reading, saved, 128),
                   lib.pr_setsid_ctty(reading), lib.pr_tty_no_onlcr(reading)):
        assert (result, ffi.errno) == (-1, errno.ENOTTY)
    os.close(reading)
    os.close(writing)


# ---- cgroup devices ----------------------------------------------------------------------------------------

ALLOW = struct.pack("=BBhi", 0xb7, 0, 0, 1) + struct.pack("=BBhi", 0x95, 0, 0, 0)     # r0 = 1; exit
DENY = struct.pack("=BBhi", 0xb7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)


def test_device_filter_is_loaded_attached_replaced_and_enforced() -> None:
    def act() -> None:
        mount = Path("/tmp")
        assert lib.pr_mount(b"cgroup2", bytes(mount), b"cgroup2", 0, b"") == 0
        cgroup = mount / f"pyrunc-devices-{os.getpid()}"
        cgroup.mkdir()
        try:
            fd = os.open(cgroup, os.O_RDONLY)
            assert KERNEL.bpf_query(fd) == []
            allow, deny = KERNEL.bpf_load_device(ALLOW), KERNEL.bpf_load_device(DENY)
            KERNEL.bpf_attach(fd, allow)
            first = KERNEL.bpf_query(fd)
            KERNEL.bpf_attach(fd, deny, allow)
            assert len(first) == len(KERNEL.bpf_query(fd)) == 1
            assert KERNEL.bpf_query(fd) != first
            opened = []
            for filtered in (True, False):
                pid, _ = KERNEL.clone3(0, fd, SIGKILL)
                if pid == 0:
                    try:
                        os.close(os.open("/dev/null", os.O_RDONLY))
                    except PermissionError:
                        os._exit(1)
                    os._exit(0)
                opened.append(wait(pid))
                if filtered:
                    attached = KERNEL.bpf_by_id(KERNEL.bpf_query(fd)[0])
                    KERNEL.bpf_detach(fd, attached)
            assert opened == [1, 0]
            assert KERNEL.bpf_query(fd) == []
        finally:
            cgroup.rmdir()
    forked(act, lib.CLONE_NEWNS)


def test_verifier_has_its_say() -> None:
    with pytest.raises(OSError) as refused:
        KERNEL.bpf_load_device(struct.pack("=BBhi", 0x95, 0, 0, 0))       # exit without a result
    assert "R0" in str(refused.value.filename)


# ---- the seal against lazy loading -------------------------------------------------------------------------

def test_module_is_bound_at_load_time() -> None:
    """Nothing may be looked up in a library once the root is the container's."""
    from pyrunc._native import _native
    image = Path(str(_native.__file__)).read_bytes()
    assert image[:4] == b"\x7fELF"
    assert sys.byteorder == "little"
    offset, size, count = struct.unpack_from("=Q", image, 32)[0], *struct.unpack_from("=HH", image, 54)
    segments = [struct.unpack_from("=II6Q", image, offset + i * size) for i in range(count)]
    dynamic = next(s for s in segments if s[0] == 2)
    entries = dict(struct.iter_unpack("=QQ", image[dynamic[2]:dynamic[2] + dynamic[5]]))
    assert entries.get(0x6ffffffb, 0) & 1 or entries.get(30, 0) & 8        # DF_1_NOW, DF_BIND_NOW
    assert any(s[0] == 0x6474e552 for s in segments)                       # PT_GNU_RELRO
