"""The root: made a mount of its own, cut off from the host, read-only at the end, and switched to in C."""
from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc._native import lib
from pyrunc.engine.facts import Facts
from pyrunc.engine.step import PARENT, Step
from pyrunc.kernel.last_stage import OP_CHROOT, OP_MOVE_ROOT, OP_PIVOT_ROOT, OP_PROPAGATION
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import root
from pyrunc.steps.root import bound_over_itself, full_mounts

from .. import world
from ..forked import forked
from .rootfs import CLONE_NEWNS, ROOT, apply, config, enter, inside, mountinfo, refused, steps, tree

MS_NOSUID, MS_NODEV = 2, 4
UNBINDABLE, PRIVATE, SLAVE, SHARED, REC = 1 << 17, 1 << 18, 1 << 19, 1 << 20, 1 << 14


def plan(wanted: Any, **options: Any) -> list[Step]:
    given = Request(wanted, Options(id="t", bundle="/b", **options), ROOT)
    return [*root.check(given), *root.prepare(given), *root.finish(given), *root.switch(given)]


def names(wanted: Any, **options: Any) -> list[str]:
    return [step.name for step in plan(wanted, **options)]


# ---- which steps --------------------------------------------------------------------------------------------------

def test_a_new_mount_namespace(tmp_path: Path) -> None:
    assert names(config(tmp_path)) == ["root.check", "root.umask", "root.propagation", "root.bind", "root.switch"]
    assert names(config(tmp_path, readonly=True))[-2:] == ["root.readonly", "root.switch"]


def test_a_joined_mount_namespace_keeps_its_propagation(tmp_path: Path) -> None:
    wanted = config(tmp_path)
    wanted["linux"]["namespaces"] = [{"type": "mount", "path": "/proc/1/ns/mnt"}]
    # The path of the root means something there, and nothing here: it is not checked by the runtime.
    assert names(wanted) == ["root.umask", "root.parent", "root.bind", "root.switch"]


def test_no_mount_namespace_touches_no_propagation_of_the_host(tmp_path: Path) -> None:
    # runc 1.5.3: a container without one changed the propagation of the host's "/"
    wanted = config(tmp_path, namespaces=("pid",))
    assert names(wanted) == ["root.check", "root.unbind", "root.umask", "root.bind", "root.switch"]
    kernel = Recorder()
    steps = plan(wanted)
    apply(list(steps), kernel, Facts())
    facts = [call for call in kernel.calls if call[0] in ("open_tree", "mount_setattr")]
    clone = facts[1][1]
    assert [call[0] for call in facts] == ["open_tree", "mount_setattr"]
    assert facts[1] == ("mount_setattr", clone, 0, 0, PRIVATE, True, -1)
    assert kernel.queue[0][:3] == (OP_CHROOT, 0, clone)        # the clone, not the host's mount


@pytest.mark.parametrize(("wanted", "everything", "root_itself", "final"), [
    # config-linux.md#rootfs-mount-propagation: "Its value is either shared, slave, private or unbindable."
    ("", SLAVE, PRIVATE, None), ("slave", SLAVE, None, None), ("private", PRIVATE, PRIVATE, None),
    ("shared", None, PRIVATE, SHARED), ("unbindable", PRIVATE, PRIVATE, UNBINDABLE),
    ("rslave", SLAVE, None, None), ("rprivate", PRIVATE, PRIVATE, None), ("rshared", None, PRIVATE, SHARED | REC),
    ("runbindable", PRIVATE, PRIVATE, UNBINDABLE | REC)])
def test_propagation(tmp_path: Path, wanted: str, everything: int | None, root_itself: int | None,
                     final: int | None) -> None:
    kernel, facts = Recorder(), Facts()
    apply(plan(config(tmp_path, rootfsPropagation=wanted)), kernel, facts)
    changes = [call[1:] for call in kernel.calls if call[0] == "mount_setattr"]
    assert [call[3:5] for call in changes if call[0] != facts.root_fd] == \
        ([(everything, True)] if everything else [(PRIVATE, False)])         # else of what the root lies on
    assert [call[3:5] for call in changes if call[0] == facts.root_fd] == [(root_itself, False)] * bool(root_itself)
    assert [(code, a) for code, _, a, *_ in kernel.queue if code == OP_PROPAGATION] == \
        ([(OP_PROPAGATION, final)] if final else [])


