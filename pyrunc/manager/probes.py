"""One question to a container: a program in it, a GET, or a connection, in its own network."""
from __future__ import annotations

import asyncio
import ctypes
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, cast

from ..errors import PyruncError
from .apart import apart
from .values import Http, Probe

if TYPE_CHECKING:
    from .container import Container
    from .life import Life

CLONE_NEWNET = 0x40000000
#: Bytes of an answer that are looked at.
MOST = 4096


async def ask(life: Life, probe: Probe) -> tuple[bool, str]:
    """(whether the answer is a good one, why not)."""
    try:
        if probe.exec:
            return await _exec(cast("Container", life), probe)
        async with asyncio.timeout(probe.timeout):
            if probe.http is not None:
                return await _http(life.record.pid, probe.http)
            await _connected(life.record.pid, "127.0.0.1", probe.tcp)
            return True, ""
    except TimeoutError:
        return False, f"no answer within {probe.timeout:g} s"
    except (OSError, PyruncError, ValueError) as fault:          # the last: a line or a number that is too long
        return False, str(fault)


async def _exec(container: Container, probe: Probe) -> tuple[bool, str]:
    result = await container.exec(probe.exec, timeout=probe.timeout, most=MOST)
    if result.timed_out:
        return False, f"no answer within {probe.timeout:g} s"
    said = (result.stderr or result.stdout).decode(errors="replace").strip()
    return result.exit.code == 0, f"status {result.exit.code}" + (f": {said[:200]}" if said else "")


async def _http(pid: int, http: Http) -> tuple[bool, str]:
    connected = await _connected(pid, http.host, http.port)
    reader, writer = await asyncio.open_connection(sock=connected)
    try:
        host = f"[{http.host}]" if ":" in http.host else http.host
        writer.write(f"GET {http.path} HTTP/1.1\r\nHost: {host}:{http.port}\r\nUser-Agent: runciter\r\n"
                     "Connection: close\r\n\r\n".encode())
        words = (await reader.readline()).split(None, 2)
    finally:
        writer.close()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return False, "the answer is no HTTP"
    return 200 <= int(words[1]) < 400, f"HTTP status {int(words[1])}"


async def _connected(pid: int, host: str, port: int) -> socket.socket:
    """A socket that is connected in the network of a process."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # A namespace is a thread's own. The thread ends, so it need not come back, and cannot fail to.
    one = await apart("probe", partial(_socket_in, pid, family), socket.socket.close)
    try:
        await asyncio.get_running_loop().sock_connect(one, (host, port))
    except BaseException:
        one.close()
        raise
    return one


def _socket_in(pid: int, family: int) -> socket.socket:
    """A socket belongs to the network namespace in which it was made."""
    space = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(space, CLONE_NEWNET) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), "setns")
    finally:
        os.close(space)
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setblocking(False)
    return one
