"""Id-mapped mounts: whose the files are inside, and where the mapping comes from."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.facts import Facts
from pyrunc.errors import ConfigError
from pyrunc.host import Host
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import mounts

from ..forked import forked
from .rootfs import CLONE_NEWNS, ROOT, apply, config, enter, inside, refused, steps

UIDS = [{"containerID": 1000, "hostID": 0, "size": 1}, {"containerID": 0, "hostID": 2000, "size": 1000}]
GIDS = [{"containerID": 1000, "hostID": 50, "size": 10}]
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096


def entry(*options: str, **mappings: Any) -> dict[str, Any]:
    return {"destination": "/m", "source": "vol", "options": ["bind", *options], **mappings}


def plan(wanted: Any, host: Host = ROOT) -> list[Any]:
    return list(mounts.sources(Request(wanted, Options(id="t", bundle="/b"), host)))


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """tmp_path/vol, on a disk: a tmpfs can be id-mapped since Linux 6.3 only."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        volume = Path(name)
        (tmp_path / "vol").symlink_to(volume)
        for path, uid, gid in ((volume, 1000, 1000), (volume / "f", 1000, 1003), (volume / "g", 7, 7)):
            if path != volume:
                path.touch()
            os.chown(path, uid, gid)
        yield volume


def owner(name: str) -> tuple[int, int]:
    return os.stat(name).st_uid, os.stat(name).st_gid


# ---- the plan -----------------------------------------------------------------------------------------------------

def test_one_namespace_for_equal_mappings(tmp_path: Path) -> None:
    maps = {"uidMappings": UIDS, "gidMappings": GIDS}
    others = {"uidMappings": GIDS, "gidMappings": GIDS}
    made = plan(config(tmp_path, [entry("idmap", **maps), entry("ridmap", **maps), entry("idmap", **others)]))
    assert [step.name for step in made] == [
        "binds.source", "idmap.namespace", "idmap.apply", "binds.source", "idmap.apply",
        "binds.source", "idmap.namespace", "idmap.apply", "binds.settle"]
    kernel, facts = Recorder(), Facts()
    apply(made, kernel, facts)
    assert [call[1:] for call in kernel.calls if call[0] == "user_namespace"] == [
        ("1000 0 1\n0 2000 1000\n", "1000 50 10\n"), ("1000 50 10\n", "1000 50 10\n")]
    assert [(call[2], call[5], call[6]) for call in kernel.calls if call[0] == "mount_setattr" and call[6] >= 0] == [
        (0x100000, False, 101), (0x100000, True, 101), (0x100000, False, 104)]
    assert [call[1] for call in kernel.calls if call[0] == "close"] == [101, 104]
    assert [step.where for step in made if step.name == "idmap.apply"] == [f"mounts[{i}].options[1]" for i in range(3)]


@pytest.mark.spec("config.md#linux-mount-options", "idmap without mappings takes the user namespace's")
def test_without_mappings_the_containers_user_namespace_is_the_mapping(tmp_path: Path) -> None:
    # config.md#linux-mount-options: "If they are not specified, the runtime MAY use the container's user namespace
    # mapping"
    wanted = config(tmp_path, [entry("idmap")], namespaces=("mount", "user"), uidMappings=UIDS, gidMappings=GIDS)
    kernel = Recorder()
    apply(plan(wanted), kernel, Facts())
    assert [call[1] for call in kernel.calls if call[0] == "user_namespace"] == ["1000 0 1\n0 2000 1000\n"]
    wanted = config(tmp_path, [entry("idmap")])
    wanted["linux"]["namespaces"].append({"type": "user", "path": "/proc/7/ns/user"})
    kernel = Recorder()
    apply(plan(wanted), kernel, Facts())
    (opened,) = [call for call in kernel.calls if call[0] == "open"]
    assert opened[1] == "/proc/7/ns/user"
    assert kernel.calls[-3][6] == kernel.calls[-1][1]         # the namespace is used, and closed at the end


@pytest.mark.spec("config.md#linux-mount-options", "without mappings and user namespace idmap is an error")
def test_refused(tmp_path: Path) -> None:
    maps = {"uidMappings": UIDS, "gidMappings": GIDS}
    for host in (Host(euid=1000), Host(in_userns=True)):
        wanted: Any = config(tmp_path, [entry("idmap", **maps)])
        with pytest.raises(ConfigError, match="privilege") as caught:
            list(mounts.all(Request(wanted, Options(id="t", bundle="/b"), host)))
        assert caught.value.where == "mounts[0].options[1]"
    with pytest.raises(ConfigError, match="only a bind mount") as caught:
        plan(config(tmp_path, [{"destination": "/t", "type": "tmpfs", **maps}]))
    assert caught.value.where == "mounts[0].uidMappings"