def test_the_switch(tmp_path: Path) -> None:
    for options, operation in (({}, OP_PIVOT_ROOT), ({"no_pivot": True}, OP_MOVE_ROOT)):
        kernel, facts = Recorder(files={"/proc/self/mountinfo": ""}), Facts()
        facts.root_fd = 99
        given = Request(config(tmp_path), Options(id="t", bundle="/b", **options), ROOT)  # type: ignore[arg-type]
        apply(root.switch(given), kernel, facts)
        assert [queued[:3] for queued in kernel.queue] == [(operation, 0, 99)]


def test_a_procfs_only_for_those_who_write_to_it(tmp_path: Path) -> None:
    wanted = config(tmp_path, sysctl={"net.ipv4.ip_forward": "1"})
    assert "root.proc" in names(wanted)
    assert "root.proc" in names({**config(tmp_path), "process": {"cwd": "/", "apparmorProfile": "x"}})
    assert "root.proc" in names({**config(tmp_path), "process": {"cwd": "/", "selinuxLabel": "x"}})
    assert "root.proc" not in names({**config(tmp_path), "process": {"cwd": "/"}})


# ---- the root file system is not there ------------------------------------------------------------------------------

@pytest.mark.spec("config.md#root", "root.path", "a directory is at root.path")
def test_a_missing_root_file_system(tmp_path: Path) -> None:
    # config.md#root: "path (string, REQUIRED on Linux) ... A directory MUST exist at the path declared by the field."
    wanted = config(tmp_path)
    (tmp_path / "rootfs").rmdir()
    error = refused(wanted, tmp_path)
    assert error == (f"invalid rootfs: {tmp_path}/rootfs: no such file or directory: at root.path in config.json: "
                     "step root.check (config.md#root)")
    (tmp_path / "rootfs").touch()
    assert "invalid rootfs" in (error := refused(wanted, tmp_path)) and "not a directory" in error
    (tmp_path / "rootfs").unlink()
    (tmp_path / "rootfs").symlink_to("/")
    assert "invalid rootfs: not an absolute path, or a symlink" in refused(wanted, tmp_path)


# ---- on the real kernel ---------------------------------------------------------------------------------------------

def test_the_root_is_a_private_mount_with_what_was_mounted_below_it(tmp_path: Path) -> None:
    wanted = config(tmp_path)
    (tmp_path / "rootfs/sub").mkdir()

    def act() -> Any:
        kernel, facts = Kernel(), Facts()
        kernel.mount("none", "/", "", lib.MS_REC | lib.MS_SHARED)
        kernel.mount("t", str(tmp_path / "rootfs/sub"), "tmpfs", 0)
        os.open("/proc/self/ns/mnt", os.O_RDONLY)            # the host stays, though nobody is left in it
        assert lib.pr_unshare(CLONE_NEWNS) == 0
        apply(steps(wanted, tmp_path), kernel, facts)
        enter(facts.root_fd)
        return mountinfo()
    seen = forked(act, CLONE_NEWNS)
    assert set(seen) == {"/", "/sub"}
    assert seen["/"]["propagation"] == []
    assert [field.partition(":")[0] for field in seen["/sub"]["propagation"]] == ["master"]


def test_a_root_that_is_a_mount_already(tmp_path: Path) -> None:
    wanted = config(tmp_path)

    def act() -> Any:
        kernel, facts = Kernel(), Facts()
        kernel.mount("image", str(tmp_path / "rootfs"), "tmpfs", MS_NOSUID)
        kernel.mount("none", "/", "", lib.MS_REC | lib.MS_SHARED)
        apply(steps(wanted, tmp_path), kernel, facts)
        assert mountinfo()["/"]["propagation"] == []          # rslave of a group of one: private
        enter(facts.root_fd)
        return mountinfo()["/"]
    seen = forked(act, CLONE_NEWNS)
    assert (seen["source"], seen["flags"], seen["propagation"]) == ("image", {"rw", "nosuid", "relatime"}, [])


