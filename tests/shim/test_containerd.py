"""Under a real containerd: what `ctr` shows, and what is left. (tests/engines has the scenarios of every engine.)"""
from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.shim.server import UNUSED
from tests import bundles, world
from tests.bundles import docker_like
from tests.engines import remains
from tests.engines.containerd import Containerd, Done, version

from .driver import SECONDS

pytestmark = pytest.mark.skipif(not shutil.which("containerd"), reason="no containerd here")
TYPE = "io.containerd.pyrunc.v2"


@pytest.fixture(scope="module")
def containerd(private_world: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    place = tmp_path_factory.mktemp("containerd")
    world.mount("tmpfs", place, "tmpfs", data="mode=755")       # takes overlays, whatever is below
    daemon = Containerd(place)
    yield daemon
    daemon.stop()
    world.unmount(place)


def run(daemon: Containerd, id: str, *args: str, flags: tuple[str, ...] = ()) -> Done:
    """`ctr run` by a configuration, for its own asks for controllers of cgroups."""
    rootfs = daemon.place / "rootfs"
    if not rootfs.exists():
        bundles.busybox_root(rootfs)
    config = docker_like(process={"args": list(args)}, root={"path": str(rootfs)}, linux={"cgroupsPath": f"/{id}"})
    (daemon.place / "spec.json").write_text(json.dumps(config))
    return daemon.ctr("run", "--runtime", TYPE, *flags, "--config", str(daemon.place / "spec.json"), id)


def shims() -> dict[int, str]:
    """pid -> name, of this mount namespace."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(folder / "ns/mnt") == os.readlink("/proc/self/ns/mnt") and (folder / "cmdline").read_bytes():
                found[int(folder.name)] = (folder / "comm").read_text().strip()
        except OSError:
            continue
    return {pid: name for pid, name in found.items() if name.startswith("pyrunc-")}


def test_run_exec_and_exit_codes(containerd: Containerd, name: str) -> None:
    done = run(containerd, name, "echo", "hello", flags=("--rm",))
    assert (done.status, done.stdout) == (0, "hello\n"), done.stderr
    assert run(containerd, name, "sh", "-c", "exit 7", flags=("--rm",)).status == 7
    done = run(containerd, name, "sleep", "1000", flags=("-d",))
    assert done.status == 0 and containerd.task_status(name) == "RUNNING", done
    assert containerd.ok("task", "exec", "--exec-id", "e", name, "echo", "there") == "there\n"
    assert containerd.ctr("task", "exec", "--exec-id", "f", name, "sh", "-c", "exit 9").status == 9
    assert "pyrunc-zygote" in shims().values()
    containerd.ok("task", "kill", "-s", "KILL", name)
    end = time.monotonic() + SECONDS
    while containerd.task_status(name) != "STOPPED":
        assert time.monotonic() < end
        time.sleep(0.05)
    containerd.ok("task", "delete", name)
    containerd.ok("container", "delete", name)


def test_a_restarted_containerd_finds_its_task(containerd: Containerd, name: str) -> None:
    run(containerd, name, "sleep", "1000", flags=("-d",))
    containerd.process.send_signal(signal.SIGKILL)
    containerd.process.wait()
    containerd.start()
    assert containerd.task_status(name) == "RUNNING"
    assert containerd.ok("task", "exec", "--exec-id", "e", name, "echo", "there") == "there\n"
    containerd.ok("task", "delete", "--force", name)
    containerd.ok("container", "delete", name)


def test_the_answer_of_start_is_what_this_containerd_reads(containerd: Containerd, name: str) -> None:
    """Text for 1.6 and 1.7; what later ones have read as JSON they write down."""
    run(containerd, name, "sleep", "1000", flags=("-d",))
    bundle = containerd.place / "state/io.containerd.runtime.v2.task/default" / name
    address = (bundle / "address").read_text()
    assert address.startswith("unix:///run/containerd/s/")
    if version() >= (2,):
        given = json.loads((bundle / "bootstrap.json").read_text())
        assert (given["version"], given["address"], given["protocol"]) == (2, address, "ttrpc")
    else:
        assert not (bundle / "bootstrap.json").exists()
    containerd.ok("task", "delete", "--force", name)
    containerd.ok("container", "delete", name)


def test_an_end_while_containerd_is_away(containerd: Containerd, name: str) -> None:
    """From 1.7 on containerd takes a shim without a process for one that was forgotten (shim_load.go)."""
    run(containerd, name, "sh", "-c", "until test -e /gone; do sleep 0.05; done; exit 7", flags=("-d",))
    containerd.process.kill()
    containerd.process.wait()
    (containerd.place / "rootfs/gone").touch()
    end = time.monotonic() + SECONDS
    while processes_of(name):
        assert time.monotonic() < end
        time.sleep(0.05)
    containerd.start()
    (containerd.place / "rootfs/gone").unlink()
    assert containerd.task_status(name) == "STOPPED"
    deleted = containerd.ctr("task", "delete", name)
    assert deleted.status == 7 or "non-zero exit code 7" in deleted.stderr, deleted.stderr
    containerd.ok("container", "delete", name)


def processes_of(id: str) -> list[str]:
    """Those in the container's cgroup."""
    return (world.CGROUP / id / "cgroup.procs").read_text().split()


def test_a_shim_that_is_killed(containerd: Containerd, name: str) -> None:
    before = shims()
    run(containerd, name, "sleep", "1000", flags=("-d",))
    new = [pid for pid, kind in shims().items() if pid not in before and kind == "pyrunc-shim"]
    assert new
    for pid in new:
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + SECONDS
    while (status := containerd.task_status(name)) not in ("", "STOPPED"):
        assert time.monotonic() < end, status
        time.sleep(0.05)
    containerd.ctr("task", "delete", "--force", name)
    containerd.ok("container", "delete", name)
    while Path("/run/containerd/pyrunc/default", name).exists():       # containerd's clean-up may still be at work
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.timeout(900)                            # 100 points with --faults take two minutes
def test_a_containerd_that_is_killed_anywhere(containerd: Containerd, name: str, points: int) -> None:
    """In the middle of `ctr run`. The one that comes after it tells how a container has ended that had begun, and when
    it has removed what was there, nothing is left."""
    dice = random.Random(name)
    for number in range(max(1, points // 4) if points < 100 else points):
        id = f"{name}-{number}"
        started: list[int] = []
        thread = threading.Thread(target=lambda id=id, started=started: started.append(
            run(containerd, id, "sh", "-c", "sleep 0.05; exit 7", flags=("-d",)).status))
        thread.start()
        time.sleep(dice.uniform(0.02, 0.4))
        containerd.process.kill()
        containerd.process.wait()
        thread.join(SECONDS)
        containerd.start()
        where = f"point {number}: ctr run gave {started}"
        if started == [0]:
            end = time.monotonic() + SECONDS
            while (status := containerd.task_status(id)) != "STOPPED":
                assert time.monotonic() < end, f"{where}, it is {status!r}\n{containerd.last_words()}"
                time.sleep(0.05)
            deleted = containerd.ctr("task", "delete", id)
            assert deleted.status == 7 or "non-zero exit code 7" in deleted.stderr, f"{where}: {deleted.stderr}"
        end = time.monotonic() + UNUSED + SECONDS
        while rest := left(containerd, id):              # what was in the middle of it may come a little later
            assert time.monotonic() < end, f"{where}: {rest}\n{containerd.last_words()}"
            containerd.ctr("task", "delete", "--force", id)
            time.sleep(0.1)
        containerd.ctr("container", "delete", id)


def left(daemon: Containerd, id: str) -> list[str]:
    """What is there of a container: shim and other processes, mounts, cgroups, state, bundle."""
    return remains.of(id, [Path("/run/containerd/pyrunc"), daemon.place / "state"])
