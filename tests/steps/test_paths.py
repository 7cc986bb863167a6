"""maskedPaths and readonlyPaths: read as empty, not written to, and no way around by links or false devices."""
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.facts import Facts
from pyrunc.errors import ConfigError
from pyrunc.host import Host
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import FILE
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import paths

from ..forked import forked
from .rootfs import ROOT, apply, config, enter, inside, mountinfo, own_user_namespace, steps, tree

DEV = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}
PROC = {"destination": "/proc", "type": "proc", "source": "proc"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A root file system with a secret file and a secret directory."""
    image = tmp_path / "rootfs"
    (image / "secret.d/deep").mkdir(parents=True)
    (image / "secret").write_text("secret")
    (image / "secret.d/deep/file").write_text("secret")
    return image


def refusal(act: Callable[[], object]) -> int:
    with pytest.raises(OSError) as caught:
        act()
    return caught.value.errno or 0


def planned(wanted: Any, host: Host = ROOT) -> list[Any]:
    return list(paths.all(Request(wanted, Options(id="t", bundle="/b"), host)))


# ---- masked -------------------------------------------------------------------------------------------------------

def test_masked_files_and_directories_are_empty(tmp_path: Path, image: Path) -> None:
    # config-linux.md#masked-paths: "will mask over the provided paths inside the container so that they cannot be read"
    wanted = config(tmp_path, [DEV], maskedPaths=["/secret", "/secret.d", "/secret.d/deep", "/not/there", "/secret/x"])

    def look() -> Any:
        return (Path("/secret").read_text(), os.listdir("/secret.d"), refusal(lambda: os.mkdir("/secret.d/x")),
                Path("/secret").is_char_device(), mountinfo())
    text, names, number, device, seen = inside(wanted, tmp_path, look, with_devices=True)
    assert (text, names, number, device) == ("", [], errno.EROFS, True)
    assert seen["/secret"]["root"] == "/null" and seen["/secret.d"]["type"] == "tmpfs"
    assert "ro" in seen["/secret.d"]["flags"] and {"ro", "nr_inodes=1"} <= seen["/secret.d"]["options"]
    assert (image / "secret").read_text() == "secret"


def test_all_directories_share_one_empty_one(tmp_path: Path) -> None:
    names = [f"/d{number}" for number in range(40)]
    wanted = config(tmp_path, maskedPaths=names)
    for name in names:
        (tmp_path / "rootfs" / name[1:]).mkdir()
    devices = inside(wanted, tmp_path, lambda: {os.stat(name).st_dev for name in names})
    assert len(devices) == 1
    kernel, facts = Recorder(), Facts()
    facts.root_fd = 99
    apply(planned(wanted), kernel, facts)
    assert sum(call[0] == "fsopen" for call in kernel.calls) == 1
    assert sum(call[0] == "move_mount" for call in kernel.calls) == 40


def test_the_usual_masks_of_proc_and_sys(tmp_path: Path) -> None:
    masked = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"]
    wanted = config(tmp_path, [PROC, {"destination": "/sys", "type": "sysfs", "options": ["ro"]}, DEV],
                    maskedPaths=masked, readonlyPaths=["/proc/sys", "/proc/sysrq-trigger", "/proc/bus"])

    def look() -> Any:
        for path in masked:
            if os.path.isdir(path):
                assert os.listdir(path) == []
            elif os.path.exists(path):
                assert Path(path).read_bytes() == b""
        return refusal(lambda: os.open("/proc/sys/kernel/hostname", os.O_WRONLY))
    assert inside(wanted, tmp_path, look, with_devices=True) == errno.EROFS


@pytest.mark.parametrize("fake", ["link", "file", "fifo", "zero"])
def test_a_false_null_device_shows_nothing_through_the_mask(tmp_path: Path, image: Path, fake: str) -> None:
    # CVE-2025-31133: /dev/null of the image leads to a file of procfs, and the mask made it writable
    wanted = config(tmp_path, [PROC], maskedPaths=["/secret"])
    (image / "dev").mkdir()
    null = image / "dev/null"
    if fake == "link":
        null.symlink_to("/proc/version")
    elif fake == "file":
        null.write_text("false")
    elif fake == "fifo":
        os.mkfifo(null)
    else:
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    state = inside(wanted, tmp_path, lambda: (os.stat("/secret").st_rdev, stat.S_ISCHR(os.stat("/secret").st_mode)))
    assert state == (os.makedev(1, 3), True)


def test_no_null_device_anywhere_is_an_error(tmp_path: Path) -> None:
    kernel, facts = Recorder(modes={"/dev/null": FILE, "/secret": FILE}), Facts()
    (step,) = planned(config(tmp_path, maskedPaths=["/secret"]))
    with pytest.raises(OSError) as caught:
        step.apply(kernel, facts)
    assert caught.value.errno == errno.ENODEV and not any(call[0] == "move_mount" for call in kernel.calls)


def test_links_are_followed_inside_the_root_only(tmp_path: Path, image: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("host")
    (image / "in").symlink_to("/secret")
    (image / "out").symlink_to(outside / "file")
    wanted = config(tmp_path, maskedPaths=["/in", "/out", "/dangling"], readonlyPaths=["/out"])
    (image / "dangling").symlink_to("nowhere")
    assert inside(wanted, tmp_path, lambda: Path("/secret").read_text()) == ""
    assert (outside / "file").read_text() == "host" and tree(outside) == ["file 100644"]
    assert tree(image) == sorted(["in 120777", "out 120777", "dangling 120777", "secret 100644", "secret.d 40755",
                                  "secret.d/deep 40755", "secret.d/deep/file 100644"])


def test_the_empty_directory_for_kernels_that_want_two_inodes(tmp_path: Path) -> None:
    kernel, facts = Recorder(errors={"fsconfig": [0, 0, 0, errno.EINVAL]}), Facts()
    (step,) = planned(config(tmp_path, maskedPaths=["/d"]))
    step.apply(kernel, facts)
    assert [call[4] for call in kernel.calls if call[0] == "fsconfig" and call[3] == "nr_inodes"] == ["1", "2"]


def test_the_mask_has_the_label_of_the_mounts_where_there_is_selinux(tmp_path: Path) -> None:
    for selinux in (True, False):
        kernel, facts = Recorder(), Facts()
        (step,) = planned(config(tmp_path, maskedPaths=["/d"], mountLabel="a:b:c:d"), Host(selinux=selinux))
        step.apply(kernel, facts)
        assert any(call[3:5] == ("context", "a:b:c:d") for call in kernel.calls if call[0] == "fsconfig") == selinux


# ---- read-only ----------------------------------------------------------------------------------------------------

def test_read_only_paths(tmp_path: Path, image: Path) -> None:
    # config-linux.md#readonly-paths: "will set the provided paths as readonly inside the container"
    wanted = config(tmp_path, readonlyPaths=["/secret", "/secret.d", "/not/there"])

    def look() -> Any:
        Path("/other").write_text("x")
        return [refusal(lambda: os.open("/secret", os.O_WRONLY)), refusal(lambda: os.unlink("/secret.d/deep/file")),
                refusal(lambda: os.chmod("/secret.d", 0o777))], Path("/secret").read_text()
    assert inside(wanted, tmp_path, look) == ([errno.EROFS] * 3, "secret")


def test_other_flags_stay_and_mounts_below_keep_theirs(tmp_path: Path) -> None:
    mounts: list[dict[str, Any]] = [
        {"destination": "/m", "type": "tmpfs", "options": ["nosuid", "nodev", "noexec", "noatime"]},
        {"destination": "/m/below", "type": "tmpfs"}]
    seen = inside(config(tmp_path, mounts, readonlyPaths=["/m"]), tmp_path, mountinfo)
    assert seen["/m"]["flags"] == {"ro", "nosuid", "nodev", "noexec", "noatime"}
    assert "rw" in seen["/m/below"]["flags"]


def test_there_is_no_moment_when_the_path_could_be_written(tmp_path: Path) -> None:
    # GHSA-3q8j-pf29-vwv8: bound first, made read-only after, and looked up in between
    kernel, facts = Recorder(), Facts()
    (step,) = planned(config(tmp_path, readonlyPaths=["/p"]))
    step.apply(kernel, facts)
    acts = [call for call in kernel.calls if call[0] not in ("stat", "mount_id")]
    assert [call[0] for call in acts] == ["open_in_root", "open_tree", "mount_setattr", "move_mount", "close", "close"]
    assert acts[2][1:3] == (101, 1)
    assert acts[3] == ("move_mount", 101, 100)


@pytest.mark.parametrize("path", ["/", "/secret.d/..", "/loop"])
def test_the_root_itself(path: str, tmp_path: Path, image: Path) -> None:
    """Whatever it is called: it can be made read-only, and a mask over it would not be where anyone looks."""
    (image / "loop").symlink_to("/")
    wanted = config(tmp_path, readonlyPaths=[path])
    assert inside(wanted, tmp_path, lambda: refusal(lambda: os.mkdir("/new"))) == errno.EROFS
    facts = Facts()
    facts.root_fd = os.open(image, os.O_PATH)
    (step,) = planned(config(tmp_path, maskedPaths=[path]))
    with pytest.raises(ConfigError) as caught:
        step.apply(Kernel(), facts)
    assert caught.value.what == f"{path} is the root itself, which cannot be masked"
    os.close(facts.root_fd)


def test_locked_mounts_of_a_user_namespace_can_be_made_read_only(tmp_path: Path, image: Path) -> None:
    def act() -> Any:
        own_user_namespace()
        facts = Facts()
        apply(steps(wanted, tmp_path, Host(in_userns=True)), Kernel(), facts)
        enter(facts.root_fd)
        return refusal(lambda: os.open("/secret", os.O_WRONLY))
    wanted = config(tmp_path, readonlyPaths=["/secret"], namespaces=("mount", "user"))
    assert forked(act) == errno.EROFS


# ---- both -----------------------------------------------------------------------------------------------------------

def test_read_only_paths_come_first_and_each_path_once(tmp_path: Path) -> None:
    wanted = config(tmp_path, maskedPaths=["/a", "/b", "/a"], readonlyPaths=["/c", "/c"])
    assert [(step.name, step.path, step.where, step.describe()) for step in planned(wanted)] == [
        ("paths.readonly", "/c", "linux.readonlyPaths[0]", "make /c read-only"),
        ("paths.masked", "/a", "linux.maskedPaths[0]", "mask /a"),
        ("paths.masked", "/b", "linux.maskedPaths[1]", "mask /b")]


@pytest.mark.parametrize("kind", ["maskedPaths", "readonlyPaths"])
def test_relative_paths_are_refused(tmp_path: Path, kind: str) -> None:
    # config-linux.md: "The values MUST be absolute paths in the container namespace."
    wanted = config(tmp_path)
    wanted["linux"][kind] = ["/a", "b"]
    with pytest.raises(ConfigError, match="not an absolute path") as caught:
        planned(wanted)
    assert caught.value.where == f"linux.{kind}[1]"
