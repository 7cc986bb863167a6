"""mounts: what each entry becomes on the real kernel, and the calls that make it, in order."""
from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.facts import Facts
from pyrunc.errors import ConfigError
from pyrunc.host import Host, probe
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import mounts

from .rootfs import ROOT, config, inside, mountinfo, refused, tree


def planned(entry: dict[str, Any], bundle: Path, host: Host = ROOT, **linux: Any) -> list[Any]:
    wanted: Any = config(bundle, [entry], **linux)
    return list(mounts.all(Request(wanted, Options(id="t", bundle=str(bundle)), host)))


def recorded(entry: dict[str, Any], bundle: Path, host: Host = ROOT, kernel: Recorder | None = None,
             **linux: Any) -> list[tuple[Any, ...]]:
    kernel, facts = kernel or Recorder(), Facts()
    facts.root_fd = 99
    for step in planned(entry, bundle, host, **linux):
        step.apply(kernel, facts)
    return kernel.calls


# ---- the calls ------------------------------------------------------------------------------------------------

def test_a_file_system_is_complete_before_it_is_attached(tmp_path: Path) -> None:
    calls = recorded({"destination": "/run", "type": "tmpfs", "source": "run",
                      "options": ["nosuid", "size=1m", "sync", "rnoexec", "rprivate", "noswap"]}, tmp_path)
    configured = [call[2:] for call in calls if call[0] == "fsconfig"]
    assert configured == [(1, "mode", "0755", 0), (1, "source", "run", 0), (0, "sync", None, 0), (1, "size", "1m", 0),
                          (0, "noswap", None, 0), (6, None, None, 0)]
    order = [call[0] for call in calls if call[0] in ("fsopen", "fsmount", "mount_setattr", "move_mount")]
    assert order == ["fsopen", "fsmount", "mount_setattr", "mount_setattr", "move_mount"]
    (fsmount,) = [call for call in calls if call[0] == "fsmount"]
    assert fsmount[2] == 0x2
    assert [call[2:6] for call in calls if call[0] == "mount_setattr"] == [(0x8, 0, 0, True), (0, 0, 1 << 18, True)]


def test_read_only_file_systems_are_so_from_the_beginning_but_for_those_to_be_filled(tmp_path: Path) -> None:
    for kind, target, early in (("sysfs", "/sys", True), ("tmpfs", "/x", False), ("devtmpfs", "/dev", False),
                                ("devtmpfs", "/dev/../dev", False), ("tmpfs", "/dev/shm", False)):
        calls = recorded({"destination": target, "type": kind, "options": ["ro", "nosuid"]}, tmp_path)
        assert [call[2] for call in calls if call[0] == "fsmount"] == [0x3 if early else 0x2], target
        assert any(call[:1] == ("fsconfig",) and call[3] == "ro" for call in calls) == early


@pytest.mark.spec("config-linux.md#mount-label", "mountLabel")
def test_selinux_contexts_where_there_is_selinux(tmp_path: Path) -> None:
    # config-linux.md#mount-label: "mountLabel (string, OPTIONAL) will set the Selinux context for the mounts"
    label, enforcing = "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811", Host(selinux=True)

    def contexts(kind: str, host: Host, *options: str) -> list[Any]:
        entry = {"destination": "/m", "type": kind, "options": [*options]}
        return [call[4] for call in recorded(entry, tmp_path, host, mountLabel=label) if call[0] == "fsconfig"
                and call[3] == "context"]
    assert contexts("tmpfs", enforcing) == contexts("devpts", enforcing) == [label]
    assert contexts("tmpfs", ROOT) == []
    assert contexts("tmpfs", enforcing, 'context="a:b:c:d"') == ["a:b:c:d"]
    for kind in ("sysfs", "mqueue", "cgroup"):
        assert contexts(kind, enforcing) == []
    calls = recorded({"destination": "/m", "type": "mqueue"}, tmp_path, enforcing, mountLabel=label)
    (labelled,) = [call for call in calls if call[0] == "setxattr"]
    assert labelled[2:] == ("security.selinux", label.encode())


CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro", "nosuid"]}


def test_without_a_cgroup_namespace_the_hosts_cgroup_mount_is_bound(tmp_path: Path) -> None:
    calls = recorded(CGROUP, tmp_path, Host(cgroup_mount="/cg"))
    assert ("open_tree", "/cg", 1, -100) in calls and not any(call[0] == "fsopen" for call in calls)
    assert next(call for call in calls if call[0] == "mount_setattr")[2] == 0x3


