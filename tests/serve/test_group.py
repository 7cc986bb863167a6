"""The group that may use the service (--group), by the kernel's word on who is at the other end."""
from __future__ import annotations

import asyncio
import grp
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import pyrunc
from pyrunc.manager import Manager
from pyrunc.serve.server import serve
from tests.manager.conftest import until


@asynccontextmanager
async def for_a_group(m: Manager, path: Path, group: str) -> AsyncIterator[None]:
    """The service at another socket, which is for a group."""
    ending = asyncio.Event()
    serving = asyncio.ensure_future(serve(m, path, group, until=ending))
    try:
        await until(path.exists)
        yield
    finally:
        ending.set()
        await serving


ASK = """
import os, socket, sys
os.setgroups([int(word) for word in sys.argv[2:]])
os.setgid(12345)
os.setuid(12345)
one = socket.socket(socket.AF_UNIX)
one.connect(sys.argv[1])
one.sendall(b"GET /v1/containers HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
print(one.makefile().readline())
"""


async def asked_by(path: Path, *groups: int) -> str:
    """What a user who is in these groups alone gets."""
    asking = await asyncio.create_subprocess_exec(sys.executable, "-c", ASK, str(path), *map(str, groups),
                                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return (await asking.communicate())[0].decode()


async def test_a_group_may_use_it(m: Manager, path: Path, place: Path) -> None:
    group = grp.getgrnam("users")
    for_them = place / "grouped/socket"
    async with for_a_group(m, for_them, "users"):
        for one, mode in (for_them, 0o660), (for_them.parent, 0o750):
            assert (stat.S_IMODE(one.stat().st_mode), one.stat().st_gid) == (mode, group.gr_gid)
        assert "HTTP/1.1 200" in await asked_by(for_them, 54321, group.gr_gid)
        assert "PermissionError" in await asked_by(for_them, 54321)
        for_them.parent.chmod(0o755)                     # the kernel's word counts where the modes do not
        for_them.chmod(0o666)
        assert "HTTP/1.1 403" in await asked_by(for_them, 54321)
        assert "HTTP/1.1 200" in await asked_by(for_them, group.gr_gid)


async def test_a_directory_that_is_not_the_services_alone(m: Manager, path: Path, place: Path) -> None:
    """As /run: its mode stays, and who is let in by it. The socket's own mode keeps others out."""
    shared = place / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    (shared / "other").write_text("")
    async with for_a_group(m, shared / "socket", ""):
        assert [stat.S_IMODE(one.stat().st_mode) for one in (shared, shared / "socket")] == [0o755, 0o600]
        assert "PermissionError" in await asked_by(shared / "socket", 54321)
    group = grp.getgrnam("users")
    async with for_a_group(m, shared / "socket", "users"):
        assert (stat.S_IMODE(shared.stat().st_mode), shared.stat().st_gid) == (0o755, 0)
        assert "HTTP/1.1 200" in await asked_by(shared / "socket", group.gr_gid)
    shared.chmod(0o700)
    with pytest.raises(pyrunc.StateError, match="has other files, and no way for members of users: owner 0, mode 0700"):
        await serve(m, shared / "socket", "users")
    assert stat.S_IMODE(shared.stat().st_mode) == 0o700


async def test_no_such_group(m: Manager, path: Path, place: Path) -> None:
    with pytest.raises(pyrunc.UsageError, match="--group there-is-no-such-group: there is no such group"):
        await serve(m, place / "grouped/socket", "there-is-no-such-group")
    assert not (place / "grouped").exists()
