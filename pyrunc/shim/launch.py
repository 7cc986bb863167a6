"""`start`: one shim for a container or a pod; prints the address where it serves."""
from __future__ import annotations

import _socket
import posix
import time

from ..errors import PyruncError, UsageError, describe, strerror
from ..formats.json_text import dumps
from ..keeper.spawner import place
from ..kernel.small_file import read
from ..kernel.unix_socket import must_fit
from ..ttrpc import codes
from ..ttrpc.client import ask, path_of
from ..ttrpc.codes import RpcError
from ..ttrpc.messages.bootstrap import BootstrapParams, BootstrapResult
from ..ttrpc.messages.options import Options
from ..ttrpc.messages.well_known import Any
from . import placement, title, zygote
from .lock import locked, unlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any as Anything

    from ..keeper.channel import Channel, Message
    from .command import Given

#: Annotations whose value names the group that shares a shim; the first that is there counts.
GROUPS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")
SOCKETS = "/run/containerd/s"
#: Seconds for a shim that is there to answer, on a busy machine, and the least that it is asked to answer within.
PATIENCE, LEAST = 30.0, 0.1
#: The latest version of the bootstrap protocol that containerd understands, by what it gives (docs/shim.md).
PLAIN, JSON, PROTOBUF = "text", "json", "protobuf"


def start(given: Given, stdin: bytes) -> bytes:
    """Start a shim, or find the group's: what containerd wants to read. The bundle is the working directory."""
    params = bootstrap(given, stdin)
    path = f"{params.socket_dir or SOCKETS}/{name_of(given.address, given.namespace, group_of(given.id))}"
    must_fit(path, "the shim's socket")
    address = f"unix://{path}"
    lock = alone_with(path)
    try:
        if not served(path, given.id):
            make(given, path, stdin)
        write_address(address)
    finally:
        unlock(path, lock)
    return answer(address, protocol_of(stdin))


def make(given: Given, path: str, stdin: bytes) -> None:
    """Have a shim that serves at this path, and a zygote for the next one."""
    cgroup, together = cgroup_of(stdin), bool(posix.environ.get(b"SCHED_CORE"))
    if together:
        placement.check_core()
    listener = listening(path)
    zygote.warm()
    launch(given, listener, path, {"cgroup": cgroup, "core": together})
    zygote.begin(given.zygote, given.address, given.main)


def bootstrap(given: Given, stdin: bytes) -> BootstrapParams:
    """What containerd 2.3 and later say on standard input; the flags fill what it leaves out."""
    params = BootstrapParams()
    if protocol_of(stdin) == PROTOBUF:
        params = BootstrapParams.decode(stdin)
        given.id, given.namespace = params.instance_id or given.id, params.namespace or given.namespace
        given.address = params.containerd_grpc_address or given.address
        given.ttrpc_address = params.containerd_ttrpc_address or given.ttrpc_address
    return params


def protocol_of(stdin: bytes) -> str:
    """How containerd wants its answer: 1.6 as text, with MAX_SHIM_VERSION as JSON, after parameters in their form."""
    if stdin:
        try:
            params = BootstrapParams.decode(stdin)     # older ones may give options, an Any, whose fields are fewer
            if params.instance_id and (params.containerd_ttrpc_address or params.containerd_grpc_address):
                return PROTOBUF
        except ValueError:
            pass
    return JSON if b"MAX_SHIM_VERSION" in posix.environ else PLAIN


def cgroup_of(stdin: bytes) -> str:
    """The folder of the cgroup that the runtime's options have for the shim, "" for none. UsageError without it."""
    try:
        given = Any.decode(stdin)
        name = Options.decode(given.value).shim_cgroup if given.type_url.endswith(Options.TYPE) else ""
    except ValueError:
        return ""
    return placement.folder(name) if name else ""


def answer(address: str, protocol: str) -> bytes:
    """The address in the form of that protocol."""
    if protocol == PROTOBUF:
        return BootstrapResult(version=3, address=address, protocol="ttrpc").encode()
    if protocol == JSON:
        return dumps({"version": 2, "address": address, "protocol": "ttrpc"}).encode()
    return address.encode()


def group_of(id: str) -> str:
    """Which shim a container belongs to: its pod's, or one of its own."""
    from ..config.load import load
    annotations: Mapping[str, str] = load(posix.getcwd()).get("annotations") or {}
    return next((annotations[name] for name in GROUPS if annotations.get(name)), id)


def name_of(address: str, namespace: str, group: str) -> str:
    """A name for the socket that is the same for all of a group: sockets' paths have 107 bytes."""
    from _blake2 import blake2b
    return blake2b("\0".join((address, namespace, group)).encode(), digest_size=32).hexdigest()


def alone_with(path: str) -> int:
    """The lock of a socket's name (lock.py). Two that start a shim for one pod at once would both find no shim, or one
    that was killed, and the second would remove the socket of the first one's. The socket's folder is made if it is not
    there."""
    folder = path.rpartition("/")[0]
    for made in (folder.rpartition("/")[0], folder):
        try:
            posix.mkdir(made, 0o711)
        except OSError:                                # it is there, or open(2) will tell
            pass
    try:
        return locked(path, wait=True)
    except OSError as fault:
        raise UsageError(f"listen at {path}: {strerror(fault.errno or 0)}") from None


