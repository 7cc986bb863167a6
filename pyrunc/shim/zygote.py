"""The zygote: a warm process of the host from which shims are forked, so that they share its memory and start at once.

The first shim of a containerd leaves it behind. `start` finds it by its socket (_native/zygote_client.c), whose name
tells the mount namespace, the program and containerd's address apart. Where it is not there, or does not take the
command, `start` does its work alone. It ends when it is not used, or when containerd's socket is gone; shims go on.

Its folder is root's alone. Whoever asks must be root, in the same namespaces and the same cgroup as the zygote, with
the same limits and privileges: a shim is what that process would have become itself.
"""
from __future__ import annotations

import _signal
import _socket
import posix
import select
import stat
import time
from sys import byteorder

from ..keeper.channel import pair
from ..kernel.small_file import read
from .lock import LOCK, locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Main = Callable[[list[str]], int]

#: As zygote_client.c has it.
FOLDER = "/run/pyrunc-zygote"
REQUEST = 64 << 10
#: Seconds without a request after which it ends; between two looks at containerd's socket; for one request to come.
IDLE, LOOK, PATIENCE = 300.0, 5.0, 2.0
NAME = b"pyrunc-zygote"
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
#: What a process has from its parent, as /proc/PID/status names it (proc_pid_status(5)).
INHERITED = ("Umask:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:",
             "Cpus_allowed:", "Mems_allowed:")
TAKEN = b"+"
#: In what warm() has made, and whatever is forked from it, it has no more to do.
_frozen: list[bool] = []


def warm() -> None:
    """Import what shims and their workers will need, and tell the collector that it is no garbage: what is touched in a
    shim is its own memory from then on."""
    import gc

    from .. import plan  # noqa: F401
    from ..runtime import delete, freeze, start  # noqa: F401
    from ..steps import (  # noqa: F401
        capabilities,
        cgroup,
        devices,
        hooks,
        identity,
        join,
        keyring,
        kill,
        mounts,
        namespaces,
        network,
        paths,
        process,
        root,
        scheduling,
        sd_notify,
        seccomp,
        state,
        terminal,
        user,
        uts,
    )
    from ..steps import delete as deleting  # noqa: F401
    from ..steps import start as starting  # noqa: F401
    from . import copier, operations, server, service, stats, stdio  # noqa: F401
    if not _frozen:
        gc.collect()
        gc.freeze()
        _frozen.append(True)


def begin(name: str, address: str, main: Main) -> None:
    """Fork the zygote. name: of its socket; address: containerd's, without which there is none; main: does a command.
    """
    if not name or not _there(address) or posix.fork():
        return
    try:
        posix.setsid()
        null = posix.open("/dev/null", posix.O_RDWR)
        for fd in range(3):
            posix.dup2(null, fd, True)
        close_from(3)
        posix.chdir("/")
        serve(name, address, main)
    finally:
        posix._exit(0)


def close_from(first: int) -> None:
    """Close every descriptor from this one on."""
    from .._native import lib
    lib.pr_close_range(first, (1 << 32) - 1, 0)


def serve(name: str, address: str, main: Main) -> None:
    """Fork a process for each request. Returns when there is no more use, or another zygote has this name."""
    from . import title
    from .server import rename
    rename(NAME)
    title.show(["zygote", "-address", address])
    if not folder_is_ours():
        return
    lock = locked(name)                                     # by the zygote that listens there, as long as it lives
    if lock < 0:
        return
    sweep()
    listener = _listen(name)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)        # whoever it forks is reaped by the kernel
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    own, used = looks(posix.getpid()), time.monotonic()
    while time.monotonic() - used < IDLE and _there(address):
        if poll.poll(LOOK * 1000):
            fd, _ = listener._accept()  # type: ignore[attr-defined]
            connection = _socket.socket(fileno=fd)
            if handle(connection, address, own, main, [lock, listener.fileno()]):
                used = time.monotonic()
            connection.close()
    remove(name)


def remove(name: str) -> None:
    """Remove socket and lock of a name; whoever calls has the lock."""
    for path in (name, name + LOCK):
        try:
            posix.unlink(path)
        except FileNotFoundError:
            pass


