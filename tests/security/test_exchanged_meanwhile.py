"""Another container shares a volume with the root that is put together, and exchanges directories for links meanwhile.

CVE-2021-30465, CVE-2024-45310, CVE-2025-31133, CVE-2025-52565, GHSA-3q8j-pf29-vwv8. Measured with this attack, runc
1.1.5 lets 7 mounts in 100 out of the root.
"""
from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, world
from tests.bundles import MOUNTS, docker_like
from tests.runtimes import Runtime

ROUNDS, RENAME_EXCHANGE = 25, 2
TMPFS = {"destination": "/vol/a/b", "type": "tmpfs", "source": "raced", "options": ["size=4k"]}
NODE = {"path": "/vol/a/node", "type": "c", "major": 1, "minor": 3}
NO_DEV = [mount for mount in MOUNTS if not mount["destination"].startswith("/dev")]
#: What is put at a place that is exchanged all the time, and how the container can tell that it got it.
RACED: dict[str, dict[str, Any]] = {
    "tmpfs": {"mounts": [*MOUNTS, TMPFS]},
    "bind": {"mounts": [*MOUNTS, {"destination": "/vol/a/f", "source": "/etc/hostname", "options": ["bind", "ro"]}]},
    "proc": {"mounts": [*MOUNTS, {"destination": "/vol/a/p", "type": "proc", "source": "raced"}]},
    "device": {"linux": {"devices": [NODE]}},
    "cwd": {"process": {"cwd": "/vol/a/new"}},
    "paths": {"linux": {"maskedPaths": ["/vol/a/secret"], "readonlyPaths": ["/vol/a/dir"]}},
}


class Exchanging(threading.Thread):
    """Exchanges two names all the time."""

    def __init__(self, one: Path, other: Path) -> None:
        super().__init__(daemon=True)
        self.names, self.over, self.times = (bytes(one), bytes(other)), False, 0

    def run(self) -> None:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
        while not self.over:
            self.times += renameat2(-100, self.names[0], -100, self.names[1], RENAME_EXCHANGE) == 0

    def __enter__(self) -> Exchanging:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        self.join()


@pytest.fixture
def outside(place: Path) -> Iterator[Path]:
    """What the link leads to on the host; a place in which nothing must appear."""
    folder = place / "outside"
    (folder / "dir").mkdir(parents=True)
    (folder / "secret").write_text("the host's\n")
    mounts = world.text("/proc/self/mountinfo")
    yield folder
    assert sorted(path.name for path in folder.rglob("*")) == ["dir", "secret"]
    assert (folder / "secret").read_text() == "the host's\n"
    assert world.text("/proc/self/mountinfo") == mounts


@pytest.mark.parametrize("what", RACED)
def test_nothing_gets_out(what: str, outside: Path, runtime: Runtime, place: Path, name: str) -> None:
    config = bundles.merge(docker_like(process={"args": ["cat", "/proc/self/mountinfo"]}), RACED[what])
    bundle = bundles.bundle(place / "bundle", config)
    volume = bundle / "rootfs/vol"
    (volume / "a/dir").mkdir(parents=True)
    (volume / "a/secret").touch()
    (volume / "link").symlink_to(outside)
    # What the link means in the container.
    (bundle / f"rootfs{outside}/dir").mkdir(parents=True)
    mounted = refused = 0
    wanted = {"tmpfs": 1, "bind": 1, "proc": 1}.get(what, 0)
    with Exchanging(volume / "a", volume / "link") as exchanging:
        for _ in range(ROUNDS):
            outcome = runtime.run(name, bundle)
            refused += outcome.status != 0
            if outcome.status == 0:
                points = [line.split(" ")[4] for line in outcome.stdout.splitlines()]
                found = [point for point in points if point.startswith(("/vol/", str(outside)))]
                # A mount that is not seen from inside went somewhere else.
                assert len(found) >= wanted, (found, outcome.stdout)
                mounted += 1
    assert exchanging.times > 1000 and mounted > ROUNDS / 5, (exchanging.times, mounted, refused)


# CVE-2025-31133, CVE-2025-52565, CVE-2026-41579: /dev itself is exchanged while devices, links and masks are made.
def test_dev_is_exchanged(outside: Path, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(
        mounts=NO_DEV, linux={"maskedPaths": ["/etc/passwd"]}, process={"args": ["wc", "-c", "/etc/passwd"]}))
    (bundle / "rootfs/link").symlink_to(outside)
    succeeded = 0
    with Exchanging(bundle / "rootfs/dev", bundle / "rootfs/link") as exchanging:
        for _ in range(ROUNDS):
            outcome = runtime.run(name, bundle)
            if outcome.status == 0:
                assert outcome.stdout.split()[0] == "0"
                succeeded += 1
    assert exchanging.times > 1000 and succeeded, (exchanging.times, succeeded)


# The same for the way in of exec: its working directory, its terminal's devpts, its /etc/passwd.
def test_exec_is_led_nowhere(outside: Path, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    volume = bundle / "rootfs/vol"
    (volume / "a/dir").mkdir(parents=True)
    (volume / "link").symlink_to("/proc/self/fd")
    runtime.create(name, bundle)
    runtime.ok("start", name)
    leaked = os.open(outside, os.O_RDONLY | os.O_DIRECTORY)
    (volume / "a" / str(leaked)).mkdir()
    statuses = []
    with Exchanging(volume / "a", volume / "link") as exchanging:
        for _ in range(ROUNDS):
            outcome = runtime("exec", "--cwd", f"/vol/a/{leaked}", name, "ls", "-a", ".", pass_fds=[leaked])
            assert "secret" not in outcome.stdout
            statuses.append(outcome.status)
    os.close(leaked)
    assert exchanging.times > 1000 and 0 in statuses and any(statuses), statuses
