"""Another container shares a volume with a root that is put together, and exchanges folders for links meanwhile."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ...harness import bundles
from ...harness.exchanging import Exchanging
from ...harness.hostile import SECRET, attempt, execute, kept, terminals
from ...harness.trial import Trial
from ...model import Fails, OutOfTime, ask, ask_each

ROUNDS = range(25)
SECONDS = 25                    # in which a case begins rounds
HOLES = "CVE-2021-30465, CVE-2024-45310"
#: What is put at a place that is exchanged all the time: what config.json says, and how many mounts come of it.
RACED: dict[str, tuple[str, int, dict[str, Any]]] = {
    "tmpfs": (HOLES, 1, {"mounts": [*bundles.MOUNTS, bundles.tmpfs("/vol/a/b", "size=4k")]}),
    "tmpfs at it": (HOLES, 1, {"mounts": [*bundles.MOUNTS, bundles.tmpfs("/vol/a", "size=4k")]}),
    "file": (HOLES, 1, {"mounts": [*bundles.MOUNTS, bundles.bind("DECOY/file", "/vol/a/f", "ro")]}),
    "folder": (HOLES, 1, {"mounts": [*bundles.MOUNTS, bundles.bind("DECOY", "/vol/a/new/g", "ro")]}),
    "proc": ("CVE-2019-19921", 1, {"mounts": [*bundles.MOUNTS, {**bundles.PROC, "destination": "/vol/a/p"}]}),
    "copy": (HOLES, 1, {"mounts": [*bundles.MOUNTS, bundles.tmpfs("/vol/a/c", "tmpcopyup")]}),
    "device": ("CVE-2026-41579", 0, {"linux": {"devices": [
        {"path": "/vol/a/node", "type": "c", "major": 1, "minor": 3}]}}),
    "cwd": ("CVE-2024-21626", 0, {"process": {"cwd": "/vol/a/new"}}),
    "masks": ("CVE-2025-31133, GHSA-3q8j-pf29-vwv8", 0, {"linux": {
        "maskedPaths": ["/vol/a/secret"], "readonlyPaths": ["/vol/a/dir"]}})}


def volume(t: Trial, bundle: Path, outside: Path) -> tuple[Path, Path]:
    """A volume in the root with a folder, and a link to what the machine has; what the link means inside is there."""
    place = bundle / "rootfs/vol"
    (place / "a/dir").mkdir(parents=True)
    (place / "a/secret").touch()
    (place / "link").symlink_to(outside)
    (bundle / f"rootfs{outside}/dir").mkdir(parents=True)
    return place / "a", place / "link"


@ask_each("race", {name: (hole, name) for name, (hole, _, _) in RACED.items()}, seconds=120)
def place_that_is_exchanged(t: Trial, name: str) -> None:
    """what is made at a place that is exchanged for a link all the time is made in the root, or refused"""
    _, wanted, changes = RACED[name]
    changes = bundles.placed(changes, DECOY=t.decoy())
    ran = 0
    with kept(t) as outside:
        bundle = t.bundle(**bundles.merge({"process": {"args": ["cat", "/proc/self/mountinfo"]}}, changes))
        with Exchanging(*volume(t, bundle, outside)):
            for _ in t.tries(ROUNDS, SECONDS):
                done = attempt(t, bundle)
                del t.runtime.log[:-6]
                if not done.ran:
                    continue
                ran += 1
                places = [line.split(" ")[4] for line in done.stdout.splitlines()]
                found = [place for place in places if place.startswith(("/vol/", str(outside)))]
                # A mount that is not seen from inside went somewhere else.
                t.true(len(found) >= wanted, f"round {ran}: the mount is not in the container: {places}")
    if not ran:
        made, wanted = t.tried
        raise (Fails if made == wanted else OutOfTime)(f"none of {made} containers ran: {t.runtime.log[-1][-300:]}")


@ask("race", "CVE-2025-31133, CVE-2025-52565, CVE-2026-41579: /dev is exchanged for a link", seconds=120)
def dev_that_is_exchanged(t: Trial) -> None:
    """devices, links and masks are made in the root's /dev, or create is refused; a mask is never another file"""
    with kept(t) as outside:
        bundle = t.bundle(mounts=[bundles.PROC], linux={"maskedPaths": ["/only/inside"]},
                          process={"args": ["wc", "-c", "/only/inside"]})
        (bundle / "rootfs/only").mkdir()
        (bundle / "rootfs/only/inside").write_text("of the image")
        (bundle / "rootfs/link").symlink_to(outside)
        with Exchanging(bundle / "rootfs/dev", bundle / "rootfs/link"):
            for _ in t.tries(ROUNDS, SECONDS):
                done = attempt(t, bundle)
                del t.runtime.log[:-6]
                t.true(not done.ran or done.stdout.split()[:1] == ["0"], f"the mask shows {done.stdout!r}")