@pytest.mark.parametrize("number", [errno.EPERM, errno.EBUSY])
def test_a_cgroup_mount_that_is_not_allowed_becomes_a_bind_of_the_containers_own(tmp_path: Path, number: int) -> None:
    kernel, facts = Recorder(errors={"fsmount": [number]}), Facts()
    facts.root_fd, facts.cgroup_fd = 99, kernel.open("/cg/box", 0)
    wanted: Any = config(tmp_path, [CGROUP], namespaces=("mount", "cgroup"))
    for step in mounts.all(Request(wanted, Options(id="t", bundle=str(tmp_path)), Host(cgroup_mount="/cg"))):
        step.apply(kernel, facts)
    assert ("open_tree", "/cg/box", 1, -100) in kernel.calls
    assert [call[1] for call in kernel.calls if call[0] == "fsopen"] == ["cgroup2"]


@pytest.mark.parametrize(("number", "mounted"), [(errno.EINVAL, "/cg"), (errno.EPERM, "")])
def test_other_failures_of_a_cgroup_mount_stand(tmp_path: Path, number: int, mounted: str) -> None:
    with pytest.raises(OSError):
        recorded(CGROUP, tmp_path, Host(cgroup_mount=mounted), Recorder(errors={"fsmount": [number]}),
                 namespaces=("mount", "cgroup"))


def test_cgroup_without_anything_to_show_is_masked_for_a_rootless_runtime(tmp_path: Path) -> None:
    # CVE-2023-25809: what is below must not be seen
    calls = recorded(CGROUP, tmp_path, Host(euid=1000, cgroup_mount="/gone"), Recorder(modes={"/gone": None}))
    assert [call[1] for call in calls if call[0] == "fsopen"] == ["tmpfs"]
    assert [call[2] for call in calls if call[0] == "fsmount"] == [1]
    with pytest.raises(FileNotFoundError):
        recorded(CGROUP, tmp_path, Host(cgroup_mount="/gone"), Recorder(modes={"/gone": None}))


def test_describe_says_what_apply_does(tmp_path: Path) -> None:
    (step,) = planned({"destination": "/dev", "type": "tmpfs", "options": ["nosuid", "mode=755"]}, tmp_path)
    assert (step.name, step.where) == ("mounts.tmpfs", "mounts[0]")
    assert step.describe() == "mount tmpfs on /dev: nosuid,mode=755"
    (step,) = planned({"destination": "/c", "type": "cgroup"}, tmp_path, namespaces=("mount", "cgroup"))
    assert (step.name, step.describe()) == ("mounts.cgroup", "mount cgroup2 on /c")
    (step,) = planned({"destination": "/c", "type": "cgroup"}, tmp_path)
    assert (step.name, step.describe()) == ("mounts.cgroup", "bind the host's cgroup2 on /c")


# ---- what is refused when the plan is made ----------------------------------------------------------------------

@pytest.mark.parametrize(("entry", "what", "where"), [
    ({"destination": "/", "type": "tmpfs"}, "is on the top of rootfs", "destination"),
    ({"destination": "/a/..", "type": "tmpfs"}, "is on the top of rootfs", "destination"),
    ({"destination": "../..", "type": "tmpfs"}, "is on the top of rootfs", "destination"),
    ({"destination": "/proc", "type": "tmpfs"}, "because it is not of type proc", "type"),
    ({"destination": "/proc/", "type": "sysfs"}, "because it is not of type proc", "type"),
    ({"destination": "/proc/self/attr", "type": "tmpfs"}, "because it is inside /proc", "destination"),
    ({"destination": "/proc/x", "type": "proc"}, "because it is inside /proc", "destination"),
    ({"destination": "/a/../proc/sys", "source": "/tmp", "options": ["bind"]}, "because it is inside /proc",
     "destination"),
    ({"destination": "/x"}, "neither a type nor bind", ""),
    ({"destination": "/x", "type": "proc", "options": ["tmpcopyup"]}, "tmpcopyup is for tmpfs only", "options"),
    ({"destination": "/x\0", "type": "tmpfs"}, "mount field contains null byte", "destination"),
    ({"destination": "/x", "type": "tmpfs", "source": "\0"}, "mount field contains null byte", "source")])