# ---- on the real kernel ---------------------------------------------------------------------------------------------

@pytest.mark.spec("config.md#linux-mount-options", "an idmap mount has its mapping",
                  "the mount's own mappings are used")
@pytest.mark.spec("config.md#posix-platform-mounts", "uidMappings", "gidMappings")
@pytest.mark.parametrize("option", ["idmap", "ridmap", ""])
def test_owners_are_those_of_the_mapping(tmp_path: Path, volume: Path, option: str) -> None:
    # config.md#linux-mount-options: "Indicates that the mount MUST have an idmapping applied. ... If uidMappings or
    # gidMappings are specified for the mount, the runtime MUST use those values for the mount's mapping."
    wanted = config(tmp_path, [entry(*[option] * bool(option), uidMappings=UIDS, gidMappings=GIDS)])

    def look() -> Any:
        os.setegid(50)                       # who is not mapped makes nothing here
        Path("/m/made").touch()
        os.chown("/m/made", 2500, 55)
        return owner("/m/f"), owner("/m/g"), owner("/m/made")
    seen = inside(wanted, tmp_path, look)
    assert seen == ((0, 53), (2007, 65534), (2500, 55))
    assert owner(str(volume / "made")) == (500, 1005)        # as it is on the source
    assert owner(str(volume / "f")) == (1000, 1003)


@pytest.mark.spec("config.md#linux-mount-options", "ridmap maps recursively")
def test_only_ridmap_maps_what_is_mounted_below(tmp_path: Path, volume: Path) -> None:
    def act() -> Any:
        kernel = Kernel()
        for name in ("sub", "other"):
            (volume / name).mkdir(exist_ok=True)
        kernel.mount(str(volume / "other"), str(volume / "sub"), "", MS_BIND)
        (volume / "sub/f").touch()
        os.chown(volume / "sub/f", 1000, 1000)
        facts = Facts()
        apply(steps(wanted, tmp_path), kernel, facts)
        enter(facts.root_fd)
        return owner("/m/f"), owner("/m/sub/f")
    for option, below in (("idmap", (1000, 1000)), ("ridmap", (0, 50))):
        wanted = config(tmp_path, [entry("rbind", option, uidMappings=UIDS, gidMappings=GIDS)])
        assert forked(act, CLONE_NEWNS) == ((0, 53), below)


def test_a_mapped_source_of_a_container_with_a_user_namespace_keeps_its_locks(tmp_path: Path, volume: Path) -> None:
    def act() -> Any:
        kernel, facts = Kernel(), Facts()
        kernel.mount(str(volume), str(volume), "", MS_BIND)
        kernel.mount("", str(volume), "", MS_BIND | MS_REMOUNT | MS_RDONLY)
        apply(plan_here, kernel, facts)
        fd = facts.mount_fds[0]
        try:
            kernel.mount_setattr(fd, clear=MS_RDONLY)
        except PermissionError:
            return os.fstat(os.open("f", os.O_PATH, dir_fd=fd)).st_uid, kernel.fs_flags(fd) & MS_RDONLY
        return None
    wanted: Any = config(tmp_path, [entry("idmap", uidMappings=UIDS, gidMappings=GIDS)], namespaces=("mount", "user"),
                         uidMappings=UIDS, gidMappings=GIDS)
    plan_here = list(mounts.sources(Request(wanted, Options(id="t", bundle=str(tmp_path)), ROOT)))
    assert forked(act, CLONE_NEWNS) == (0, MS_RDONLY)


def test_a_file_system_that_cannot_be_mapped_says_so(tmp_path: Path) -> None:
    # runc#3949, crun#1380, podman#24918: EINVAL without a reason
    wanted = config(tmp_path, [{"destination": "/m", "source": "/proc", "options": ["bind", "idmap"],
                                "uidMappings": UIDS, "gidMappings": GIDS}])
    error = refused(wanted, tmp_path)
    assert "map the ids of /proc" in error and "invalid argument" in error and "mounts[0].options[1]" in error


def test_no_process_is_left_that_held_a_namespace() -> None:
    def act() -> Any:
        kernel = Kernel()
        before = os.listdir("/proc/self/fd")
        fds = [kernel.user_namespace("0 5 1\n", "0 5 1\n"), kernel.locked_mount_namespace()]
        kinds = [os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in fds]
        for fd in fds:
            os.close(fd)
        return kinds, os.listdir("/proc/self/fd") == before, Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    assert forked(act) == (["user", "mnt"], True, "")
