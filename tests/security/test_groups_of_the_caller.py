"""Supplementary groups of whoever calls: none comes along into a container, not even where none can be set any more."""
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import runtimes
from tests.container.rootless import User

SECRET_GROUP = 4242


@pytest.fixture
def user(private_world: None, request: pytest.FixtureRequest, place: Path) -> Iterator[User]:
    yield User(runtimes.find(request.config.getoption("runtime")), place)


# CVE-2022-29162's kin: root execs into the container of a user, in which setgroups(2) is denied.
def test_of_root_that_execs_into_a_users_container(user: User, place: Path) -> None:
    readable = place / "bundle/rootfs/secret"
    readable.write_text("the group's\n")
    os.chown(readable, 0, SECRET_GROUP)
    readable.chmod(0o640)
    user.spec("sleep 1000", process={"rlimits": []})
    user.detached("run", "--detach", "c")
    try:
        done = subprocess.run(
            ["setpriv", "--reuid", "0", "--regid", "0", "--groups", f"0,{SECRET_GROUP}", user.program, "--root",
             user.taken_over("c"), "exec", "c", "sh", "-c", "grep Groups /proc/self/status; cat /secret"],
            capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.split() == ["Groups:"] and "Permission denied" in done.stderr
    finally:
        user.ok("delete", "--force", "c")