def sweep() -> None:
    """Remove what zygotes that were killed have left: nobody has their locks."""
    for entry in posix.listdir(FOLDER):
        if entry.endswith(LOCK):
            name = f"{FOLDER}/{entry.removesuffix(LOCK)}"
            lock = locked(name)
            if lock >= 0:
                remove(name)
                posix.close(lock)


def folder_is_ours() -> bool:
    """Whether the folder of sockets is root's alone. It is made if it is not there."""
    try:
        posix.mkdir(FOLDER, 0o700)
    except FileExistsError:
        pass
    found = posix.lstat(FOLDER)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o077


def _listen(name: str) -> _socket.socket:
    try:
        posix.unlink(name)
    except FileNotFoundError:
        pass
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    mask = posix.umask(0o177)
    listener.bind(name)
    posix.umask(mask)
    listener.listen(64)
    return listener


def _there(address: str) -> bool:
    try:
        return stat.S_ISSOCK(posix.stat(address.rpartition("://")[2]).st_mode)
    except OSError:
        return False


def looks(pid: int) -> tuple[Any, ...]:
    """What of a process is not in its request, and a shim, and its containers, would have from it."""
    status = read(f"/proc/{pid}/status", 1 << 14).splitlines()
    return (*(posix.stat(f"/proc/{pid}/ns/{name}").st_ino for name in NAMESPACES),
            *(read(f"/proc/{pid}/{name}") for name in ("cgroup", "limits", "oom_score_adj")),
            *(line for line in status if line.startswith(INHERITED)))


def handle(connection: _socket.socket, address: str, own: tuple[Any, ...], main: Main, close: list[int]) -> bool:
    """One request: whether it was taken, by a process of its own."""
    try:
        peer = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        pid, uid = (int.from_bytes(peer[at:at + 4], byteorder) for at in (0, 4))
        if uid != 0 or looks(pid) != own:
            return False
        connection.settimeout(PATIENCE)
        data, rights, _, _ = connection.recvmsg(REQUEST, _socket.CMSG_SPACE(4 * 4), _socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return False
    fds = [int.from_bytes(part[at:at + 4], byteorder) for _, _, part in rights for at in range(0, len(part), 4)]
    arguments, environment = strings(data)
    taken = len(fds) == 4 and _address_of(arguments) == address
    if taken and posix.fork() == 0:
        _take(connection, arguments, environment, fds, main, close)
    for fd in fds:
        posix.close(fd)
    return taken


def strings(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """The arguments and the environment of a request: strings after a "=" each, and an empty one after each row."""
    rows: list[list[bytes]] = [[], []]
    at = 0
    for part in data.split(b"\0")[:-1]:
        if part:
            rows[min(at, 1)].append(part[1:])
        else:
            at += 1
    return rows[0], rows[1]


def _address_of(arguments: list[bytes]) -> str:
    for word, following in zip(arguments, [*arguments[1:], b""]):
        flag = word.lstrip(b"-") if word[:1] == b"-" else b""
        if flag == b"address":
            return following.decode(errors="surrogateescape")
        if flag.startswith(b"address="):
            return flag[8:].decode(errors="surrogateescape")
    return ""


def _take(connection: _socket.socket, arguments: list[bytes], environment: list[bytes], fds: list[int], main: Main,
          close: list[int]) -> None:
    """Two processes: one does the command as if it were the caller; the other has not touched anything and becomes the
    shim, if there is to be one."""
    from . import launch
    try:
        for fd in close:
            posix.close(fd)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        mine, its = pair()
        if posix.fork() == 0:
            connection.close()
            its.close()
            for fd in fds:
                posix.close(fd)
            launch.become(mine)
            return
        mine.close()
        launch.ready.append(its)
        posix.fchdir(fds[0])
        for number, fd in enumerate(fds[1:]):
            posix.dup2(fd, number, True)
        for fd in fds:
            posix.close(fd)
        posix.environ.clear()
        posix.environ.update(pair.partition(b"=")[::2] for pair in environment)
        connection.send(TAKEN)
        status = main(["shim", *(word.decode(errors="surrogateescape") for word in arguments[1:])])
        connection.send(bytes([status & 0xff]))
    finally:
        posix._exit(0)
