"""Opening is an act: of a device that rewinds or resets, of a fifo that somebody waits at. Nothing that an image put
where the runtime reads a file is opened unless it is an ordinary one."""
from __future__ import annotations

import ctypes
import json
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import bundles
from tests.runtimes import Runtime

IN_OPEN, IN_NONBLOCK, EVENT = 0x20, 0o4000, struct.Struct("iIII")
KINDS = {"kmsg": (stat.S_IFCHR, 1, 11), "disk": (stat.S_IFBLK, 7, 0), "fifo": (stat.S_IFIFO, 0, 0)}


@pytest.fixture(params=list(KINDS))
def bundle(request: pytest.FixtureRequest, place: Path) -> Path:
    """A bundle in which /etc/passwd, /bin/odd, and two places below /data, are a device or a fifo."""
    root = bundles.busybox_root(place / "rootfs")
    (root / "data/below").mkdir(parents=True)
    kind, major, minor = KINDS[request.param]
    (root / "etc/passwd").unlink()
    for name in ("etc/passwd", "bin/odd", "data/odd", "data/below/odd"):
        os.mknod(root / name, kind | 0o777, os.makedev(major, minor))
        os.chmod(root / name, 0o777)
    return place


@contextmanager
def opened(bundle: Path) -> Iterator[set[str]]:
    """The names of the odd files that were opened meanwhile; O_PATH does not count (inotify(7))."""
    libc = ctypes.CDLL(None, use_errno=True)
    found: set[str] = set()
    watcher = libc.inotify_init1(IN_NONBLOCK)
    names = {libc.inotify_add_watch(watcher, os.fsencode(bundle / "rootfs" / name), IN_OPEN): name
             for name in ("etc/passwd", "bin/odd", "data/odd", "data/below/odd")}
    assert len(names) == 4 and min(names) > 0
    yield found
    try:
        events = os.read(watcher, 1 << 16)
    except BlockingIOError:
        events = b""
    for at in range(0, len(events), EVENT.size):         # of files no names come with them
        found.add(names[EVENT.unpack_from(events, at)[0]])
    os.close(watcher)


def write(bundle: Path, **changes: object) -> None:
    (bundle / "config.json").write_text(json.dumps(bundles.docker_like(**changes)))


def test_the_instrument_sees_an_open(bundle: Path) -> None:
    with opened(bundle) as seen:
        os.close(os.open(bundle / "rootfs/data/odd", os.O_PATH))
        if stat.S_ISFIFO(os.stat(bundle / "rootfs/data/odd").st_mode):
            os.close(os.open(bundle / "rootfs/data/odd", os.O_RDONLY | os.O_NONBLOCK))
    assert seen <= {"data/odd"} and (bool(seen) == (bundle / "rootfs/data/odd").is_fifo())


def test_a_device_in_the_place_of_passwd(bundle: Path, runtime: Runtime, name: str) -> None:
    write(bundle, process={"args": ["sh", "-c", "echo $HOME"]})
    with opened(bundle) as seen:
        assert runtime.run(name, bundle).stdout == "/\n"
    assert seen == set()


# exec into a container of less than 8 MiB is born in the caller's cgroup, where no device filter is.
@pytest.mark.parametrize("limit", [6_000_000, 64_000_000])
def test_exec_into_little_memory(limit: int, bundle: Path, runtime: Runtime, name: str) -> None:
    write(bundle, process={"args": ["sleep", "600"]})
    runtime.create(name, bundle)
    runtime.ok("start", name)
    saved = runtime.root / name / "config.json"          # as if the memory controller were here to limit it
    config = json.loads(saved.read_text())
    config["linux"]["resources"]["memory"] = {"limit": limit}
    saved.write_text(json.dumps(config))
    with opened(bundle) as seen:
        assert runtime.ok("exec", name, "sh", "-c", "echo $HOME").stdout == "/\n"
    assert seen == set()
    runtime.ok("delete", "--force", name)


def test_a_program_or_its_interpreter(bundle: Path, runtime: Runtime, name: str) -> None:
    script = bundle / "rootfs/bin/script"
    script.write_text("#!/bin/odd\n")
    script.chmod(0o755)
    (bundle / "rootfs/bin/link").symlink_to("odd")
    for program in ("/bin/odd", "odd", "/bin/link", "/bin/script"):
        write(bundle, process={"args": [program]})
        with opened(bundle) as seen:
            assert runtime.run(name, bundle).status != 0
            runtime("check", "--bundle", bundle)
        assert seen - {"etc/passwd"} == set() == seen


def test_what_is_copied_up_is_not_opened(bundle: Path, runtime: Runtime, name: str) -> None:
    mounts = [*bundles.MOUNTS, {"destination": "/data", "type": "tmpfs", "options": ["tmpcopyup"]}]
    write(bundle, mounts=mounts, process={"args": ["sh", "-c", "ls /data /data/below"]})
    with opened(bundle) as seen:
        assert runtime.run(name, bundle).stdout.split().count("odd") == 2
    assert seen == set()
