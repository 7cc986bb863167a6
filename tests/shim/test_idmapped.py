"""A root whose layers have the ids of the host, for a pod with a user namespace, as containerd 2 asks for it."""
from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import UsageError
from pyrunc.kernel.linux import Kernel
from pyrunc.shim import idmapped
from pyrunc.shim.rootfs import mount_all, unmount_all
from pyrunc.ttrpc.codes import RpcError
from pyrunc.ttrpc.messages.types import Mount
from tests import bundles, world
from tests.forked import forked

from .conftest import reader
from .driver import SECONDS, Shim

Make = Callable[..., Shim]
FIRST, SIZE = 200000, 65536
MAPPING = [{"containerID": 0, "hostID": FIRST, "size": SIZE}]
MAPPED = [f"uidmap=0:{FIRST}:{SIZE}", f"gidmap=0:{FIRST}:{SIZE}"]
PRIVATE: dict[str, Any] = {"namespaces": bundles.namespaces("user", "pid", "network", "ipc", "uts", "mount", "cgroup"),
                           "uidMappings": MAPPING, "gidMappings": MAPPING}


@pytest.fixture
def snapshots(private_world: None, place: Path) -> Iterator[Path]:
    """Where layers are: a file system that takes them, and whose ids can be mapped; a tmpfs from Linux 6.3 on."""
    if world.kernel() >= (6, 3):
        made = place / "snapshots"
        made.mkdir()
        world.mount("tmpfs", made, "tmpfs", data="mode=755")
        yield made
        world.unmount(made)
    else:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
            os.chmod(name, 0o755)
            yield Path(name)


def layers_of(snapshots: Path, rootfs: Path, count: int) -> list[str]:
    """Options of an overlay: the root file system at the bottom, and above it layers with a file each."""
    shutil.copytree(rootfs, snapshots / "0/fs", symlinks=True)
    lower = [str(snapshots / "0/fs")]
    for number in range(1, count):
        folder = snapshots / f"{number}-{'layer' * 10}/fs"
        folder.mkdir(parents=True)
        (folder / f"of-{number}").write_text("")
        lower.insert(0, str(folder))
    for name in ("upper", "work"):
        (snapshots / name).mkdir()
        os.chown(snapshots / name, FIRST, FIRST)
    return [f"lowerdir={':'.join(lower)}", f"upperdir={snapshots}/upper", f"workdir={snapshots}/work"]


@pytest.mark.parametrize("count", [1, 2, 60])
def test_the_layers_of_an_overlay(shim: Make, snapshots: Path, rootfs: Path, count: int) -> None:
    """Their root is the container's, and what the container writes is its root's on the host. One, some, and more than
    there is room for in the options of mount(2)."""
    script = f"stat -c %u:%g /bin/busybox /of-{count - 1} 2>/dev/null; touch /new; stat -c %u:%g /new"
    one = shim("sh", "-c", script, linux=PRIVATE)
    config = json.loads((one.bundle / "config.json").read_text())
    (one.bundle / "config.json").write_text(json.dumps({**config, "root": {"path": "rootfs"}}))
    out = one.fifo("out")
    thread, got = reader(out)
    one.create(stdout=out, rootfs=[Mount(type="overlay", source="overlay",
                                         options=[*layers_of(snapshots, rootfs, count), *MAPPED])])
    assert not (one.bundle / idmapped.PLACE).exists()
    one.start()
    assert one.wait() == 0
    one.delete()
    thread.join(SECONDS)
    assert got[0].split() == [b"0:0"] * (2 if count == 1 else 3)
    written = (snapshots / "upper/new").stat()
    assert (written.st_uid, written.st_gid) == (FIRST, FIRST)
    assert str(one.bundle) not in world.text("/proc/self/mountinfo")


def test_another_mount_is_mapped_itself(snapshots: Path, place: Path) -> None:
    (snapshots / "fs").mkdir()
    (snapshots / "fs/file").write_text("")
    (place / "b/rootfs").mkdir(parents=True)
    root = str(place / "b/rootfs")
    wanted = [("bind", str(snapshots / "fs"), "", ["rbind", "ro", *MAPPED])]
    forked(lambda: mount_all(Kernel(), wanted, root))
    found = os.stat(f"{root}/file")
    assert (found.st_uid, found.st_gid) == (FIRST, FIRST) and os.statvfs(root).f_flag & os.ST_RDONLY
    unmount_all(Kernel(), root)
    assert root not in world.text("/proc/self/mountinfo")


def test_what_a_killed_worker_has_left_goes_and_the_layers_stay(shim: Make, snapshots: Path, rootfs: Path) -> None:
    """The place in the bundle: whoever removes the bundle would remove the layers through it."""
    one = shim(linux=PRIVATE)
    layers_of(snapshots, rootfs, 2)
    place = one.bundle / idmapped.PLACE
    options = [f"lowerdir={snapshots}/0/fs", *MAPPED]

    def killed() -> None:
        kernel, maps = Kernel(), idmapped.maps_of(options)
        assert maps is not None
        idmapped.lower(kernel, options, kernel.user_namespace(*maps), str(one.bundle))
    forked(killed)
    with pytest.raises(OSError, match="Read-only"):
        (place / "fs/bin/busybox").unlink()
    one.command("delete", "-bundle", str(one.bundle))
    assert not place.exists() and (snapshots / "0/fs/bin/busybox").exists()


@pytest.mark.parametrize(("options", "said"), [
    (["uidmap=0:1", "gidmap=0:1:1"], "0:1: not a mapping of ids: CONTAINER:HOST:SIZE"),
    (["uidmap=0:-1:1", "gidmap=0:1:1"], "0:-1:1: not a mapping of ids"),
    (["lowerdir=relative", *MAPPED], "the layers of lowerdir=relative: invalid argument"),
    (["lowerdir=/no/such:/no/other", *MAPPED], "/no: no such file or directory"),
    (["lowerdir=/proc/self:/sys/kernel", *MAPPED], "lowerdir=")])
def test_what_cannot_be_mapped(shim: Make, options: list[str], said: str) -> None:
    """One line, and nothing is left."""
    one = shim(linux=PRIVATE)
    with pytest.raises(RpcError) as failed:
        one.create(rootfs=[Mount(type="overlay", source="overlay", options=options)])
    assert said in failed.value.message and "\n" not in failed.value.message
    assert not (one.bundle / idmapped.PLACE).exists()
    assert str(one.bundle) not in world.text("/proc/self/mountinfo")


def test_more_layers_than_there_is_room_for(shim: Make, snapshots: Path, rootfs: Path) -> None:
    """Also by the shortest names. mount(2) would take a page of them, and mount another root or say that one is
    missing."""
    one = shim()
    options = layers_of(snapshots, rootfs, 90)
    for mapped in [], MAPPED:
        with pytest.raises(RpcError, match="its options: argument list too long"):
            one.create(rootfs=[Mount(type="overlay", source="overlay", options=[*options, *mapped])])
    assert str(one.bundle) not in world.text("/proc/self/mountinfo")


def test_mappings_of_ids() -> None:
    assert idmapped.maps_of(["ro", "uidmap=0:1000:10,10:5000:1", "gidmap=0:1:1"]) == (
        "0 1000 10\n10 5000 1\n", "0 1 1\n")
    assert idmapped.maps_of(["ro", "uidmap=0:1000:10"]) is None
    with pytest.raises(UsageError):
        idmapped.maps_of(["uidmap=x", "gidmap=0:1:1"])
