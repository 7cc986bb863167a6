"""Hosts that lack something, and callers with odd limits or streams: it works, or one clear line says what it needs.

The same for root and for a user. /proc has a file of its own: test_hardened_proc.py.
"""
from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, runtimes, world
from tests.bundles import Config

MS_RDONLY, MS_NOEXEC, MS_REMOUNT = 1, 8, 32
USER = 1000
#: What a process gets from its caller where config.json says nothing.
LIMITS = "ulimit -n; ulimit -c; ulimit -s; ulimit -f"


class Caller:
    """Root or a user, with a bundle and a state root; calls return (status, stdout, stderr)."""

    def __init__(self, who: str, program: str, place: Path, name: str) -> None:
        self.rootless, self.program, self.place, self.name = who == "rootless", program, place, name
        bundles.busybox_root(place / "rootfs")
        self.config("echo works")
        if self.rootless:
            subprocess.run(["chown", "-R", f"{USER}:{USER}", place], check=True)

    def config(self, script: str) -> None:
        config: Config = bundles.docker_like(process={"args": ["sh", "-c", script], "rlimits": []})
        if self.rootless:
            one = [{"containerID": 0, "hostID": USER, "size": 1}]
            config["linux"].update(namespaces=bundles.namespaces("user", "pid", "ipc", "uts", "mount"),
                                   uidMappings=one, gidMappings=one)
            config["process"]["user"].pop("additionalGids")
            config["mounts"] = [{**mount, "options": [o for o in mount["options"] if o != "gid=5"]}
                                for mount in config["mounts"] if not mount["destination"].startswith("/sys")]
        (self.place / "config.json").write_text(json.dumps(config))

    def run(self, *within: str, **options: Any) -> tuple[int, str, str]:
        become = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"] if self.rootless else []
        done = subprocess.run([*become, *within, self.program, "--root", str(self.place / "state"), "run", "--bundle",
                               str(self.place), self.name],
                              stdin=options.pop("stdin", subprocess.DEVNULL), capture_output=True, text=True,
                              timeout=60, check=False, **options)
        return done.returncode, done.stdout, done.stderr

    def works(self, *within: str) -> None:
        assert self.run(*within) == (0, "works\n", "")
        self.nothing_is_left()

    def says(self, what: str, *within: str) -> str:
        """One line with these words, no signal, nothing left."""
        status, out, err = self.run(*within)
        assert status > 0 and out == "" and err.count("\n") == 1 and what in err, (status, out, err)
        self.nothing_is_left()
        return err

    def nothing_is_left(self) -> None:
        state = self.place / "state"
        assert not state.exists() or {p.name for p in state.iterdir()} <= {"@seccomp"}
        assert world.processes_of(self.name) == [] and not (world.CGROUP / self.name).exists()


@pytest.fixture(params=["root", "rootless"])
def caller(request: pytest.FixtureRequest, private_world: None, place: Path, name: str) -> Iterator[Caller]:
    program = runtimes.find(request.config.getoption("runtime"))
    yield Caller(request.param, runtimes.for_anyone(program), place, name)


@contextmanager
def covered(path: str, kind: str = "tmpfs", flags: int = 0) -> Iterator[None]:
    """Something else is mounted there."""
    world.mount("none", Path(path), kind)
    if flags:
        world.mount("none", Path(path), "", MS_REMOUNT | flags)
    try:
        yield
    finally:
        world.unmount(Path(path))


# ---- file systems --------------------------------------------------------------------------------------------------
def test_a_run_that_is_read_only(caller: Caller) -> None:
    with covered("/run", flags=MS_RDONLY):
        caller.works()


def test_a_state_root_that_is_read_only(caller: Caller) -> None:
    (caller.place / "state").mkdir()
    os.chown(caller.place / "state", *(2 * (USER,) if caller.rootless else (0, 0)))
    (caller.place / "state").chmod(0o700)
    world.mount(str(caller.place / "state"), caller.place / "state", flags=world.MS_BIND)
    world.mount("none", caller.place / "state", "", MS_REMOUNT | world.MS_BIND | MS_RDONLY)
    try:
        assert "state.reserve" in caller.says("read-only file system")
    finally:
        world.unmount(caller.place / "state")


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm", "/var/tmp"])
def test_temporary_folders_that_are_noexec_or_read_only(folder: str, caller: Caller) -> None:
    program = caller.program                     # which may be a copy below /tmp
    if program.startswith(f"{folder}/") or str(caller.place).startswith(f"{folder}/"):
        world.mount(folder, Path(folder), flags=world.MS_BIND)
        world.mount("none", Path(folder), "", MS_REMOUNT | world.MS_BIND | MS_RDONLY)
        try:
            status, _, err = caller.run()
            assert status and "read-only file system" in err         # the bundle is there
        finally:
            world.unmount(Path(folder))
        return
    for flags in (MS_NOEXEC, MS_RDONLY):
        with covered(folder, flags=flags):
            caller.works()


