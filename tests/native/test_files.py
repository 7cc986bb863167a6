"""Files by descriptor."""
from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc._native import lib
from pyrunc.kernel.linux import Kernel

from .. import world
from ..forked import forked

KERNEL = Kernel()


@pytest.fixture
def anchor() -> Iterator[int]:
    """A descriptor of "/"."""
    fd = os.open("/", os.O_PATH)
    yield fd
    os.close(fd)


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
    ids = {line.split()[4]: int(line.split()[0]) for line in world.lines("/proc/self/mountinfo")}
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


def test_what_a_false_proc_leads_to_is_not_reopened(tmp_path: Path) -> None:
    """A joined mount namespace may have anything on /proc."""
    def act() -> int:
        verified = os.open("/dev/null", os.O_PATH)
        os.close(KERNEL.reopen(verified, os.O_RDWR))
        assert lib.pr_mount(b"none", b"/proc", b"tmpfs", 0, b"") == 0
        os.makedirs("/proc/self/fd")
        os.symlink("/dev/zero", f"/proc/self/fd/{verified}")
        with pytest.raises(OSError) as refused:
            KERNEL.reopen(verified, os.O_RDWR)
        return refused.value.errno or 0
    assert forked(act, lib.CLONE_NEWNS) == errno.EXDEV
