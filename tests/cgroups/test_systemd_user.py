"""The systemd driver of an ordinary user, whose own systemd makes the units."""
from __future__ import annotations

import os
import posix
import subprocess
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.cgroups.systemd import unit
from pyrunc.cgroups.systemd.unit import Manager
from pyrunc.host import Host
from pyrunc.kernel.posix import PosixKernel

from .. import world
from .hierarchy import MOUNT
from .test_delegation import as_user
from .test_limits import MIB
from .test_systemd import Container, attach, sleeping

pytestmark = pytest.mark.guest_systemd

UID = 1234


@pytest.fixture(scope="module")
def user() -> Iterator[int]:
    subprocess.run(["useradd", "-u", str(UID), "-m", "somebody"], check=True)
    world.start_user(UID)
    yield UID
    subprocess.run(["systemctl", "stop", f"user@{UID}.service"], check=True)


def as_the_user(act: typing.Callable[[], object]) -> str:
    def inside() -> None:
        os.environ["XDG_RUNTIME_DIR"] = f"/run/user/{UID}"
        posix.environ[b"XDG_RUNTIME_DIR"] = f"/run/user/{UID}".encode()
        act()
    return as_user(UID, inside)


@pytest.mark.spec("features-linux.md#cgroup", "systemdUser")
def test_rootless(user: int, name: str) -> None:
    own = f"/user.slice/user-{user}.slice/session-1.scope"
    host = Host(euid=user, cgroup_own=own)
    result = MOUNT / f"user.slice/user-{user}.slice/user@{user}.service/user.slice/t-{name}.scope"

    def life() -> None:
        container = Container(name, {"pids": {"limit": 9}, "memory": {"limit": 64 * MIB}}, f":t:{name}", host)
        assert container.path == result and container.unit.user
        container.create()
        assert Path(f"/proc/{container.init.pid}/cgroup").read_text() == f"0::/{container.unit.cgroup}\n"
        assert container.read("pids.max") == "9" and container.read("memory.max") == str(64 * MIB)
        assert os.getxattr(container.path, "user.pyrunc") == container.mark.encode()
        manager = Manager(True, PosixKernel())
        assert str(manager.get("ControlGroup")).endswith(f"user@{user}.service")
        manager.close()
        with sleeping() as pid:
            assert attach(container, pid) == container.unit.cgroup
        container.end()
        assert not container.path.exists()

    assert as_the_user(life) == ""


def test_the_user_s_manager_is_asked_where_it_is(user: int) -> None:
    def ask() -> None:
        assert unit._user_root(Host(euid=user, cgroup_own="/elsewhere")) == \
            f"user.slice/user-{user}.slice/user@{user}.service"
    assert as_the_user(ask) == ""


def test_rootless_limit_that_is_not_delegated(user: int, name: str) -> None:
    host = Host(euid=user, cgroup_own=f"/user.slice/user-{user}.slice/session-1.scope")

    def life() -> None:
        container = Container(name, {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}, f":t:{name}", host)
        try:
            container.create()
        finally:
            container.end()

    words = as_the_user(life)
    assert words.startswith("controller hugetlb is not available in cgroup ")
    assert "it is not delegated: at linux" in words