def test_refused_before_anything_exists(tmp_path: Path, entry: dict[str, Any], what: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(entry, tmp_path)
    assert what in str(caught.value) and "error mounting" in str(caught.value)
    assert caught.value.where == ("mounts[0]." + where).rstrip(".")


@pytest.mark.parametrize("name", ["cpuinfo", "meminfo", "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled"])
def test_what_lxcfs_emulates_may_be_covered(tmp_path: Path, name: str) -> None:
    assert planned({"destination": f"/proc/{name}", "source": "/tmp/x", "options": ["bind"]}, tmp_path)


# ---- on the real kernel -----------------------------------------------------------------------------------------

@pytest.mark.spec("config.md#mounts", "mounts", "mounts are made in the listed order")
def test_entries_are_mounted_in_the_listed_order(tmp_path: Path) -> None:
    # config.md#mounts: "The runtime MUST mount entries in the listed order."
    entries = [{"destination": "/a", "type": "tmpfs", "source": "first"},
               {"destination": "/a/b", "type": "tmpfs", "source": "second"},
               {"destination": "/c", "type": "tmpfs", "source": "third"},
               {"destination": "/c", "type": "tmpfs", "source": "fourth"}]
    seen = inside(config(tmp_path, entries), tmp_path, mountinfo)
    assert [seen[point]["source"] for point in ("/a", "/a/b", "/c")] == ["first", "second", "fourth"]
    covered = inside(config(tmp_path, entries[1::-1]), tmp_path, lambda: os.listdir("/a"))
    assert covered == []


@pytest.mark.spec("config-linux.md#default-filesystems", "/proc is a procfs", "/sys is a sysfs", "/dev/pts is a devpts",
                  "/dev/shm is a tmpfs")
@pytest.mark.spec("config.md#posix-platform-mounts", "type")
def test_the_usual_mounts(tmp_path: Path) -> None:
    # config-linux.md#default-filesystems: /proc proc, /sys sysfs, /dev/pts devpts, /dev/shm tmpfs
    entries: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"]}]
    seen = inside(config(tmp_path, entries), tmp_path, mountinfo, Host(cgroup_mount=probe().cgroup_mount))
    assert {point: seen[point]["type"] for point in seen if point != "/"} == {
        "/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/dev/mqueue": "mqueue",
        "/sys": "sysfs", "/sys/fs/cgroup": "cgroup2"}
    assert seen["/proc"]["flags"] == {"rw", "relatime"}
    assert seen["/dev"]["flags"] == {"rw", "nosuid"} and {"mode=755", "size=65536k"} <= seen["/dev"]["options"]
    assert {"gid=5", "mode=620", "ptmxmode=666"} <= seen["/dev/pts"]["options"]
    assert seen["/sys"]["flags"] == {"ro", "nosuid", "nodev", "noexec", "relatime"}
    assert seen["/sys/fs/cgroup"]["flags"] == {"ro", "nosuid", "relatime"}


@pytest.mark.parametrize(("options", "flags"), [
    ([], {"rw", "relatime"}), (["noatime", "nodiratime"], {"rw", "noatime", "nodiratime"}), (["strictatime"], {"rw"}),
    (["nosuid", "nodev", "noexec", "nosymfollow"], {"rw", "nosuid", "nodev", "noexec", "nosymfollow", "relatime"}),
    (["noexec", "exec", "nosuid", "suid", "nodev", "dev"], {"rw", "relatime"}), (["rro"], {"ro", "relatime"}),
    (["defaults", "silent", "iversion", "async", "nolazytime", "nomand"], {"rw", "relatime"})])
def test_attributes(tmp_path: Path, options: list[str], flags: set[str]) -> None:
    entries = [{"destination": "/m", "type": "tmpfs", "options": options}]
    assert inside(config(tmp_path, entries), tmp_path, mountinfo)["/m"]["flags"] == flags


@pytest.mark.parametrize("option", ["sync", "dirsync", "lazytime"])
def test_flags_of_the_file_system(tmp_path: Path, option: str) -> None:
    entries = [{"destination": "/m", "type": "tmpfs", "options": [option]}]
    assert option in inside(config(tmp_path, entries), tmp_path, mountinfo)["/m"]["options"]


def test_a_tmpfs_has_the_mode_of_what_it_covers_unless_told_otherwise(tmp_path: Path) -> None:
    wanted = config(tmp_path, [{"destination": "/old", "type": "tmpfs"}, {"destination": "/new", "type": "tmpfs"},
                               {"destination": "/told", "type": "tmpfs", "options": ["mode=711"]}])
    for name, mode in (("old", 0o1751), ("told", 0o700)):
        (tmp_path / "rootfs" / name).mkdir()
        (tmp_path / "rootfs" / name).chmod(mode)
    modes = inside(wanted, tmp_path, lambda: [stat.S_IMODE(os.stat(f"/{n}").st_mode) for n in ("old", "new", "told")])
    assert [f"{mode:o}" for mode in modes] == ["1751", "1777", "711"]


def test_read_only_tmpfs_and_dev_at_the_end(tmp_path: Path) -> None:
    entries = [{"destination": "/t", "type": "tmpfs", "options": ["ro", "nosuid"]},
               {"destination": "/t/below", "source": str(tmp_path), "options": ["bind"]},
               {"destination": "/dev", "type": "tmpfs", "options": ["ro"]}]

    def look() -> Any:
        with pytest.raises(OSError) as refusal:
            os.mkdir("/t/x")
        return mountinfo(), os.path.exists("/dev/null"), refusal.value.errno
    seen, filled, number = inside(config(tmp_path, entries), tmp_path, look, with_devices=True)
    assert seen["/t"]["flags"] == {"ro", "nosuid", "relatime"} and "ro" in seen["/dev"]["flags"]
    assert filled and number == errno.EROFS and "rw" in seen["/t/below"]["flags"]


@pytest.mark.spec("config.md#mounts", "destination", "a relative destination counts from /")
def test_a_relative_destination_is_below_the_root(tmp_path: Path) -> None:
    # config.md#mounts: "it MAY be a relative path, in which case it MUST be interpreted as relative to "/""
    entries = [{"destination": "a/./b/../c", "type": "tmpfs"}]
    assert "/a/c" in inside(config(tmp_path, entries), tmp_path, mountinfo)


def test_mount_points_are_0755_whatever_the_callers_umask(tmp_path: Path) -> None:
    entries = [{"destination": "/a/b", "type": "tmpfs"}]
    before = os.umask(0o077)
    try:
        inside(config(tmp_path, entries), tmp_path, lambda: None)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "rootfs/a").stat().st_mode) == 0o755


