"""/dev: the devices every container has, the configured ones, the links, and what a hostile image finds no use for."""
from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.facts import Facts
from pyrunc.host import Host
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import CHARACTER_DEVICE, FILE
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.rootfs.devices import is_device
from pyrunc.steps import devices

from ..forked import forked
from .rootfs import CLONE_NEWNS, ROOT, apply, config, enter, inside, mountinfo, own_user_namespace, refused, steps, tree

DEV: list[dict[str, Any]] = [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}]
FUSE = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}


def planned(wanted: Any, host: Host = ROOT) -> list[Any]:
    return list(devices.all(Request(wanted, Options(id="t", bundle="/b"), host)))


def nodes() -> dict[str, tuple[str, int, int, str]]:
    """{path: (kind, major, minor, "mode uid:gid")} of every node below /dev."""
    found = {}
    for path in Path("/dev").rglob("*"):
        state = path.lstat()
        if not (stat.S_ISDIR(state.st_mode) or stat.S_ISLNK(state.st_mode)):
            kind = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p"}.get(stat.S_IFMT(state.st_mode), "-")
            found[str(path)] = (kind, os.major(state.st_rdev), os.minor(state.st_rdev),
                                f"{stat.S_IMODE(state.st_mode):o} {state.st_uid}:{state.st_gid}")
    return found


DEFAULT = {f"/dev/{name}": ("c", major, minor, "666 0:0") for name, major, minor in (
    ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))}


# ---- what is there ------------------------------------------------------------------------------------------------

def test_the_default_devices(tmp_path: Path) -> None:
    # config-linux.md#default-devices: "In addition to any devices configured with this setting, the runtime MUST also
    # supply: /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty"
    before = os.umask(0o077)
    try:
        made = inside(config(tmp_path, DEV), tmp_path, nodes, with_devices=True)
    finally:
        os.umask(before)
    assert made == DEFAULT


def test_the_links(tmp_path: Path) -> None:
    # runtime-linux.md#dev-symbolic-links: "runtimes MUST create the following symlinks if the source file exists after
    # processing mounts"; config-linux.md: "/dev/ptmx. A bind-mount or symlink of the container's /dev/pts/ptmx"
    def look() -> Any:
        return {name: os.readlink(f"/dev/{name}") for name in os.listdir("/dev") if os.path.islink(f"/dev/{name}")}
    links = inside(config(tmp_path, DEV), tmp_path, look, with_devices=True)
    assert links.pop("core", "/proc/kcore") == "/proc/kcore"
    assert links == {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
                     "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"}


@pytest.mark.spec("config-linux.md#devices", "devices", "listed devices are there", "type", "path")
def test_configured_devices(tmp_path: Path) -> None:
    # config-linux.md#devices: "linux.devices lists devices that MUST be available in the container." "The path MAY be
    # anywhere in the container filesystem, notably outside of /dev."
    wanted = config(tmp_path, DEV, devices=[
        FUSE, {"path": "/dev/a/b/sda", "type": "b", "major": 8, "minor": 300, "fileMode": 0o640, "uid": 5, "gid": 6},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o600, "uid": 7},
        {"path": "/dev/u", "type": "u", "major": 7, "minor": 8},
        {"path": "/outside/node", "type": "c", "major": 1, "minor": 3, "fileMode": 0o444},
        {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600, "gid": 9},
        {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}])

    def look() -> Any:
        state = os.stat("/outside/node")
        return nodes(), os.readlink("/dev/ptmx"), (f"{state.st_mode:o}", state.st_rdev)
    made, ptmx, outside = inside(wanted, tmp_path, look, with_devices=True)
    assert made == {**DEFAULT, "/dev/zero": ("c", 1, 5, "600 0:9"), "/dev/fuse": ("c", 10, 229, "666 0:0"),
                    "/dev/a/b/sda": ("b", 8, 300, "640 5:6"), "/dev/pipe": ("p", 0, 0, "600 7:0"),
                    "/dev/u": ("c", 7, 8, "666 0:0")}
    assert ptmx == "pts/ptmx" and outside == ("20444", os.makedev(1, 3))


def test_the_nodes_work(tmp_path: Path) -> None:
    def look() -> Any:
        with open("/dev/null", "r+b", buffering=0) as null, open("/dev/zero", "rb") as zero:
            null.write(b"x")
            return null.read(), zero.read(3)
    assert inside(config(tmp_path, DEV), tmp_path, look, with_devices=True) == (b"", bytes(3))


