"""The mount API, in a private mount namespace."""
from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from pyrunc._native import lib
from pyrunc.kernel.linux import Kernel
from tests import world

from ..forked import forked

KERNEL = Kernel()


def mount_line(path: Path) -> str:
    lines = [line for line in world.lines("/proc/self/mountinfo") if line.split()[4] == str(path)]
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
        pid, _ = KERNEL.clone3(lib.CLONE_NEWUSER, -1, signal.SIGKILL)
        if pid == 0:
            os.read(ready, 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{name}").write_text("0 100000 1000\n")
        userns = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
        os.kill(pid, signal.SIGKILL)
        (tmp_path / "file").write_text("")
        clone = KERNEL.open_tree(str(tmp_path), lib.OPEN_TREE_CLONE)
        try:
            KERNEL.mount_setattr(clone, lib.MOUNT_ATTR_IDMAP, userns_fd=userns)
        except OSError as fault:
            return 0, fault.errno or 0
        seen = os.stat("file", dir_fd=clone)
        return seen.st_uid, seen.st_gid
    tmpfs_can = world.kernel() >= (6, 3)
    assert forked(act, lib.CLONE_NEWNS) == ((100000, 100000) if tmpfs_can else (0, errno.EINVAL))
