"""What goes over the interfaces of a container, and what it has written: for the metrics."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pyrunc.manager import Manager, network
from pyrunc.manager.disk import BLOCK, MOST, Disk, Disks, Root, measure, name_of, root_of
from pyrunc.manager.network import Interface, interfaces
from tests import world
from tests.manager.conftest import config_of, running, until

DEV = """Inter-|   Receive                                       |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:    100       2    0    0    0     0          0         0    100       2    0    0    0     0       0          0
  eth0:1234567     890    1    2    3     4          5         6 7654321     987   11   12   13   14      15         16
eth0:1:      1       2    3    4    0     0          0         0      5       6    7    8    0     0       0          0
"""


def test_counters_of_interfaces() -> None:
    assert interfaces(DEV) == [Interface("eth0", 1234567, 890, 1, 2, 7654321, 987, 11, 12),
                               Interface("eth0:1", 1, 2, 3, 4, 5, 6, 7, 8)]
    assert interfaces("") == [] and network.read(0) == [] and network.space(0) == 0


async def test_a_network_of_its_own(m: Manager, of: str, rootfs: Path, name: str) -> None:
    one = await running(m, name, rootfs, handler=of)
    assert network.space(one.pid) not in (0, network.space("self"))
    assert one.there
    inside = ["nsenter", "--net", f"--target={one.pid}"]
    subprocess.run([*inside, "ip", "link", "add", "eth7", "type", "veth", "peer", "name", "eth8"], check=True)
    found = network.read(one.pid)
    assert all(Interface(word, 0, 0, 0, 0, 0, 0, 0, 0) in found for word in ("eth7", "eth8"))
    pid = one.pid
    await one.stop(grace=0)
    assert network.read(pid) == [] and not one.there


PLAIN = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n23 22 0:5 / /proc rw - proc proc rw\n"


@pytest.mark.parametrize(("mounts", "wanted"), [
    (PLAIN, Root("/roots/a", True)),
    (PLAIN.replace("/ / rw", "/ / ro"), Root("/roots/a", False)),
    ("30 1 0:40 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/up\\040per,workdir=/w\n", Root("/up per", True)),
    ("30 1 0:40 / / ro - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n", Root("/u", False)),
    ("30 1 0:40 / / rw - overlay overlay ro,lowerdir=/l:/k\n", Root("/roots/a", False)),
    ("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:40 / / rw - overlay o rw,upperdir=/u\n", Root("/u", True))],
    ids=["a directory", "read-only", "overlay", "read-only overlay", "lower directories alone", "the upper one of two"])
def test_where_it_writes(mounts: str, wanted: Root) -> None:
    assert root_of(mounts, "/roots/a") == wanted


def test_no_root() -> None:
    with pytest.raises(ValueError, match="no root"):
        root_of("23 22 0:5 / /proc rw - proc proc rw\n", "/roots/a")


def test_bytes_that_are_written(private_world: None, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = place / "root"
    (root / "deep/er").mkdir(parents=True)
    empty = measure(Root(str(root), True))
    assert empty.usage is not None
    (root / "deep/er/a").write_bytes(b"x" * (1 << 20))
    os.link(root / "deep/er/a", root / "b")                              # the same bytes
    (root / "sparse").touch()
    os.truncate(root / "sparse", 1 << 30)                                # none
    (root / "link").symlink_to("/")
    (root / "mounted").mkdir()
    world.mount("tmpfs", root / "mounted", "tmpfs")
    (root / "mounted/c").write_bytes(b"x" * (1 << 20))                   # on another file system
    found = measure(Root(str(root), True))
    assert found.usage is not None and 1 << 20 <= found.usage - empty.usage < (1 << 20) + (64 << 10)
    assert found.usage % BLOCK == 0 and 0 < found.inodes_free <= found.inodes and found.limit > found.usage
    assert measure(Root(str(root), False)).usage == 0
    monkeypatch.setattr("pyrunc.manager.disk.MOST", 3)
    assert measure(Root(str(root), True)).usage is None and MOST > 3
    world.unmount(root / "mounted")


def test_devices_by_name() -> None:
    assert name_of("0:99") == "0:99"
    disks = Path("/sys/dev/block")
    for number in sorted(os.listdir(disks))[:3]:
        assert name_of(number) == f"/dev/{os.path.basename(os.readlink(disks / number))}"


async def test_disks_are_measured_when_asked_for(m: Manager, of: str, rootfs: Path, name: str,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Root] = []

    def noted(root: Root) -> Disk:
        asked.append(root)
        return measure(root)
    monkeypatch.setattr("pyrunc.manager.disk.measure", noted)
    for letter in "ab":
        await running(m, f"{name}-{letter}", rootfs, config=config_of(rootfs), handler=of)
    await running(m, f"{name}-c", rootfs, handler=of,
                  config={**config_of(rootfs), "root": {"path": str(rootfs), "readonly": True}})
    disks, all_of = Disks(), {one.record.name: one for one in m.containers()}
    assert disks.of(all_of) == {}
    await until(lambda: len(disks.of(all_of)) == 3)
    a, b, c = (disks.of(all_of)[key] for key in sorted(all_of))
    assert a == b and a.usage and c.usage == 0 and a.device == c.device
    assert sorted(asked, key=lambda root: root.writes) == [Root(str(rootfs), False), Root(str(rootfs), True)]
    gone = all_of.pop(next(iter(all_of)))
    assert gone.record.name not in disks.of(all_of) and len(asked) == 2       # fresh for a minute
    disks.close()


async def test_a_root_that_hangs_is_asked_once(m: Manager, rootfs: Path, name: str,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    import threading
    begun, ending = [], threading.Event()

    def hang(root: Root) -> None:
        begun.append(root)
        ending.wait(60)
    monkeypatch.setattr("pyrunc.manager.disk.measure", hang)
    monkeypatch.setattr("pyrunc.manager.disk.LONGEST", 0.1)
    one = await running(m, name, rootfs)
    disks = Disks()
    disks.of({one.record.name: one})
    await until(lambda: disks._task is not None and disks._task.done())
    for _ in range(3):
        assert disks.of({one.record.name: one}) == {}
    assert len(begun) == 1 and disks._task is not None and disks._task.done()
    ending.set()
