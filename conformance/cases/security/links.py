"""Links and other files that an image has where the runtime makes or reads something."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ...harness import bundles, isolation
from ...harness.hostile import SECRET, attempt, kept, link, terminals, up
from ...harness.trial import Trial
from ...model import Fails, ask, ask_each

NO_DEV = [bundles.PROC]
SYS = {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}
CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}
MQUEUE = {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"}
PROC_LINKS = "CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867"
OUT = "CVE-2019-18837, CVE-2021-30465, CVE-2024-45310, CVE-2025-24965"

#: The link in the image, and what config.json wants made behind it.
BEHIND: dict[str, tuple[str, dict[str, Any]]] = {
    "tmpfs": ("data", {"mounts": [*bundles.MOUNTS, bundles.tmpfs("/data/sub/dir")]}),
    "file": ("data", {"mounts": [*bundles.MOUNTS, bundles.bind("DECOY/file", "/data/file")]}),
    "copy": ("data", {"mounts": [*bundles.MOUNTS, bundles.tmpfs("/data", "tmpcopyup")]}),
    "cwd": ("data", {"process": {"cwd": "/data/new"}}),
    "device": ("data", {"linux": {"devices": [{"path": "/data/node", "type": "c", "major": 1, "minor": 3}]}}),
    "masks": ("data", {"linux": {"readonlyPaths": ["/data"], "maskedPaths": ["/data/secret"]}}),
    "mqueue": ("dev/mqueue", {"mounts": [*NO_DEV, MQUEUE]}),
    "cgroup": ("sys/fs/cgroup", {"mounts": [*bundles.MOUNTS, CGROUP]}),
    "run": ("run", {}),
}


def reads_nothing(t: Trial, stdout: str) -> None:
    t.true(SECRET.strip() not in stdout, f"the program reads a file of the machine: {stdout[:200]!r}")


@ask_each("security", {f"{name}, {how}": (OUT, name, how == "climbing") for name in BEHIND
                       for how in ("absolute", "climbing")}, seconds=40)
def place_behind_a_link(t: Trial, name: str, climbs: bool) -> None:
    """what is made behind a link of the image is made in the root, or refused"""
    where, changes = BEHIND[name]
    changes = bundles.placed(changes, DECOY=t.decoy())
    with kept(t) as outside:
        bundle = t.bundle(**bundles.merge(changes, {"process": {"args": ["sh", "-c", f"cat {outside}/secret; true"]}}))
        link(bundle / "rootfs" / where, up(outside) if climbs else outside)
        env = {"PATH": os.environ.get("PATH", bundles.PATH[5:]), "NOTIFY_SOCKET": str(t.place / "none")}
        reads_nothing(t, attempt(t, bundle, env=env).stdout)


@ask_each("security", {f"{name} to {target}": (PROC_LINKS, name, target) for name in ("proc", "sys")
                       for target in ("OUTSIDE", "tmp", "CLIMBING")})
def proc_or_sys_is_a_link(t: Trial, name: str, target: str) -> None:
    """/proc and /sys are mounted where they belong, or not at all"""
    with kept(t) as outside:
        bundle = t.bundle(mounts=[*bundles.MOUNTS, SYS], process={"args": ["cat", "/proc/self/mountinfo"]})
        link(bundle / "rootfs" / name, target.replace("OUTSIDE", str(outside)).replace("CLIMBING", up(outside)))
        done = attempt(t, bundle)
        places = [line.split()[4] for line in done.stdout.splitlines()]
        t.true(done.status or f"/{name}" in places, f"{name} is mounted elsewhere: {places}")


@ask_each("security", {
    "all of it": ("CVE-2019-16884, CVE-2025-52881", "/proc"),
    "the label": ("CVE-2025-62596, apptainer's CVE-2025-65105", "/proc/self/attr/exec"),
    "parameters": ("CVE-2025-52881", "/proc/sys"), "self": ("CVE-2025-52881", "/proc/self"),
    "through a link": ("CVE-2025-52881", "/link/self/attr"),
    "climbing": ("CVE-2025-52881", "/proc/../proc/sys/kernel")})
def volume_over_proc(t: Trial, destination: str) -> None:
    """what a runtime writes to /proc is not written to a volume that lies over it"""
    with kept(t) as outside:
        bundle = t.bundle(mounts=[*bundles.MOUNTS, bundles.bind(outside, destination, "rw")],
                          linux={"sysctl": {"kernel.shm_rmid_forced": "1"}},
                          process={"args": ["cat", "/proc/sys/kernel/shm_rmid_forced"]})
        (bundle / "rootfs/link").symlink_to("/proc")
        done = attempt(t, bundle)
        t.true(done.status or done.stdout.strip() == "1" or destination == "/proc",
               f"the container runs, and its parameter is {done.stdout!r}")
        t.true(done.status or destination != "/proc", "the container runs with a folder as /proc")


@ask_each("security", {"folder": ("CVE-2025-52881, CVE-2025-62596", "/proc/self"),
                       "file": ("CVE-2025-62596, apptainer's CVE-2025-65105", "/proc/self/sched")})
def part_of_procfs_over_proc(t: Trial, source: str) -> None:
    """a part of a procfs is not taken for /proc or for a file of it"""
    if source.endswith("sched"):
        t.needs_file(source)
    destination = "/proc" if source == "/proc/self" else "/proc/self/attr/exec"
    first = [] if destination == "/proc" else [bundles.PROC]
    mounts = [*first, {"destination": destination, "source": source, "type": "bind", "options": ["rbind"]},
              *bundles.MOUNTS[1:]]
    done = attempt(t, mounts=mounts)
    t.true(done.status, f"{source} lies over {destination}, and the container runs")


@ask_each("security", {"absolute": ("CVE-2026-41579, CVE-2026-47766", False),
                       "climbing": ("CVE-2026-41579, CVE-2026-47766", True)})
def dev_is_a_link(t: Trial, climbs: bool) -> None:
    """a /dev of the image that is a link: nothing is made or removed on the machine"""
    with kept(t) as outside:
        bundle = t.bundle(mounts=NO_DEV)
        link(bundle / "rootfs/dev", up(outside) if climbs else outside)
        attempt(t, bundle)


@ask_each("security", {"new": ("CVE-2026-88264", "OUTSIDE/new"), "climbing": ("CVE-2026-88264", "CLIMBING/new"),
                       "file": ("CVE-2025-52565", "OUTSIDE/secret"), "memory": ("CVE-2025-52565", "/proc/self/mem")})
def console_is_a_link(t: Trial, target: str) -> None:
    """a /dev/console of the image that is a link is not made, opened or covered on the machine"""
    pts = {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]}
    with kept(t) as outside:
        bundle = t.bundle(mounts=[bundles.PROC, pts], process={"terminal": True, "args": ["true"]})
        link(bundle / "rootfs/dev/console", target.replace("OUTSIDE", str(outside)).replace("CLIMBING", up(outside)))
        with terminals(t) as socket:
            attempt(t, bundle, options=["--console-socket", socket])


@ask_each("security", {"file": ("CVE-2025-52565", "OUTSIDE/ptmx"), "the machine's": ("CVE-2025-52565", "/dev/ptmx"),
                       "procfs": ("CVE-2025-52565", "/proc/version")})
def multiplexer_is_a_link(t: Trial, target: str) -> None:
    """a ptmx of the image is not taken for the multiplexer of terminals"""
    with kept(t) as outside:
        bundle = t.bundle(mounts=[bundles.PROC], process={"terminal": True, "args": ["sleep", "1"]})
        (bundle / "rootfs/dev/pts").mkdir()
        link(bundle / "rootfs/dev/pts/ptmx", target.replace("OUTSIDE", str(outside)))
        with terminals(t) as socket:
            done = attempt(t, bundle, options=["--console-socket", socket])
            t.true(done.status, f"the container runs, and its multiplexer is {target}")


@ask_each("security", {"link": ("CVE-2026-88265", False), "bind mount": ("CVE-2026-88265", True)})
def standard_streams_on_a_false_null(t: Trial, bound: bool) -> None:
    """a /dev/null that is a file of the machine is not given away, nor opened for the program"""
    with kept(t) as outside:
        bundle = t.bundle(mounts=NO_DEV, process={"user": {"uid": 1234, "gid": 1234}, "args": ["cat"]})
        null = bundle / "rootfs/dev/null"
        if bound:
            null.touch()
            isolation.mount(str(outside / "null"), null, flags=isolation.MS_BIND)
        else:
            link(null, outside / "null")
        try:
            reads_nothing(t, attempt(t, bundle).stdout)
        finally:
            if bound:
                isolation.unmount(null)


@ask_each("security", {target: ("CVE-2025-31133, CVE-2025-62161", target)
                       for target in ("/proc/version", "/proc/self/mem", "OUTSIDE/null", "zero", "/only/inside")})
def mask_is_another_file(t: Trial, target: str) -> None:
    """what masks is the null device, and nothing that the image calls so"""
    with kept(t) as outside:
        volume = t.place / "dev"
        volume.mkdir()
        os.mknod(volume / "zero", 0o020666, os.makedev(1, 5))
        (volume / "null").symlink_to(target.replace("OUTSIDE", str(outside)))
        bundle = t.bundle(mounts=[*NO_DEV, bundles.bind(volume, "/dev")], linux={"maskedPaths": ["/masked"]},
                          process={"args": ["sh", "-c", "stat -c %t:%T /masked; head -c 99 /masked"]})
        (bundle / "rootfs/masked").write_text("masked\n")
        (bundle / "rootfs/only").mkdir()
        (bundle / "rootfs/only/inside").write_text("of the image\n")
        done = attempt(t, bundle)
        t.true(done.status or done.stdout == "1:3\n", f"the masked file is {done.stdout[:100]!r}")


@ask_each("security", {"none": ("CVE-2026-115521", ""), "planted": ("CVE-2026-115521", "planted"),
                       "tmpfs": ("CVE-2026-115521", "tmpfs")})
def false_proc_and_a_root_that_is_read_only(t: Trial, proc: str) -> None:
    """a false /proc does not keep the root or a path writable"""
    mounts = [*bundles.MOUNTS[1:], *([bundles.tmpfs("/proc2")] if proc == "tmpfs" else [])]
    bundle = t.bundle(mounts=mounts, root={"path": "rootfs", "readonly": True}, linux={"readonlyPaths": ["/etc"]},
                      process={"args": ["sh", "-c", "touch /new /etc/new; echo done"]})
    (bundle / "rootfs/only/inside").mkdir(parents=True)
    if proc == "planted":
        for who in ("self", "thread-self", "1"):
            folder = bundle / "rootfs/proc" / who / "fd"
            folder.mkdir(parents=True)
            for number in range(64):
                (folder / str(number)).symlink_to("/only/inside")
    attempt(t, bundle)
    made = [name for name in ("new", "etc/new") if (bundle / "rootfs" / name).exists()]
    t.equal(made, [], "made on a root that is read-only")


@ask_each("security", {kind: ("CVE-2016-3697 and the like", kind)
                       for kind in ("fifo", "directory", "the machine's", "device", "huge")}, seconds=40)
def passwd_of_the_image(t: Trial, kind: str) -> None:
    """a passwd of the image that is something else is not waited for, obeyed or read to its end"""
    with kept(t) as outside:
        bundle = t.bundle(process={"args": ["cat", "/proc/self/environ"], "user": {"uid": 7, "gid": 7}})
        path: Path = bundle / "rootfs/etc/passwd"
        path.unlink()
        other = t.place / "passwd"
        other.write_text("user:x:7:7::/of/the/machine:/bin/sh\n")
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        elif kind == "the machine's":
            path.symlink_to(up(other))
        elif kind == "device":
            os.mknod(path, 0o020666, os.makedev(1, 5))
        else:
            with path.open("wb") as file:
                file.truncate(1 << 40)
        done = attempt(t, bundle)
        t.true(outside.name not in done.stdout and "/of/the/machine" not in done.stdout,
               f"the program's home is of the machine's: {done.stdout!r}")
        if not done.ran:
            raise Fails(f"a passwd that is a {kind} keeps the container from running: {done.stderr[-300:]}")


@ask("security", "kubelet's CVE-2017-1002101: a source in the root does not follow a link of the image")
def source_through_a_link_of_the_image(t: Trial) -> None:
    """a bind mount whose source is a path of the root shows nothing of the machine, whatever link is there"""
    with kept(t) as outside:
        bundle = t.bundle(mounts=[*bundles.MOUNTS, bundles.bind("rootfs/volume/inner", "/mnt")],
                          process={"args": ["cat", "/mnt/secret"]})
        link(bundle / "rootfs/volume/inner", outside)
        reads_nothing(t, attempt(t, bundle).stdout)


@ask("security", "kata's CVE-2020-2026: unmounting follows no link")
def link_at_delete(t: Trial) -> None:
    """links that are where mounts were do not lead delete to mounts of the machine"""
    outside = t.place / "mounted"
    outside.mkdir()
    isolation.mount("tmpfs", outside, "tmpfs")
    (outside / "file").touch()
    bundle = t.bundle(mounts=[*bundles.MOUNTS, bundles.tmpfs("/mnt")], process={"args": ["sleep", "600"]})
    made = t.create(bundle).start()
    try:
        for name in ("mnt", "proc", "sys", "dev"):
            folder = bundle / "rootfs" / name
            folder.rename(folder.with_name(f"{name}.before"))
            folder.symlink_to(outside)
        t.runtime("delete", "--force", made.id)
        t.true((outside / "file").exists(), "a mount of the machine was unmounted or emptied")
    finally:
        isolation.unmount(outside)


@ask("security", "bwrap's CVE-2019-12439: names in /tmp")
def names_in_temporary_folders(t: Trial) -> None:
    """a runtime makes nothing in folders where any user can make a name before it"""
    folders = [t.place / "tmp", Path("/var/tmp"), Path("/dev/shm")]
    folders[0].mkdir(mode=0o1777)
    for folder in folders[1:]:
        isolation.mount("tmpfs", folder, "tmpfs", data="mode=1777")
    before = [folder.stat().st_mtime_ns for folder in folders]
    env = {"PATH": os.environ.get("PATH", bundles.PATH[5:]), "TMPDIR": str(folders[0])}
    done = attempt(t, env=env)
    changed = [str(folder) for folder, time in zip(folders, before, strict=True) if folder.stat().st_mtime_ns != time]
    for folder in folders[1:]:
        isolation.unmount(folder)
    t.true(done.ran, f"the container does not run: {done.stderr[-200:]}")
    t.equal(changed, [], "folders for anyone in which names were made")