@pytest.mark.spec("config.md#root", "root.readonly", "a readonly root cannot be written")
def test_read_only_is_the_root_and_nothing_else(tmp_path: Path) -> None:
    # config.md#root: "readonly ... If true then the root filesystem MUST be read-only inside the container"
    wanted = config(tmp_path, [{"destination": "/t", "type": "tmpfs"}], readonly=True)

    def look() -> Any:
        Path("/t/f").write_text("x")
        with pytest.raises(OSError) as refusal:
            Path("/f").write_text("x")
        return refusal.value.errno, mountinfo()["/"]["flags"]
    assert inside(wanted, tmp_path, look) == (errno.EROFS, {"ro", "relatime"})
    (tmp_path / "rootfs/f").write_text("the host may")


def test_other_flags_of_a_read_only_root_stay(tmp_path: Path) -> None:
    def act() -> Any:
        kernel, facts = Kernel(), Facts()
        kernel.mount("image", str(tmp_path / "rootfs"), "tmpfs", MS_NODEV | MS_NOSUID)
        apply(steps(wanted, tmp_path), kernel, facts)
        enter(facts.root_fd)
        return mountinfo()["/"]["flags"]
    wanted = config(tmp_path, readonly=True)
    assert forked(act, CLONE_NEWNS) == {"ro", "nosuid", "nodev", "relatime"}


def test_the_private_procfs_is_mounted_nowhere(tmp_path: Path) -> None:
    def act() -> Any:
        kernel, facts = Kernel(), Facts()
        before = mountinfo()
        root.Proc().apply(kernel, facts)
        assert mountinfo() == before
        kernel.mount("fake", "/proc", "tmpfs", 0)
        return kernel.read_file("self/stat", facts.proc_fd).split(" ")[0] == str(os.getpid()), \
            kernel.fs_flags(facts.proc_fd) & (2 | 4 | 8)
    assert forked(act, CLONE_NEWNS) == (True, 2 | 4 | 8)


def test_a_procfs_that_may_not_be_made_is_the_hosts_if_it_is_one() -> None:
    kernel, facts = Recorder(errors={"fsmount": [errno.EPERM]}), Facts()
    root.Proc().apply(kernel, facts)
    assert kernel.fds[facts.proc_fd] == "/proc"
    with pytest.raises(PermissionError):
        root.Proc().apply(Recorder(errors={"fsmount": [errno.EPERM]}, fs_types={"/proc": 0x01021994}), Facts())


def test_a_missing_working_directory_is_made(tmp_path: Path) -> None:
    wanted = {**config(tmp_path, readonly=True), "process": {"cwd": "/link/a/b"}}
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "rootfs/link").symlink_to(outside)
    place = inside(wanted, tmp_path, lambda: f"{os.stat('/link/a/b').st_mode:o}")
    assert place == "40755" and tree(outside) == []


def test_a_working_directory_that_is_a_file(tmp_path: Path) -> None:
    wanted = {**config(tmp_path), "process": {"cwd": "/file/x"}}
    (tmp_path / "rootfs/file").touch()
    error = refused(wanted, tmp_path)
    assert "not a directory" in error and "at process.cwd in config.json" in error


def test_a_leaked_descriptor_is_no_working_directory(tmp_path: Path) -> None:
    # CVE-2024-21626
    host = os.open("/", os.O_PATH)
    wanted = config(tmp_path, [{"destination": "/proc", "type": "proc"}])
    wanted["process"] = {"cwd": f"/proc/self/fd/{host}"}
    assert "symbolic links" in refused(wanted, tmp_path)
    os.close(host)


# ---- without a mount namespace --------------------------------------------------------------------------------------

