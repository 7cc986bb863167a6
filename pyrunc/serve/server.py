"""The service: who may speak to it, what is answered when something goes wrong, and its socket."""
from __future__ import annotations

import asyncio
import grp
import hmac
import logging
import os
import pwd
import secrets
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from ..errors import ConfigError, NoSuchContainer, PyruncError, StateError, StepError, UsageError, describe
from ..kernel.unix_socket import Named, must_fit
from ..manager import Manager
from ..manager.binary import ProgramFailed
from ..manager.connection import Late
from ..manager.plain import Unfit
from .api import MANAGER, ROUTES, STREAMS, answer, end_streams, healthz
from .bodies import Fault
from .connections import Connections
from .metrics import Metrics
from .openapi import document
from .page import show as page
from .replace import Offer, place

LOG = logging.getLogger("runciter")
#: What aiohttp has to say, which it says to its own logger otherwise.
HTTP = logging.getLogger("runciter.http")
CONNECTIONS: web.AppKey[Connections] = web.AppKey("connections", Connections)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Bytes of a body, as of a config.json; seconds without a request on a connection, and for what is left of a body after
#: an answer that did not need it.
LARGEST, IDLE, LINGER = 4 << 20, 30.0, 1.0
#: Changes at work at a time, and those of one client, which is a process.
AT_WORK, OF_ONE = 256, 128
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
BACKLOG = 128
#: The name of the file with the token of a port, beside the socket.
TOKEN = "token"
SO_PEERGROUPS = 59                                # asm-generic/socket.h, Linux 4.13


class Refused(logging.Filter):
    """What is no HTTP is the client's fault, and one line: aiohttp logs it like its own, with a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """The record, changed in place."""
        fault = record.exc_info[1] if record.exc_info else None
        if isinstance(fault, HttpProcessingError):
            record.msg, record.args = "refused: %s", (" ".join(fault.message.split()),)
            record.levelno, record.levelname, record.exc_info = logging.INFO, "INFO", None
        return True


HTTP.addFilter(Refused())


def application(manager: Manager, group: int | None = None, token: str = "") -> web.Application:
    """The service of a manager that is open. group: whose members may use it besides root and its own user; token: what
    a port asks for."""
    metrics, connections = Metrics(manager), Connections()
    application = web.Application(middlewares=[_guard(group, token, connections), _faults, _limited(metrics)],
                                  client_max_size=LARGEST)
    application[MANAGER], application[STREAMS], application[CONNECTIONS] = manager, set(), connections
    application.on_shutdown.append(end_streams)
    application.on_cleanup.append(metrics.end)
    for route in ROUTES:
        application.router.add_route(route.method, route.path, route.call)
    application.router.add_get("/", page)
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/metrics", metrics.answer)
    described = document()

    async def openapi(_: web.Request) -> web.StreamResponse:
        return web.json_response(described)
    application.router.add_get("/v1/openapi.json", openapi)
    return application


def _guard(group: int | None, token: str, connections: Connections) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who is on the other end, by the kernel's word (unix(7), SO_PEERCRED). Each change is logged."""
        connections.heard(request)
        if _by_port(request):
            refused = _refused(request, token)
            return refused if refused is not None else await handler(request)
        pid, uid, gid, groups = _peer(request)
        if uid not in (0, os.geteuid()) and (group is None or group not in (gid, *groups)):
            LOG.warning("refused: uid=%d pid=%d %s %s", uid, pid, request.method, request.path)
            return answer(Fault("permission denied", "PermissionError"), 403)
        response = await handler(request)
        if request.method in CHANGES:
            LOG.info("uid=%d pid=%d %s %s: %d", uid, pid, request.method, request.path, response.status)
        return response
    return guard


def _by_port(request: web.Request) -> bool:
    end = request.transport.get_extra_info("socket") if request.transport is not None else None
    return end is not None and end.family != socket.AF_UNIX