@pytest.mark.parametrize(("names", "fields"), [
    (["shared"], ["shared"]), (["rshared"], ["shared"]), (["slave"], []), (["private"], []), (["rprivate"], []),
    (["unbindable"], ["unbindable"]), (["runbindable"], ["unbindable"]), (["shared", "slave"], ["master"]),
    (["shared", "slave", "shared"], ["shared", "master"])])
def test_propagation(tmp_path: Path, names: list[str], fields: list[str]) -> None:
    entries = [{"destination": "/m", "type": "tmpfs", "options": names}]
    wanted = config(tmp_path, entries)
    found = inside(wanted, tmp_path, mountinfo)["/m"]["propagation"]
    # A slave of a group that nobody else is in any more is a private mount.
    assert [field.partition(":")[0] for field in found] == [field for field in fields if field != "master"]


def test_links_do_not_lead_a_mount_out_of_the_root(tmp_path: Path) -> None:
    wanted = config(tmp_path, [{"destination": "/a/x", "type": "tmpfs"}, {"destination": "/up/y", "type": "tmpfs"},
                               {"destination": "/dangling", "type": "tmpfs"}])
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "rootfs"
    (root / "a").symlink_to(outside)
    (root / "up").symlink_to("../../../../../../" + str(outside))
    (root / "dangling").symlink_to("/made/here")
    seen = inside(wanted, tmp_path, mountinfo)
    assert {f"{outside}/x", f"{outside}/y", "/made/here"} <= set(seen)
    assert tree(outside) == []


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_proc_and_sysfs_on_a_real_directory_only(tmp_path: Path, kind: str) -> None:
    # CVE-2019-19921, CVE-2023-27561, CVE-2025-54867
    wanted = config(tmp_path, [{"destination": f"/{kind}", "type": kind}])
    place = tmp_path / "rootfs" / kind
    for target in ("elsewhere", str(tmp_path), ""):
        place.unlink(missing_ok=True)
        if target:
            place.symlink_to(target)
        else:
            place.touch()
        assert f'filesystem "{kind}" must be mounted on ordinary directory' in refused(wanted, tmp_path)
    place.unlink()
    assert refused(wanted, tmp_path) == "" and place.is_dir()


def test_a_link_into_proc_is_no_way_around_the_rule(tmp_path: Path) -> None:
    # CVE-2019-16884, CVE-2025-52881
    wanted = config(tmp_path, [{"destination": "/proc", "type": "proc"},
                               {"destination": "/innocent", "type": "tmpfs"}])
    (tmp_path / "rootfs/innocent").symlink_to("/proc/sys")
    error = refused(wanted, tmp_path)
    assert '"/innocent" cannot be mounted because it is inside /proc' in error and "mounts[1]" in error


