"""Names that a container gives to its processes, cgroups and mounts: the runtime reads them, and believes none."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyrunc.kernel.posix import lines
from tests import bundles, world
from tests.bundles import docker_like
from tests.runtimes import Runtime

#: No UTF-8; what ends a line to splitlines(), and what looks like the next fields and lines of the kernel's files.
NAMES = [b"\xff\xfe", b") Z 0 (", b"\xe2\x80\xa80::/", b"a\nb", b"x\x1b[2J"]
CGROUPS = [b"\xff\xfe", b"\xe2\x80\xa80::", b"\xc2\x850::"]


# A name (PR_SET_NAME) that was no UTF-8 ended every command that looked at the container, kill and delete among them.
@pytest.mark.parametrize("comm", NAMES)
def test_a_process_cannot_hide_behind_its_name(comm: bytes, runtime: Runtime, place: Path, name: str) -> None:
    printed = "".join(f"\\{byte:03o}" for byte in comm)
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": [
        "sh", "-c", f"printf '{printed}' >/proc/self/comm; touch /tmp/named; while :; do sleep 1; done"]}))
    init = runtime.create(name, bundle)
    runtime.ok("start", name)
    deadline = time.monotonic() + 60
    while not (bundle / "rootfs/tmp/named").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert Path(f"/proc/{init.pid}/comm").read_bytes() == comm + b"\n"
    for command in (["state"], ["ps"], ["ps", "--format", "json"], ["pause"], ["resume"], ["events", "--stats"]):
        runtime.ok(*command, name)
    assert runtime.status(name) == "running"
    assert name in runtime.ok("list").stdout
    runtime.ok("exec", name, "true")
    runtime.ok("kill", name, "KILL")
    init.wait()
    runtime.ok("delete", name)


@pytest.mark.parametrize("directory", CGROUPS)
def test_a_cgroup_of_the_container_leads_exec_nowhere_else(directory: bytes, runtime: Runtime, place: Path,
                                                           name: str) -> None:
    """The init has moved into a cgroup of its own making, whose name is a line of /proc/PID/cgroup."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    init = runtime.create(name, bundle)
    runtime.ok("start", name)
    inner = os.fsencode(world.CGROUP / name) + b"/" + directory + b"/unified"
    os.makedirs(inner)
    Path(os.fsdecode(inner), "cgroup.procs").write_text(str(init.pid))
    runtime.ok("exec", name, "true")
    assert json.loads(runtime.ok("ps", "--format", "json", name).stdout) == [init.pid]
    runtime.ok("delete", "--force", name)
    assert not (world.CGROUP / name).exists()


# procfs gives one page at a time, and any number of mounts may come before that of cgroup2.
def test_mounts_of_any_name_and_number(private_world: None, place: Path) -> None:
    script = rf"""
        umount -l /sys/fs/cgroup
        cd {place}
        for n in $(seq 60); do d=$n-{'x' * 100}; mkdir $d; mount -t tmpfs none $d; done
        for n in '\377' '\342\200\250' '\302\205'; do d=$(printf "$n"); mkdir "$d"; mount -t tmpfs none "$d"; done
        mount -t cgroup2 none /sys/fs/cgroup
        cd {Path(__file__).parents[2]}
        exec {sys.executable} -c 'from pyrunc.host import probe; print(probe().cgroup_mount)'"""
    done = subprocess.run(["unshare", "-m", "sh", "-ec", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("/sys/fs/cgroup\n", "")


def test_lines() -> None:
    assert lines("") == []
    assert lines("a\nb\n") == lines("a\nb") == ["a", "b"]
    assert lines("a\u2028b\x85c\rd\x0be\n") == ["a\u2028b\x85c\rd\x0be"]