def _refused(request: web.Request, token: str) -> web.Response | None:
    """What a port answers to whom it does not serve. It only shows: nothing can be changed through it. The page itself
    holds no secret, and has its token from its address; Host is checked, for a name that another has may lead here."""
    if request.url.host not in LOOPBACK:
        return answer(Fault("this host goes by the names 127.0.0.1, ::1 and localhost", "PermissionError"), 403)
    if request.method not in ("GET", "HEAD"):
        return answer(Fault("through a port nothing can be changed: use the socket", "PermissionError"), 403)
    word, _, said = request.headers.get("Authorization", "").partition(" ")
    if request.path != "/" and not (word == "Bearer" and token and hmac.compare_digest(said.encode(), token.encode())):
        response = answer(Fault("the token is missing or wrong", "PermissionError"), 401)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
    return None


def _peer(request: web.Request) -> tuple[int, int, int, tuple[int, ...]]:
    """(pid, uid, gid, other groups) of the client."""
    end = request.transport.get_extra_info("socket") if request.transport is not None else None
    if end is None:
        return 0, 1 << 31, 1 << 31, ()
    pid, uid, gid = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        data = end.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1 << 10)       # the most that Python takes
    except OSError:                               # ERANGE: who is in more than 256 groups counts as in none
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
    except OSError as fault:                      # of this host, as a full disk
        LOG.exception("%s %s", request.method, request.path)
        return answer(Fault(describe(fault), "OSError"), 500)
    except Exception:
        LOG.exception("%s %s", request.method, request.path)
        return answer(Fault("internal error: the log of the service has more", "Exception"), 500)


def _status(fault: BaseException) -> int:
    if isinstance(fault, StateError):
        return 404 if isinstance(fault, NoSuchContainer) else 409
    if isinstance(fault, (UsageError, ConfigError, Unfit, ValueError)):
        return 400
    if isinstance(fault, (StepError, ProgramFailed)):
        return 422
    return 504 if isinstance(fault, (TimeoutError, Late)) else 500


def _limited(metrics: Metrics) -> Middleware:
    working: Counter[int] = Counter()

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        """So many changes at a time, and of one client half as many, so that it leaves room for others; more are told
        to come again. `wait` and `exec` count as well."""
        if request.method not in CHANGES:
            return await handler(request)
        client = _peer(request)[0]
        many = working.total()
        if many >= AT_WORK or working[client] >= OF_ONE:
            many, whose = (many, "") if many >= AT_WORK else (working[client], " of this client")
            response = answer(Fault(f"{many} operations{whose} are at work: try again later", "Busy"), 429)
            response.headers["Retry-After"] = "1"
            return response
        working[client] += 1
        try:
            with metrics.timed(request):
                return await handler(request)
        finally:
            working[client] -= 1
            if not working[client]:
                del working[client]
    return limited


def listen(path: Path, group: str = "") -> socket.socket:
    """The socket: 0600, or 0660 for a group; or the one that systemd has opened."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=3)
    must_fit(str(path), "the service's socket")
    number = gid_of(group)
    _make_way(path, group, number)
    if _taken(path):
        raise StateError(f"another service listens at {path}")
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        made.bind(str(path))
    finally:
        os.umask(mask)
    if group:
        os.chown(path, -1, number)
    os.chmod(path, 0o660 if group else 0o600)
    made.listen(BACKLOG)
    return made


def _make_way(path: Path, group: str, number: int) -> None:
    """The directory of the socket, which is made if it is not there: 0700, or 0750 for a group. One that has other
    files as well, as /run, stays as it is. StateError where others can write, or the group cannot come in."""
    folder = path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    said = f"owner {found.st_uid}, mode {found.st_mode & 0o7777:04o}"
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise StateError(f"{folder} must be its owner's to write alone: {said}")
    if set(os.listdir(folder)) <= {path.name, place(path).name, TOKEN}:
        if group:
            os.chown(folder, -1, number)
        os.chmod(folder, 0o750 if group else 0o700)
    elif group and not found.st_mode & (0o010 if found.st_gid == number else 0o001):
        raise StateError(f"{folder} has other files, and no way for members of {group}: {said}")


def _taken(path: Path) -> bool:
    """Whether a service listens there, and nothing that one has left when it was killed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as one:
        try:
            one.connect(str(path))
        except BlockingIOError:                   # for more than wait there
            return True
        except OSError:
            return False
    return True