@ask("race", "CVE-2025-31133: the null device is exchanged for a link", seconds=120)
def null_that_is_exchanged(t: Trial) -> None:
    """a masked path is never a file of procfs, which the null device is exchanged for"""
    device = t.place / "dev"
    device.mkdir()
    os.mknod(device / "null", 0o020666, os.makedev(1, 3))
    (device / "link").symlink_to("/proc/version")
    bundle = t.bundle(mounts=[bundles.PROC, bundles.bind(device, "/dev")], linux={"maskedPaths": ["/masked"]},
                      process={"args": ["sh", "-c", "head -c 40 /masked; stat -c %t:%T /masked"]})
    (bundle / "rootfs/masked").write_text("masked")
    with Exchanging(device / "null", device / "link"):
        for _ in t.tries(ROUNDS, SECONDS):
            done = attempt(t, bundle)
            del t.runtime.log[:-6]
            t.true(not done.ran or done.stdout == "1:3\n", f"the mask shows {done.stdout!r}")


@ask("race", "CVE-2025-52565: the multiplexer of terminals is exchanged for a link", seconds=120)
def multiplexer_that_is_exchanged(t: Trial) -> None:
    """a terminal is one of a devpts, or there is none"""
    with kept(t) as outside:
        bundle = t.bundle(mounts=[bundles.PROC], process={"terminal": True, "args": ["true"]})
        folder = bundle / "rootfs/dev"
        (folder / "pts").mkdir()
        (folder / "pts/ptmx").symlink_to("/dev/ptmx")
        (folder / "other").symlink_to(outside)
        with terminals(t) as socket, Exchanging(folder / "pts", folder / "other"):
            for _ in t.tries(ROUNDS, SECONDS):
                attempt(t, bundle, options=["--console-socket", socket])
                del t.runtime.log[:-6]


@ask("race", "GHSA-3q8j-pf29-vwv8: a path is bound in one place and made read-only in another", seconds=120)
def read_only_path_that_is_exchanged(t: Trial) -> None:
    """no mount that a read-only path has become can be written"""
    with kept(t) as outside:
        bundle = t.bundle(linux={"readonlyPaths": ["/vol/a/dir", "/vol/a"]},
                          process={"args": ["cat", "/proc/self/mountinfo"]})
        with Exchanging(*volume(t, bundle, outside)):
            for _ in t.tries(ROUNDS, SECONDS):
                lines = [line.split(" ") for line in attempt(t, bundle).stdout.splitlines()]
                del t.runtime.log[:-6]
                writable = [line[4] for line in lines if line[4].startswith(("/vol/", str(outside)))
                            and "ro" not in line[5].split(",")]
                t.equal(writable, [], "mounts of read-only paths that can be written")


@ask("race", "CVE-2024-21626: the working directory of exec is exchanged for a link", seconds=120)
def working_directory_of_exec(t: Trial) -> None:
    """exec in a folder that is exchanged for a link to a descriptor never begins in a folder of the machine"""
    with kept(t) as outside:
        bundle = t.bundle(process={"args": ["sleep", "600"]})
        leaked = os.open(outside, os.O_RDONLY | os.O_DIRECTORY)
        place = bundle / "rootfs/vol"
        (place / "a" / str(leaked)).mkdir(parents=True)
        (place / "link").symlink_to("/proc/self/fd")
        made = t.create(bundle).start()
        with Exchanging(place / "a", place / "link"):
            for _ in t.tries(ROUNDS, SECONDS):
                done = execute(t, made, "--cwd", f"/vol/a/{leaked}", made.id, "sh", "-c", "ls -a .; cat secret",
                               pass_fds=[leaked])
                del t.runtime.log[:-6]
                t.true(SECRET.strip() not in done.stdout, "exec has begun in a folder of the machine")
        os.close(leaked)
