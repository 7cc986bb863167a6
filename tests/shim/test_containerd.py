"""Under a real containerd: what `ctr` shows, and what is left. (tests/engines has the scenarios of every engine.)"""
from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import bundles, world
from tests.bundles import docker_like
from tests.engines.containerd import Containerd, Done

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
    run(containerd, name, "sleep", "1000", flags=("-d",))
    assert containerd.task_status(name) == "RUNNING"
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