def gid_of(group: str) -> int:
    """Of --group; -1 for none. UsageError for one that is not there."""
    try:
        return grp.getgrnam(group).gr_gid if group else -1
    except KeyError:
        raise UsageError(f"--group {group}: there is no such group") from None


def port(text: str) -> socket.socket:
    """The socket of --listen ADDRESS:PORT. UsageError for an address that others can reach."""
    host, _, number = text.rpartition(":")
    host = host.strip("[]")
    if host not in LOOPBACK or not number.isdecimal() or int(number) > 65535:
        raise UsageError(f"--listen {text}: it must be 127.0.0.1:PORT, [::1]:PORT or localhost:PORT")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1" if host == "localhost" else host, int(number)))
    except OSError as fault:
        made.close()
        raise UsageError(f"--listen {text}: {fault.strerror}") from None
    made.listen(16)
    return made


def token_of(path: Path) -> str:
    """The token in a file of mode 0600, which is made when it is not there."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    except FileExistsError:
        pass
    with open(path) as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise StateError(f"{path} must be its owner's alone: owner {found.st_uid}, "
                             f"mode {found.st_mode & 0o7777:04o}")
        token = file.read().strip()
    if len(token) < 16:
        raise UsageError(f"{path}: a token has at least 16 characters")
    return token


def notify(text: str) -> None:
    """Tell systemd (sd_notify(3)); nothing without it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one, Named(address) as name:
                one.sendto(text.encode(), f"\0{address[1:]}" if address[0] == "@" else name)
        except OSError as fault:
            LOG.warning("NOTIFY_SOCKET %s: %s", address, describe(fault))


async def serve(manager: Manager, path: Path, group: str = "", until: asyncio.Event | None = None,
                at: str = "", given: Sequence[socket.socket] = ()) -> None:
    """Serve until `until` is set, or another service takes this one's place; containers go on.

    at      ADDRESS:PORT of the page, with the token beside the socket
    given   sockets that the predecessor had (replace.py)
    """
    until = until or asyncio.Event()
    number = gid_of(group) if group else None
    one = next((found for found in given if found.family == socket.AF_UNIX), None) or listen(path, group)
    ports = [found for found in given if found.family != socket.AF_UNIX]
    kept = [found for found in ports if at.endswith(f":{found.getsockname()[1]}")]
    for found in ports:
        if found not in kept:
            found.close()
    other = (kept[0] if kept else port(at)) if at else None
    token = token_of(path.with_name(TOKEN)) if at else ""
    made = application(manager, number, token)
    # What is compressed is refused (api.body): aiohttp would take what it cannot unpack for a fault of ours.
    runner = web.AppRunner(made, handler_cancellation=True, keepalive_timeout=IDLE, lingering_time=LINGER,
                           access_log=None, shutdown_timeout=2.0, auto_decompress=False, logger=HTTP)
    await runner.setup()
    with one, other if other is not None else nullcontext():
        listening = [await _listening(runner, made[CONNECTIONS], one)]
        if other is not None:
            listening.append(await _listening(runner, made[CONNECTIONS], other))
            LOG.info("the page is http://%s/#token=%s", at, f"$(cat {path.with_name(TOKEN)})")
        offer = Offer(path, [one] if other is None else [one, other], until.set)
        notify("READY=1")
        LOG.info("serving %s for %s", path, pwd.getpwuid(os.geteuid()).pw_name if not group else f"group {group}")
        try:
            await until.wait()
        finally:
            notify("STOPPING=1")
            offer.close()
            for server in listening:
                await _stop(server)
            await runner.cleanup()


async def _stop(server: asyncio.Server) -> None:
    """Accept no more. A connection that has just been accepted becomes the runner's first, in three turns of the loop;
    asyncio would drop it half made, and say so by a traceback."""
    for end in server.sockets:
        asyncio.get_running_loop().remove_reader(end.fileno())
    for _ in range(3):
        await asyncio.sleep(0)
    server.close()


async def _listening(runner: web.AppRunner, connections: Connections, end: socket.socket) -> asyncio.Server:
    server, by_port = runner.server, end.family != socket.AF_UNIX
    assert server is not None
    return await asyncio.get_running_loop().create_server(lambda: connections.made(server, by_port), sock=end,
                                                          backlog=BACKLOG)