def test_without_a_mount_namespace_the_undo_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    wanted = config(tmp_path, [{"destination": "/proc", "type": "proc"}, {"destination": "/t", "type": "tmpfs"}],
                    namespaces=())

    def act() -> Any:
        kernel, facts = Kernel(), Facts()
        kernel.mount("none", "/", "", lib.MS_REC | lib.MS_SHARED)
        before = world.text("/proc/self/mountinfo")
        made = list(steps(wanted, tmp_path))
        apply(list(made), kernel, facts)
        during = set(mountinfo()) - {line.split(" ")[4] for line in before.splitlines()}
        for _ in range(2):                   # it may be repeated
            for step in reversed(made):
                if step.side == PARENT:
                    step.undo(kernel, facts)
        return during, world.text("/proc/self/mountinfo") == before
    during, same = forked(act, CLONE_NEWNS)
    rootfs = str(tmp_path / "rootfs")
    assert during == {rootfs, f"{rootfs}/proc", f"{rootfs}/t"} and same
    assert tree(tmp_path / "rootfs") == ["proc 40755", "t 40755"]


def test_delete_does_the_same(tmp_path: Path) -> None:
    def act() -> bool:
        kernel, before = Kernel(), world.text("/proc/self/mountinfo")
        apply(steps(wanted, tmp_path), kernel, Facts())
        step = root.Unmount(path=str(tmp_path / "rootfs"))
        step.apply(kernel, Facts())
        step.apply(kernel, Facts())
        return world.text("/proc/self/mountinfo") == before
    wanted = config(tmp_path, [{"destination": "/t", "type": "tmpfs"}], namespaces=())
    assert forked(act, CLONE_NEWNS)


def test_the_undo_leaves_a_mount_alone_that_is_not_the_runtimes(tmp_path: Path) -> None:
    def act() -> bool:
        kernel = Kernel()
        kernel.mount("image", str(tmp_path), "tmpfs", 0)
        root.Unbind(path=str(tmp_path)).undo(kernel, Facts())
        return str(tmp_path) in mountinfo()
    assert forked(act, CLONE_NEWNS)


MOUNTINFO = """\
22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw shared:2 - proc proc rw
24 22 0:22 / /sys rw shared:3 - sysfs sysfs rw
25 22 254:0 /srv/my\\040box /srv/my\\040box rw - ext4 /dev/vda rw
26 25 0:23 / /srv/my\\040box/proc rw - proc proc rw
27 22 0:21 /sys /elsewhere rw - proc proc rw
28 22 0:24 / /mnt/a\\134b\\040c rw - proc proc rw
29 22 0:30 / /run/box rw - overlay overlay rw
30 29 0:30 / /run/box rw - overlay overlay rw
31 22 0:31 / /run/other rw - tmpfs tmpfs rw
32 22 254:0 /var /run/var rw - ext4 /dev/vda rw
"""


@pytest.mark.parametrize(("path", "itself"), [("/srv/my box", True), ("/run/box", True), ("/run/other", False),
                                              ("/run/var", False), ("/srv", False), ("/", False)])
def test_a_directory_bound_over_itself(path: str, itself: bool) -> None:
    assert bound_over_itself(MOUNTINFO, path) == itself


def test_what_is_mounted_whole_outside_the_root() -> None:
    assert full_mounts(MOUNTINFO, "/srv/my box") == ["/proc", "/sys", "/mnt/a\\b c"]
    assert full_mounts(MOUNTINFO, "/srv/my") == ["/proc", "/sys", "/srv/my box/proc", "/mnt/a\\b c"]


def test_no_pivot_hides_the_hosts_procfs_and_sysfs(tmp_path: Path) -> None:
    wanted: Any = config(tmp_path, [{"destination": "/proc", "type": "proc"}])

    def act() -> Any:
        kernel, facts = Kernel(), Facts()
        apply(steps(wanted, tmp_path), kernel, facts)
        apply([step for step in root.switch(Request(wanted, Options(id="t", bundle=str(tmp_path), no_pivot=True), ROOT))
               if step.side != "last"], kernel, facts)
        left = kernel.read_file("proc/self/mountinfo", facts.root_fd)
        return [line for line in left.splitlines() if line.split(" - ")[1].split(" ")[0] in ("proc", "sysfs")]
    (line,) = forked(act, CLONE_NEWNS)
    assert line.split(" ")[4] == str(tmp_path / "rootfs/proc")
