"""What C does in one call is what the steps do one by one, and where it is not as usual it has done nothing."""
from __future__ import annotations

import itertools
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyrunc._native import lib
from pyrunc.engine.facts import Facts
from pyrunc.errors import ConfigError, StepError
from pyrunc.host import Host, probe
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import StepByStep

from ..faults import injection
from ..forked import forked
from .rootfs import CLONE_NEWNS, apply, config, enter, own_user_namespace, steps
from .usual_marked import look

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


class OneByOne(StepByStep, Kernel):
    """Never asks C for all of it."""


class Counting(Kernel):
    """Counts what C did by itself."""
    done = 0

    def usual_mount(self, root_fd: int, path: bytes, kind: bytes, options: bytes, attributes: int, how: int) -> int:
        mount = super().usual_mount(root_fd, path, kind, options, attributes, how)
        self.done += mount >= 0
        return mount

    def usual_node(self, root_fd: int, path: str, mode: int, device: int, uid: int, gid: int) -> bool:
        done = super().usual_node(root_fd, path, mode, device, uid, gid)
        self.done += done
        return done

    def usual_readonly(self, root_fd: int, path: str) -> bool:
        done = super().usual_readonly(root_fd, path)
        self.done += done
        return done

    def usual_mask(self, root_fd: int, path: str, file_fd: int, directory_fd: int) -> bool:
        done = super().usual_mask(root_fd, path, file_fd, directory_fd)
        self.done += done
        return done


def outcome(kernel: type[Kernel], bundle: Path, wanted: Callable[[Path], Any], in_userns: bool = False
            ) -> tuple[Any, int]:
    """(what is there then, or the error; how often C did it all), in a bundle of its own."""
    bundle.mkdir()
    given = wanted(bundle)

    def act() -> tuple[Any, int]:
        used, facts = kernel(), Facts()
        if in_userns:
            held(bundle / "rootfs")
            own_user_namespace()
        before = len(os.listdir("/proc/self/fd"))
        try:
            apply(steps(given, bundle, Host(in_userns=True) if in_userns else probe(), with_devices=True), used, facts)
        except (ConfigError, StepError) as error:
            return str(error).replace(str(bundle), "BUNDLE"), 0
        kept = len(os.listdir("/proc/self/fd")) - before         # (what steps remember is closed before execve)
        enter(facts.root_fd)
        return (*look(), kept), getattr(used, "done", 0)
    return forked(act, CLONE_NEWNS)


def held(root: Path) -> None:
    """Mounts that the next user namespace may neither take apart nor make weaker (mount_namespaces(7))."""
    nosuid, nodev, noexec, noatime, readonly = 2, 4, 8, 1 << 10, 1
    for place, flags in ((root / "a/held", nosuid | nodev | noexec | noatime), (root / "a/ro", readonly)):
        assert lib.pr_mount(b"held", bytes(place), b"tmpfs", flags, b"mode=755") == 0


def mount(place: str, kind: str = "tmpfs", *options: str, source: str = "none") -> dict[str, Any]:
    return {"destination": place, "type": kind, "source": source, "options": list(options)}


