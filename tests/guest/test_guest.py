"""The guest is what the tests marked `guest` take it for."""
from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import world
from tests.guest import replay

CONTROLLERS = {"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"}


def mounts() -> dict[str, str]:
    """Mount point -> file system type."""
    return {fields[1]: fields[2] for fields in map(str.split, world.lines("/proc/self/mounts"))}


@pytest.mark.guest
def test_every_capability_and_controller() -> None:
    assert platform.node() == "guest" and os.geteuid() == 0
    assert mounts()["/sys/fs/cgroup"] == "cgroup2" and "cgroup" not in mounts().values()
    assert set(Path("/sys/fs/cgroup/cgroup.subtree_control").read_text().split()) >= CONTROLLERS
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == (1 << last + 1) - 1


@pytest.mark.guest
def test_lsm_and_user_namespaces() -> None:
    assert "apparmor" in Path("/sys/kernel/security/lsm").read_text().split(",")
    assert int(Path("/proc/sys/user/max_user_namespaces").read_text()) > 0


@pytest.mark.guest
def test_the_checkout_and_its_environment_are_there(tmp_path: Path) -> None:
    assert Path(sys.executable).exists() and Path(__file__).exists()
    assert mounts()["/tmp"] == "tmpfs" and str(tmp_path).startswith("/tmp/")


@pytest.mark.guest_systemd
def test_systemd_is_pid_1() -> None:
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    assert Path("/run/dbus/system_bus_socket").is_socket() and Path("/run/systemd/private").is_socket()


def test_what_is_asked_for_here_is_asked_for_in_the_guest() -> None:
    """The faults' loop in the guest was the slice of every time, whatever the run was told."""
    given = {"engines": False, "faults": True, "every-call": True, "runtime": "/x", "engines-from": "/y",
             "share": "2/5", "maxfail": 3}
    config: Any = SimpleNamespace(getoption=lambda name: given[name.removeprefix("--")])
    assert replay._passed_on(config) == [
        "--runtime=/x", "--engines-from=/y", "--faults", "--every-call", "--share=2/5", "--maxfail=3"]