def test_a_link_to_the_root_itself_is_refused(tmp_path: Path) -> None:
    wanted = config(tmp_path, [{"destination": "/innocent", "type": "tmpfs"}])
    (tmp_path / "rootfs/innocent").symlink_to("/")
    assert 'mountpoint "/innocent" is on the top of rootfs' in refused(wanted, tmp_path)


def test_a_file_where_a_file_system_is_to_go(tmp_path: Path) -> None:
    wanted = config(tmp_path, [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}])
    (tmp_path / "rootfs/dev").touch()
    assert 'rootfs at "/dev": it can only be mounted on a directory: not a directory: at mounts[0]' in \
        refused(wanted, tmp_path)


# ---- errors that say what is wrong (each was a complaint about another runtime) ------------------------------------

@pytest.mark.spec("runtime.md#create", "what cannot be applied is an error")
@pytest.mark.spec("config.md#valid-values", "invalid and unsupported values are errors")
@pytest.mark.parametrize(("entry", "said"), [
    ({"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "sise=64k"]},
     ['error mounting "tmpfs" to rootfs at "/m"', "tmpfs refuses the option sise=64k", "invalid argument",
      "mounts[0].options[1] in config.json", "step mounts.tmpfs (config.md#mounts)"]),
    ({"destination": "/m", "type": "tmpfs", "options": ["size=many"]},
     ["the option size=many", "mounts[0].options[0]"]),
    ({"destination": "/foo", "type": "bogusfs", "source": "x"},
     ['error mounting "x" to rootfs at "/foo"', 'file system type "bogusfs"', "no such device", "mounts[0].type"]),
    ({"destination": "/m", "type": "ext4", "source": "/dev/null"},
     ['error mounting "/dev/null" to rootfs at "/m"', "make a file system of type ext4", "block device required"])])
def test_errors_name_the_fault(tmp_path: Path, entry: dict[str, Any], said: list[str]) -> None:
    error = refused(config(tmp_path, [entry]), tmp_path)
    assert "\n" not in error
    for part in said:
        assert part in error


# ---- rarer ways ---------------------------------------------------------------------------------------------------

def test_remount_changes_what_is_there(tmp_path: Path) -> None:
    # config.md#linux-mount-options: remount MUST be implemented
    entries = [{"destination": "/m", "type": "tmpfs", "source": "t", "options": ["size=1m", "noexec"]},
               {"destination": "/m", "type": "tmpfs", "source": "t", "options": ["remount", "ro", "nosuid", "size=2m"]}]
    seen = inside(config(tmp_path, entries), tmp_path, mountinfo)["/m"]
    assert seen["flags"] == {"ro", "nosuid", "relatime"} and "size=2048k" in seen["options"]


def test_options_longer_than_fsconfig_takes(tmp_path: Path) -> None:
    layers = [tmp_path / ("layer" * 12 + str(number)) for number in range(6)]
    for layer in layers:
        layer.mkdir()
        (layer / layer.name[-1]).touch()
    lower = ":".join(map(str, layers))
    assert 255 < len(lower) < 4000
    for work in ("upper", "work"):
        (tmp_path / work).mkdir()
    entries = [{"destination": "/m", "type": "overlay", "source": "overlay",
                "options": ["noexec", f"lowerdir={lower}", f"upperdir={tmp_path}/upper", f"workdir={tmp_path}/work"]}]

    def on_a_tmpfs() -> Any:                 # overlay wants xattrs of its upper directory
        return sorted(os.listdir("/m")), mountinfo()
    names, seen = inside(config(tmp_path, entries), tmp_path, on_a_tmpfs)
    assert names == list("012345") and "noexec" in seen["/m"]["flags"] and seen["/m"]["type"] == "overlay"
    with pytest.raises(ConfigError, match="needs a mount namespace"):
        planned(entries[0], tmp_path, namespaces=())


def test_the_kernel_object_tells_the_file_systems_own_words() -> None:
    kernel = Kernel()
    fs = kernel.fsopen("tmpfs")
    with pytest.raises(OSError):
        kernel.fsconfig(fs, 1, "nonsense", "1")
    assert "nonsense" in kernel.fs_messages(fs) and kernel.fs_messages(fs) == ""
    os.close(fs)