ORDINARY = [mount("/proc", "proc"), mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
            mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
            mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"), mount("/sys", "sysfs", "nosuid", "ro")]


def ordinary(bundle: Path) -> Any:
    for name in ("proc", "sys", "dev", "a/b"):
        (bundle / "rootfs" / name).mkdir(parents=True)
    (bundle / "rootfs/file").write_text("secret")
    return config(bundle, ORDINARY, namespaces=("mount", "pid"),
                  maskedPaths=["/proc/kcore", "/proc/keys", "/sys/firmware", "/proc/gone", "/file", "/a/b",
                               "/proc/acpi"],
                  readonlyPaths=["/proc/sys", "/proc/gone", "/file/x", "/a"],
                  devices=[{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 3},
                           {"path": "/dev/fifo", "type": "p", "fileMode": 0o622}])


def test_an_ordinary_container(tmp_path: Path) -> None:
    quick, done = outcome(Counting, tmp_path / "quick", ordinary)
    slow, _ = outcome(OneByOne, tmp_path / "slow", ordinary)
    assert quick == slow
    assert "/dev/pts" in quick[0] and done >= 6 + 8 + 4 + 4


def tree(*make: str, mounts: list[dict[str, Any]] | None = None, **linux: Any) -> Callable[[Path], Any]:
    """A root of these names: DIR/, FILE, or LINK -> TARGET, with a mode after "#"."""
    def made(bundle: Path) -> Any:
        root = bundle / "rootfs"
        root.mkdir()
        for word in make:
            word, _, mode = word.partition("#")
            name, arrow, target = word.partition("->")
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            if arrow:
                (root / name).symlink_to(target)
            elif name.endswith("/"):
                (root / name).mkdir(exist_ok=True)
            else:
                (root / name).write_text("text")
            if mode:
                (root / name).chmod(int(mode, 8))
        return config(bundle, mounts, **linux)
    return made


CASES: dict[str, Callable[[Path], Any]] = {
    "the mode of what is covered": tree("dev/", "m/#1751", mounts=[mount("/m")]),
    "the mode that is asked for": tree("dev/", "m/#1751", mounts=[mount("/m", "tmpfs", "mode=700")]),
    "a missing place": tree("dev/", mounts=[mount("/m")]),
    "a place missing with those above": tree("dev/", mounts=[mount("/a/b/c")]),
    "a place at the end of a link": tree("dev/", "m/", "l->/m", mounts=[mount("/l"), mount("/l/x")]),
    "a link out of the root": tree("dev/", "l->/../../..", mounts=[mount("/l")]),
    "a relative link out of the root": tree("dev/", "a/b/", "a/l->../../../../a/b", mounts=[mount("/a/l")]),
    "a dangling link": tree("dev/", "l->/x/y", mounts=[mount("/l")]),
    "links in a circle": tree("dev/", "l->l", mounts=[mount("/l")]),
    "a file as the place": tree("dev/", "f", mounts=[mount("/f")]),
    "a file above the place": tree("dev/", "f", mounts=[mount("/f/x")]),
    "a link to the root": tree("dev/", "l->/", mounts=[mount("/l")]),
    "a link into proc": tree("dev/", "proc/", "l->/proc/self", mounts=[mount("/proc", "proc"), mount("/l")]),
    "a link to a magic link": tree("dev/", "proc/", "l->/proc/self/cwd", mounts=[mount("/proc", "proc"), mount("/l")]),
    "proc on a link": tree("dev/", "p/", "proc->/p", mounts=[mount("/proc", "proc")]),
    "proc below a link": tree("dev/", "p/", "l->/p", mounts=[mount("/l/proc", "proc")]),
    "sysfs on a file": tree("dev/", "sys", mounts=[mount("/sys", "sysfs")]),
    "proc on a missing place": tree("dev/", mounts=[mount("/x/proc", "proc")]),
    "an unknown option": tree("dev/", mounts=[mount("/m", "tmpfs", "mode=700", "siez=1")]),
    "an option's value that is wrong": tree("dev/", mounts=[mount("/m", "tmpfs", "size=much")]),
    "an unknown file system": tree("dev/", mounts=[mount("/m", "nofs")]),
    "a file system without its device": tree("dev/", mounts=[mount("/m", "ext4")]),
    "a name of other letters": tree("dev/", mounts=[mount("/ä b"), mount("/ä b/\n")]),
    "read-only, filled before": tree("dev/", mounts=[mount("/m", "tmpfs", "ro"), mount("/m/in", "tmpfs", "ro")]),
    "a read-only /dev": tree("dev/", mounts=[mount("/dev", "tmpfs", "ro")]),
    "flags of the file system": tree("dev/", mounts=[mount("/m", "tmpfs", "sync", "lazytime", "noatime")]),
    "recursive flags": tree("dev/", mounts=[mount("/m", "tmpfs", "rro", "rshared")]),
    "a device over the right one": tree("dev/", devices=[{"path": "/dev/null", "type": "c", "major": 1, "minor": 3}]),
    "a device over a file": tree("dev/zero"),
    "a device over a link": tree("dev/x", "dev/zero->x"),
    "devices where /dev is a link": tree("d/", "dev->/d"),
    "devices without a /dev": tree(),
    "a device in a folder that is missing": tree("dev/", devices=[{"path": "/dev/a/b", "type": "p"}]),
    "the same path masked and read-only": tree("dev/", "a/b/c", maskedPaths=["/a"], readonlyPaths=["/a"]),
    "paths through links": tree("dev/", "a/b/", "l->/a", "m->/a/b", maskedPaths=["/l/b"], readonlyPaths=["/m", "/l"]),
    "the root read-only": tree("dev/", readonlyPaths=["/"]),
    "the root masked": tree("dev/", "l->/", maskedPaths=["/l"]),
    "masked files and folders": tree("dev/", "a", "b", "c/", "d/", "e->/a", maskedPaths=[f"/{x}" for x in "abcdef"]),
    "paths through a circle": tree("dev/", "l->l", maskedPaths=["/l"]),
    "paths through a magic link": tree("dev/", "proc/", "a", "l->/proc/self/root", "m->/proc/self/fd/0",
                                       mounts=[mount("/proc", "proc")], maskedPaths=["/a"],
                                       readonlyPaths=["/l/a", "/m"]),
    "masked through a magic link": tree("dev/", "proc/", "a", "l->/proc/self/root", mounts=[mount("/proc", "proc")],
                                        maskedPaths=["/a", "/l/a"]),
    "paths up and out": tree("dev/", "a/b/", "a/l->../../../a", maskedPaths=["/../a/b", "/a/l/../a/b"],
                             readonlyPaths=["/a/../../a", "/../.."]),
    "devices behind a magic link": tree("proc/", "dev->/proc/self/root", mounts=[mount("/proc", "proc")]),
    "devices behind a descriptor": tree("proc/", "dev->/proc/self/fd/0", mounts=[mount("/proc", "proc")]),
    "a mount behind a magic link": tree("dev/", "proc/", "l->/proc/self/root", mounts=[
        mount("/proc", "proc"), mount("/l/new")]),
    "proc where a magic link is": tree("dev/", "proc/", "p->/proc/self/root", mounts=[
        mount("/proc", "proc"), mount("/p", "proc"), mount("/p/new", "sysfs")]),
    "a device over a folder": tree("dev/zero/"),
    "a device over a fifo": tree("dev/", devices=[{"path": "/dev/p", "type": "p"}, {"path": "/dev/q", "type": "c",
                                                                                    "major": 1, "minor": 3}]),
    "a file in the place of a device's folder": tree("dev/", "f", devices=[{"path": "/f/x", "type": "p"}]),
    "a file in the place of /dev": tree("dev"),
    "read-only below a mount": tree("dev/", "m/", mounts=[mount("/m"), mount("/m/n")], readonlyPaths=["/m", "/m/n"]),
}


@pytest.mark.parametrize("case", CASES)
def test_whatever_is_there_it_ends_as_step_by_step(case: str, tmp_path: Path) -> None:
    quick, _ = outcome(Kernel, tmp_path / "quick", CASES[case])
    slow, _ = outcome(OneByOne, tmp_path / "slow", CASES[case])
    assert quick == slow


@pytest.mark.parametrize("case", ["held", "covered", "masked"])
def test_what_a_user_namespace_may_not_change(case: str, tmp_path: Path) -> None:
    """Mounts whose flags are locked, and that may not be copied without what lies on them."""
    wanted = tree("dev/", "a/held/", "a/ro/", "a/b", mounts=[mount("/a/held")] if case == "covered" else [],
                  namespaces=("mount", "user"),
                  maskedPaths=["/dev/null", *["/a/held", "/a/ro", "/a/b"] * (case == "masked")],
                  readonlyPaths=["/a", "/a/held", "/a/ro", "/a/b"])
    quick, done = outcome(Counting, tmp_path / "quick", wanted, in_userns=True)
    slow, _ = outcome(OneByOne, tmp_path / "slow", wanted, in_userns=True)
    assert quick == slow
    assert done >= 4
    assert case != "held" or {"nosuid", "nodev", "noexec", "noatime"} <= set(quick[0]["/a/held"][2])


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    """A place that was made is taken away, so that the steps find all as it was; no descriptor stays open."""
    (tmp_path / "root").mkdir()

    def act() -> Any:
        kernel = Kernel()
        root = os.open(tmp_path / "root", os.O_PATH)
        before = sorted(os.listdir("/proc/self/fd"))
        results = [kernel.usual_mount(root, b"/m", b"tmpfs", b"ssize\0much\0", 0, 0),
                   kernel.usual_mount(root, b"/m", b"nofs", b"", 0, 0),
                   kernel.usual_mount(root, b"/no/m", b"tmpfs", b"", 0, 0),
                   kernel.usual_mount(root, b"/", b"tmpfs", b"", 0, 0),
                   kernel.usual_node(root, "/no/x", stat.S_IFIFO | 0o600, 0, 0, 0),
                   kernel.usual_readonly(root, "/"), kernel.usual_mask(root, "/", -1, -1)]
        return results, before == sorted(os.listdir("/proc/self/fd")), os.listdir(tmp_path / "root")
    assert forked(act, CLONE_NEWNS) == ([-1, -1, -1, -1, False, False, False], True, [])


EXCHANGE = """
import ctypes, sys
renameat2, times = ctypes.CDLL(None).renameat2, 0
print("ready", flush=True)
while True:
    renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2)
"""


def test_what_is_exchanged_meanwhile_leads_nowhere(tmp_path: Path) -> None:
    """A directory of the root is a link out of it every other moment: each call alone, without the step behind it."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "v/a/dir", root / "v/a/full", outside / "dir", outside / "full"):
        folder.mkdir(parents=True)
    for file in (root / "v/a/secret", outside / "secret"):
        file.write_text("secret")
    (root / "v/l").symlink_to(outside)
    (root / str(outside).lstrip("/")).mkdir(parents=True)       # what it means inside
    before = sorted(str(path) for path in outside.rglob("*"))

    def act() -> Any:
        kernel, fd = Kernel(), os.open(root, os.O_PATH)
        patterns = os.open("/dev/null", os.O_PATH), os.open(root / "v", os.O_PATH)
        open_before = len(os.listdir("/proc/self/fd"))
        done = [0] * 6
        for number in range(300):
            done[0] += kernel.usual_mount(fd, b"/v/a/full", b"tmpfs", b"", 0, 2) >= 0
            done[1] += kernel.usual_mount(fd, b"/v/a/new%d" % number, b"tmpfs", b"", 0, 0) >= 0
            done[2] += kernel.usual_mount(fd, b"/v/a/dir", b"proc", b"", 0, 1) >= 0
            done[3] += kernel.usual_node(fd, f"/v/a/node{number}", stat.S_IFCHR | 0o600, os.makedev(1, 3), 7, 7)
            done[4] += kernel.usual_readonly(fd, "/v/a/dir")
            done[5] += kernel.usual_mask(fd, "/v/a/secret", *patterns)
            for line in Path("/proc/self/mountinfo").read_text().splitlines():
                assert not line.split()[4].startswith(str(outside)), line
        return done, len(os.listdir("/proc/self/fd")) - open_before
    argv = [sys.executable, "-c", EXCHANGE, str(root / "v/a"), str(root / "v/l")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == b"ready\n"
            done, left = forked(act, CLONE_NEWNS)
        finally:
            other.kill()
    assert left == 0 and all(done) and not all(count == 300 for count in done), done
    assert sorted(str(path) for path in outside.rglob("*")) == before


@pytest.mark.timeout(600)
def test_whatever_fails_the_steps_end_as_they_would(tmp_path: Path) -> None:
    """Each system call of C's way fails once: nothing of it is left that the steps would take for the container's."""
    bundle, log = tmp_path / "bundle", tmp_path / "log"
    argv = [sys.executable, "-m", "tests.steps.usual_marked", str(bundle)]

    def outcome_of(fault: str = "") -> injection.Outcome:
        shutil.rmtree(bundle, ignore_errors=True)
        bundle.mkdir()
        return injection.run(argv, log, fault)
    whole = outcome_of()
    assert whole.status == 0, whole.stderr
    marked, calls = False, []
    for line in log.read_text().splitlines():
        process, number, occurrence, _, _ = line.split(" ", 4)
        name = injection.names().get(int(number), "")
        marked ^= name == "getpriority"
        if marked and name not in injection.CANNOT | {"getpriority"}:
            calls.append(f"{process}:{number}:{occurrence}")
    assert len(calls) > 50
    errors = itertools.cycle(injection.ERRORS)
    for call, error in zip(calls, errors):
        then = outcome_of(f"{call}:{error}")
        assert (then.done, then.status, then.stdout) == (True, 0, whole.stdout), (call, error, then.stderr)