# ---- what was there before ------------------------------------------------------------------------------------------

def test_an_existing_node_that_is_right_stays_as_it_is(tmp_path: Path) -> None:
    wanted = config(tmp_path)
    (tmp_path / "rootfs/dev").mkdir()
    os.mknod(tmp_path / "rootfs/dev/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.chown(tmp_path / "rootfs/dev/null", 33, 34)
    (tmp_path / "rootfs/dev/fd").symlink_to("images/own")
    made = inside(wanted, tmp_path, nodes, with_devices=True)
    assert made["/dev/null"] == ("c", 1, 3, "600 33:34")
    assert os.readlink(tmp_path / "rootfs/dev/fd") == "images/own"


@pytest.mark.spec("config-linux.md#devices", "another file at path is an error")
@pytest.mark.parametrize("kind", ["file", "link", "directory", "other device", "fifo"])
def test_something_else_in_its_place_is_an_error(tmp_path: Path, kind: str) -> None:
    # config-linux.md#devices: "If a file already exists at path that does not match the requested device, the runtime
    # MUST generate an error."
    wanted = config(tmp_path, devices=[FUSE])
    place = tmp_path / "rootfs/dev/fuse"
    place.parent.mkdir()
    host = tmp_path / "host"
    host.write_text("host")
    host.chmod(0o600)
    if kind == "link":
        place.symlink_to(host)
    elif kind == "directory":
        place.mkdir()
    else:
        os.mknod(place, {"file": stat.S_IFREG, "fifo": stat.S_IFIFO}.get(kind, stat.S_IFCHR), os.makedev(10, 228))
    error = refused(wanted, tmp_path, with_devices=True)
    assert "/dev/fuse is not c 10:229" in error and "file exists" in error and "linux.devices[0]" in error
    assert host.read_text() == "host" and host.stat().st_mode == 0o100600 and host.stat().st_uid == 0


def test_links_in_the_image_lead_to_nothing_on_the_host(tmp_path: Path) -> None:
    # CVE-2026-41579, CVE-2026-47766, CVE-2026-88264: /dev of the image is a link
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "ptmx").write_text("keep")
    wanted = config(tmp_path, devices=[FUSE])
    (tmp_path / "rootfs/dev").symlink_to(outside)
    before = tree(outside)
    inside(wanted, tmp_path, lambda: None, with_devices=True)
    assert tree(outside) == before
    assert (tmp_path / "rootfs" / str(outside).lstrip("/") / "fuse").is_char_device()     # what the link means inside


def test_a_node_that_is_exchanged_is_not_given_away(tmp_path: Path) -> None:
    """Between mknod and chown somebody puts a file there: its mode and owner stay its own."""
    kernel, facts = Recorder(modes={"null": FILE}), Facts()
    facts.root_fd = 99
    step = planned(config(tmp_path))[0]
    with pytest.raises(OSError, match="File exists"):
        step.apply(kernel, facts)
    assert not any(call[0] in ("chmod", "chown") for call in kernel.calls)


def test_ptmx_of_the_image_is_replaced(tmp_path: Path) -> None:
    wanted = config(tmp_path)
    (tmp_path / "rootfs/dev").mkdir()
    os.mknod(tmp_path / "rootfs/dev/ptmx", stat.S_IFCHR | 0o666, os.makedev(5, 2))
    inside(wanted, tmp_path, lambda: None, with_devices=True)
    assert os.readlink(tmp_path / "rootfs/dev/ptmx") == "pts/ptmx"


# ---- bound devices --------------------------------------------------------------------------------------------------

def test_a_dev_that_is_bound_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "hostdev").mkdir()
    entries = [{"destination": "dev/.", "source": "hostdev", "options": ["rbind"]}]
    node = {"path": "/outside", "type": "c", "major": 1, "minor": 3}
    wanted = config(tmp_path, entries, devices=[FUSE, node])
    assert [(step.name, step.path) for step in planned(wanted)] == [("devices.node", "/outside")]
    inside(wanted, tmp_path, lambda: None, with_devices=True)
    assert tree(tmp_path / "hostdev") == []


@pytest.mark.parametrize(("host", "namespaces"), [
    (ROOT, ("mount", "user")), (Host(in_userns=True), ("mount",)), (Host(euid=1000), ("mount", "user"))])
