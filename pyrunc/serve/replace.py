"""One service takes the place of another: it gets the sockets, on which callers wait meanwhile, and then all the rest.

    new   connects to the socket `replace` beside the service's own, and says so
    old   sends the sockets on which it listens, ends its streams, lets go of its containers, closes the connection
    new   opens the manager, which finds everything on disk and at the keeper, and accepts who has waited
"""
from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import PyruncError
from ..kernel.unix_socket import Named

WORD = b"replace"
#: Seconds that the old service may take to end.
PATIENCE = 30.0
SOCKETS = 2
#: Who waits for the end of this process: what connects us stays open until then, for only then all is let go.
_successors: list[socket.socket] = []


def place(path: Path) -> Path:
    """Where the service at this socket is asked."""
    return path.with_name("replace")


class Offer:
    """Of a service that runs: whoever is allowed to may take its place."""

    def __init__(self, path: Path, sockets: Sequence[socket.socket], leave: Callable[[], None]) -> None:
        self._sockets, self._leave, self._path = sockets, leave, place(path)
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with Named(str(self._path)) as name:
            self._listener.bind(name)
        os.chmod(self._path, 0o600)
        self._listener.listen(1)
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._asked)

    def _asked(self) -> None:
        with suppress(OSError):
            one, _ = self._listener.accept()
            one.settimeout(1.0)
            _, uid, _ = struct.unpack("3i", one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if _successors or uid not in (0, os.geteuid()) or one.recv(len(WORD)) != WORD:
                one.close()
                return
            socket.send_fds(one, [WORD], [one.fileno() for one in self._sockets])
            _successors.append(one)
            self._leave()

    def close(self) -> None:
        """Nobody may any more. What the successor waits on stays open until the process ends."""
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()
        if not _successors:
            self._path.unlink(missing_ok=True)


def take(path: Path) -> list[socket.socket]:
    """The sockets of the service at this path, when it has ended; none where there is no service. PyruncError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        try:
            with Named(str(place(path))) as name:
                one.connect(name)
        except OSError:
            return []
        one.settimeout(PATIENCE)
        try:
            one.sendall(WORD)
            _, fds, _, _ = socket.recv_fds(one, len(WORD), SOCKETS)
            while fds and one.recv(16):
                pass
        except TimeoutError:
            raise PyruncError(f"the service at {path} does not end") from None
        except OSError:
            return []
    return [socket.socket(fileno=fd) for fd in fds]
