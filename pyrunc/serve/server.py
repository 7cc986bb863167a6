"""The service: who may speak to it, what is answered when something goes wrong, and its socket."""
from __future__ import annotations

import asyncio
import grp
import logging
import os
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from ..errors import DOES_NOT_EXIST, ConfigError, PyruncError, StateError, StepError, UsageError
from ..manager import Manager
from ..manager.plain import Unfit
from .api import MANAGER, ROUTES, answer, healthz
from .bodies import Fault
from .metrics import Metrics
from .openapi import document

LOG = logging.getLogger("runciter")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Bytes of a body, as of a config.json; changes at work at a time; seconds without a request on a connection.
LARGEST, AT_WORK, IDLE = 4 << 20, 256, 30.0
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
SO_PEERGROUPS = 59                                # asm-generic/socket.h, Linux 4.13


def application(manager: Manager, group: int | None = None) -> web.Application:
    """The service of a manager that is open. group: whose members may use it besides root and its own user."""
    metrics = Metrics(manager)
    application = web.Application(middlewares=[_guard(group), _faults, _limited(metrics)], client_max_size=LARGEST)
    application[MANAGER] = manager
    for route in ROUTES:
        application.router.add_route(route.method, route.path, route.call)
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/metrics", metrics.answer)
    described = document()

    async def openapi(_: web.Request) -> web.StreamResponse:
        return web.json_response(described)
    application.router.add_get("/v1/openapi.json", openapi)
    return application


def _guard(group: int | None) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who is on the other end, by the kernel's word (unix(7), SO_PEERCRED). Each change is logged."""
        pid, uid, gid, groups = _peer(request)
        if uid not in (0, os.geteuid()) and (group is None or group not in (gid, *groups)):
            LOG.warning("refused: uid=%d pid=%d %s %s", uid, pid, request.method, request.path)
            return answer(Fault("permission denied", "PermissionError"), 403)
        response = await handler(request)
        if request.method in CHANGES:
            LOG.info("uid=%d pid=%d %s %s: %d", uid, pid, request.method, request.path, response.status)
        return response
    return guard


def _peer(request: web.Request) -> tuple[int, int, int, tuple[int, ...]]:
    """(pid, uid, gid, other groups) of the client."""
    end = request.transport.get_extra_info("socket") if request.transport is not None else None
    if end is None:
        return 0, 1 << 31, 1 << 31, ()
    pid, uid, gid = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        data = end.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 << 10)
    except OSError:
        data = b""
    return pid, uid, gid, struct.unpack(f"{len(data) // 4}I", data)


@web.middleware
async def _faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is an answer of one line."""
    try:
        return await handler(request)
    except web.HTTPException as fault:
        return answer(Fault(fault.reason.lower(), "HTTPException"), fault.status)
    except (PyruncError, ValueError, TimeoutError) as fault:
        return answer(Fault(str(fault) or "it took too long", type(fault).__name__, getattr(fault, "step", "") or "",
                            getattr(fault, "where", "") or ""), _status(fault))
    except Exception:
        LOG.exception("%s %s", request.method, request.path)
        return answer(Fault("internal error: the log of the service has more", "Exception"), 500)


def _status(fault: BaseException) -> int:
    if isinstance(fault, StateError):
        return 404 if str(fault) == DOES_NOT_EXIST else 409
    if isinstance(fault, (UsageError, ConfigError, Unfit, ValueError)):
        return 400
    return 422 if isinstance(fault, StepError) else 504 if isinstance(fault, TimeoutError) else 500


def _limited(metrics: Metrics) -> Middleware:
    working = 0

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        """So many changes at a time; more are told to come again. `wait` and `exec` count as well."""
        nonlocal working
        if request.method not in CHANGES:
            return await handler(request)
        if working >= AT_WORK:
            response = answer(Fault(f"{AT_WORK} operations are at work: try again later", "Busy"), 429)
            response.headers["Retry-After"] = "1"
            return response
        working += 1
        try:
            with metrics.timed(request):
                return await handler(request)
        finally:
            working -= 1
    return limited


def listen(path: Path, group: str = "") -> socket.socket:
    """The socket: 0600 in a directory 0700, or 0660 in 0750 for a group; or the one that systemd has opened."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=3)
    number = grp.getgrnam(group).gr_gid if group else -1
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.parent.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise StateError(f"{path.parent} must be its owner's to write alone: owner {found.st_uid}, "
                         f"mode {found.st_mode & 0o7777:04o}")
    if group:
        os.chown(path.parent, -1, number)
    os.chmod(path.parent, 0o750 if group else 0o700)
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    if group:
        os.chown(path, -1, number)
    os.chmod(path, 0o660 if group else 0o600)
    made.listen(128)
    return made


def notify(text: str) -> None:
    """Tell systemd (sd_notify(3)); nothing without it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.sendto(text.encode(), f"\0{address[1:]}" if address[0] == "@" else address)


async def serve(manager: Manager, path: Path, group: str = "", until: asyncio.Event | None = None) -> None:
    """Serve until `until` is set; containers go on."""
    number = grp.getgrnam(group).gr_gid if group else None
    runner = web.AppRunner(application(manager, number), handler_cancellation=True, keepalive_timeout=IDLE,
                           access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    with listen(path, group) as one:
        await web.SockSite(runner, one).start()
        notify("READY=1")
        LOG.info("serving %s for %s", path, pwd.getpwuid(os.geteuid()).pw_name if not group else f"group {group}")
        try:
            await (until or asyncio.Event()).wait()
        finally:
            notify("STOPPING=1")
            await runner.cleanup()