def test_without_the_right_to_make_nodes_the_hosts_are_bound(tmp_path: Path, host: Host, namespaces: Any) -> None:
    wanted = config(tmp_path, devices=[FUSE, {"path": "/dev/p", "type": "p"}], namespaces=namespaces)
    steps = planned(wanted, host)
    assert [step.name for step in steps[:8]] == ["devices.bind"] * 7 + ["devices.node"]
    assert steps[0].describe() == "bind the host's /dev/null (c 1:3)"


def test_bound_devices_on_the_real_kernel(tmp_path: Path) -> None:
    def act() -> Any:
        own_user_namespace()
        facts = Facts()
        apply(steps(wanted, tmp_path, Host(in_userns=True), with_devices=True), Kernel(), facts)
        enter(facts.root_fd)
        with open("/dev/null", "r+b", buffering=0) as null:
            null.write(b"x")
        return {path: node[:3] for path, node in nodes().items()}, mountinfo()["/dev/null"]
    wanted = config(tmp_path, DEV, namespaces=("mount", "user"))
    (tmp_path / "rootfs/dev").mkdir()
    found, null = forked(act)
    assert found == {path: node[:3] for path, node in DEFAULT.items()}
    assert null["root"] == "/null" and null["type"] in ("devtmpfs", "tmpfs")       # the latter: world.own_null
    assert forked(act)[0] == found               # a second time, with what the first one left in the image


def test_mknod_that_is_not_permitted_becomes_a_bind(tmp_path: Path) -> None:
    kernel, facts = Recorder(errors={"mknod": [errno.EPERM]}, modes={"null": FILE}), Facts()
    facts.root_fd = 99
    planned(config(tmp_path))[0].apply(kernel, facts)
    assert ("open", "/dev/null", os.O_PATH, 0, -100) in kernel.calls
    assert any(call[0] == "move_mount" for call in kernel.calls)
    assert not any(call[0] in ("chmod", "chown") for call in kernel.calls)     # crun 1.24: those would be the host's


@pytest.mark.parametrize(("modes", "number"), [({"/dev/null": FILE}, errno.ENODEV), ({"null": 0o120777}, errno.EEXIST),
                                               ({"null": 0o040755}, errno.EEXIST)])
def test_only_the_device_itself_is_bound_and_only_on_a_file(tmp_path: Path, modes: Any, number: int) -> None:
    kernel, facts = Recorder(modes=modes), Facts()
    facts.root_fd = 99
    with pytest.raises(OSError) as caught:
        planned(config(tmp_path, namespaces=("mount", "user")))[0].apply(kernel, facts)
    assert caught.value.errno == number and not any(call[0] == "move_mount" for call in kernel.calls)


# ---- standard streams -----------------------------------------------------------------------------------------------

def test_streams_that_are_the_hosts_null_become_the_containers(tmp_path: Path) -> None:
    def act() -> Any:
        null, file = os.open("/dev/null", os.O_RDWR), os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
        os.dup2(null, 0)
        os.dup2(file, 1)
        os.dup2(null, 2)
        facts = Facts()
        apply(steps(wanted, tmp_path, with_devices=True), Kernel(), facts)
        device = os.stat("dev", dir_fd=facts.root_fd).st_dev
        return [os.fstat(number).st_dev == device for number in (0, 1, 2)], os.get_inheritable(0)
    wanted = config(tmp_path, DEV)
    assert forked(act, CLONE_NEWNS) == ([True, False, True], True)


@pytest.mark.parametrize("fake", [FILE, 0o120777, 0o010644])
def test_streams_become_nothing_but_the_null_device(tmp_path: Path, fake: int) -> None:
    # CVE-2026-88265: /dev/null of the image was a file of the host, which then was written and given away
    kernel, facts = Recorder(modes={"/dev/null": fake}), Facts()
    kernel.fds = dict.fromkeys((0, 1, 2), "dev/null")
    with pytest.raises(OSError):
        devices.Stdio().apply(kernel, facts)
    assert not any(call[0] in ("dup2", "reopen") for call in kernel.calls)


def test_a_terminal_brings_its_own_streams(tmp_path: Path) -> None:
    names = [step.name for step in planned({**config(tmp_path), "process": {"terminal": True}})]
    assert "devices.stdio" not in names and "devices.ptmx" in names
    assert "devices.stdio" in [step.name for step in planned(config(tmp_path))]


def test_is_device_wants_the_type_too() -> None:
    kernel = Recorder(modes={"/f": FILE, "/c": CHARACTER_DEVICE})
    for path, expected in (("/f", False), ("/c", True)):
        assert is_device(kernel, kernel.open(path, 0), stat.S_IFCHR, 0) == expected