def test_no_cgroup_file_system(caller: Caller) -> None:
    with covered("/sys/fs/cgroup"):
        if caller.rootless:
            caller.works()                       # nothing depends on it
        else:
            assert "no such file" not in caller.says("covered by another mount; --cgroup-manager disabled")
    with covered("/sys"):
        if caller.rootless:
            caller.works()
        else:
            caller.says("covered by another mount; --cgroup-manager disabled does without a cgroup")


def test_no_procfs_at_all(caller: Caller) -> None:
    with covered("/proc"):
        status, out, err = caller.run()
    assert (status, out) == (1, "") and "is procfs mounted on /proc?" in err and err.count("\n") == 1
    caller.nothing_is_left()


def test_no_devices(caller: Caller) -> None:
    with open("/dev/null") as null, covered("/dev"):
        status, out, err = caller.run(stdin=null)
    if caller.rootless:                          # where nobody may make a node, the host's are bound
        assert status == 1 and "bind the host's /dev/null (c 1:3)" in err and err.count("\n") == 1
    else:
        assert (status, out) == (0, "works\n")
    caller.nothing_is_left()


# ---- the caller's streams ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, caller: Caller) -> None:
    caller.config("for n in 0 1 2; do streams=\"$streams $(readlink /proc/$$/fd/$n)\"; done; echo $streams >/streams; "
                  "cat && echo works; echo told >&2")
    status, out, err = caller.run("sh", "-c", f'exec "$@" {closed}', "sh")
    streams = (caller.place / "rootfs/streams").read_text().split()
    assert (status, len(streams)) == (0, 3)
    assert out == ("" if ">&-" in closed.replace("2>&-", "") else "works\n")
    assert err == ("" if "2>&-" in closed else "told\n")
    assert ("<&-" not in closed) or streams[0] == "/dev/null"
    caller.nothing_is_left()


# ---- limits --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("limit", [
    "nofile=20", "core=0", "core=unlimited", "stack=65536", "stack=unlimited", "memlock=0", "sigpending=0", "rss=0",
    "locks=0", "msgqueue=0", "nice=0", "rtprio=0", "as=200000000", "data=16000000", "fsize=24000000", "cpu=20"])
def test_limits_that_do_not_matter(limit: str, caller: Caller) -> None:
    caller.works("prlimit", f"--{limit}:{limit.partition('=')[2]}")


@pytest.mark.parametrize(("limit", "said"), [
    ("fsize=1", "file too large"), ("fsize=4096", "file too large"),
    ("as=18500000", "out of memory"), ("data=7000000", "out of memory"), ("data=3000000", "RLIMIT_DATA"),
    ("stack=16384", "RLIMIT_STACK"), ("stack=49152", "RLIMIT_STACK")])
def test_limits_that_are_too_low(limit: str, said: str, caller: Caller) -> None:
    status, out, err = caller.run("prlimit", f"--{limit}:{limit.partition('=')[2]}")
    assert (status, out) == (1, "") and err.count("\n") == 1 and said in err.replace("File", "file"), (status, err)
    caller.nothing_is_left()


def test_few_descriptors(caller: Caller) -> None:
    """With ever more of them it fails later and later, and then works; what it makes it can also delete."""
    failed = []
    for limit in range(4, 21):
        status, out, err = caller.run("prlimit", f"--nofile={limit}:{limit}")
        assert (status, out, err.count("\n")) in ((0, "works\n", 0), (1, "", 1)), (limit, err)
        assert status == 0 or "too many open files" in err.lower(), (limit, err)
        caller.nothing_is_left()
        failed.append(status)
    assert failed == sorted(failed, reverse=True) and failed[0] == 1 and failed[-1] == 0


def test_no_more_processes(caller: Caller) -> None:
    if caller.rootless:
        assert "namespaces.clone" in caller.says("resource temporarily unavailable", "prlimit", "--nproc=0:0")
    else:
        caller.works("prlimit", "--nproc=0:0")       # root may have more (setrlimit(2))


def test_the_callers_limits_are_the_containers(caller: Caller) -> None:
    """None of them is changed on the way."""
    caller.config(LIMITS)
    status, out, _ = caller.run("prlimit", "--nofile=77:99", "--core=4096:8192", "--stack=1048576:2097152",
                                f"--fsize=20480000:{resource.RLIM_INFINITY if caller.rootless else 40960000}")
    assert (status, out.split()) == (0, ["77", "8", "1024", "40000"])
