"""Connections to the service: so many at a time, and none that says nothing. A port is open to all on this host."""
from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from aiohttp import web

#: Connections at a time: of all, and of those by a port.
MOST, BY_PORT = 1024, 64
#: Seconds from a connection to the end of its first request's headers, and in which it is among those that are there.
PATIENCE, COMING = 30.0, 1.0


class Connections:
    """Makes the protocol of each connection to a server, for asyncio."""

    def __init__(self) -> None:
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        self._crowd = MOST

    def made(self, server: web.Server, by_port: bool) -> asyncio.Protocol:
        """The protocol of a connection that has come."""
        there = server.connections
        if len(there) >= MOST or (by_port and sum(map(_by_port, there)) >= BY_PORT):
            return _Refused()
        if len(self._silent) > self._crowd:
            self._forget_gone(there)
        one = server()
        self._silent[one] = asyncio.get_running_loop().call_later(PATIENCE, self._cut, one)
        return one

    def heard(self, request: web.Request) -> None:
        """A request has come; from now on aiohttp looks after the connection (keepalive_timeout)."""
        timer = self._silent.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()

    def _forget_gone(self, there: Sequence[asyncio.BaseProtocol]) -> None:
        """Those that came and went without a word."""
        here, old = set(there), asyncio.get_running_loop().time() + PATIENCE - COMING
        for one in [one for one, timer in self._silent.items() if one not in here and timer.when() < old]:
            self._silent.pop(one).cancel()
        self._crowd = max(MOST, 2 * len(self._silent))

    def _cut(self, one: web.RequestHandler) -> None:
        del self._silent[one]
        if one.transport is not None:
            one.transport.abort()


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


def _by_port(one: web.RequestHandler) -> bool:
    end = one.transport.get_extra_info("socket") if one.transport is not None else None
    return end is not None and end.family != socket.AF_UNIX