def served(path: str, id: str) -> bool:
    """Whether a shim answers there. What is left of one that was killed is removed. Whoever asks has the lock.

    A connection alone says nothing: a worker of a shim that was killed has its socket open for a moment. When it ends,
    too, what waits for an answer is cut off. PyruncError for a shim that does not answer.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return answers(path, id, end - time.monotonic())
        except FileNotFoundError:
            return False
        except ConnectionRefusedError:
            posix.unlink(path)
            return False
        except OSError as fault:
            raise PyruncError(f"connect to {describe(fault)}") from None
        except RpcError as refused:
            if refused.code != codes.UNAVAILABLE or time.monotonic() > end:
                raise PyruncError(f"the shim at {path} does not answer: {refused.message}") from None


def answers(path: str, id: str, seconds: float) -> bool:
    """Ask the shim for its pid, which lets it wait for a container once more; also one that says something else has
    answered. OSError without a listener, RpcError when it is cut off or takes too long."""
    from ..ttrpc.messages.task import TASK_SERVICE, ConnectRequest, ConnectResponse
    try:
        ask(path, TASK_SERVICE, "Connect", ConnectRequest(id=id), ConnectResponse, max(seconds, LEAST))
    except RpcError as refused:
        if refused.code in (codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED):
            raise
    return True


def listening(path: str) -> _socket.socket:
    """A socket that listens at a path, for root alone."""
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    mask = posix.umask(0o177)
    try:
        socket.bind(path_of(path))
        socket.listen(128)
    except OSError as fault:
        socket.close()
        raise UsageError(f"listen at {path}: {describe(fault)}") from None
    finally:
        posix.umask(mask)
    return socket


#: The zygote's process that will be the shim (zygote.py).
ready: list[Channel] = []


def launch(given: Given, listener: _socket.socket, path: str, place: dict[str, Anything]) -> None:
    """Fork the shim, or tell the process that the zygote has forked; it goes on when this command has answered."""
    message = {"path": path, "namespace": given.namespace, "ttrpc_address": given.ttrpc_address,
               "program": [given.publisher, "--address", given.address] if given.publisher else [],
               "title": ["-namespace", given.namespace, "-id", given.id, "-address", given.address],
               "environment": dict(posix.environ), **place}
    if ready:
        cwd = posix.open(".", posix.O_PATH | posix.O_CLOEXEC)
        ready[0].send(message, [listener.fileno(), cwd])
        posix.close(cwd)
        listener.close()
        return
    if posix.fork():
        listener.close()
        return
    run(message, listener)


def become(channel: Channel) -> None:
    """Be the shim that the other end's launch() tells of; return if it tells of none."""
    received = channel.receive()
    if received is None:
        return
    message, (listener, cwd) = received
    posix.fchdir(cwd)
    posix.environ.clear()
    posix.environ.update(message["environment"])
    run(message, _socket.socket(fileno=listener))


def run(message: Message, listener: _socket.socket) -> None:
    """The shim, from its first moment to its end."""
    from .events import tell
    from .server import serve
    status = 1
    try:
        posix.setsid()
        title.show(message["title"])
        redirect()
        adjust()
        if message["cgroup"]:
            placement.enter(message["cgroup"])
        if message["core"]:
            placement.share_core()
        serve(alone(listener), message["path"], message["namespace"], message["ttrpc_address"],
              message["program"])
        status = 0
    except BaseException as fault:                     # nothing may reach the interpreter's own printer
        tell(f"pyrunc shim: {type(fault).__name__}: {fault}\n")
    finally:
        posix._exit(status)


def alone(listener: _socket.socket) -> _socket.socket:
    """Close all other descriptors but the standard ones: whatever came from the caller is not for a shim's life."""
    place(listener.detach(), 3)
    zygote.close_from(4)
    return _socket.socket(fileno=3)


def redirect() -> None:
    """Standard streams: nothing, and the FIFO `log` in the bundle, where containerd reads what a shim has to say."""
    null = posix.open("/dev/null", posix.O_RDWR)
    try:
        log = posix.open("log", posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        log = null
    posix.dup2(null, 0, True)
    posix.dup2(null, 1, True)
    posix.dup2(log, 2, True)
    for fd in {null, log}:
        if fd > 2:
            posix.close(fd)


def adjust() -> None:
    """The shim is rather killed for lack of memory than containerd: one more than its command has, at most 1000."""
    try:
        own = int(read("/proc/self/oom_score_adj"))
        fd = posix.open("/proc/self/oom_score_adj", posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            posix.write(fd, str(min(own + 1, 1000)).encode())
        finally:
            posix.close(fd)
    except OSError:                                    # a user namespace may not
        pass


def write_address(address: str) -> None:
    """The file `address` in the bundle: containerd 1.6 finds the shim again by it."""
    fd = posix.open(".address", posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
    try:
        posix.write(fd, address.encode())
    finally:
        posix.close(fd)
    posix.rename(".address", "address")
