"""A process between a runtime and the listener of a container's seccomp filter, which does what a runtime must not."""
from __future__ import annotations

import array
import fcntl
import json
import os
import signal
import socket
import termios
import time
from collections.abc import Callable

from .wrapper import bundle_of

SECONDS = 600       # longer than a case waits, however slow the machine; it is at its end by then, whatever happens
BYTES = 1 << 16


def between(twice: bool = False, stays: bool = False, late: bool = False,
            loses: bool = False) -> Callable[[str, list[str], list[str]], object]:
    """Of a create: listen in place of the listener. twice: send the state twice; stays: leave the connection open;
    late: send the descriptors behind the first message; loses: send none."""
    def before(command: str, real: list[str], words: list[str]) -> None:
        if command == "create":
            file = os.path.join(bundle_of(words), "config.json")
            with open(file) as opened:
                path = json.load(opened).get("linux", {}).get("seccomp", {}).get("listenerPath")
            if path and not os.path.exists(f"{path}.real"):
                _stand_in(path, twice, stays, late, loses)
    return before


def _unread(to: socket.socket) -> int:
    """Whether the other side has read everything yet: the memory that is sent and not received."""
    return array.array("i", fcntl.ioctl(to, termios.TIOCOUTQ, bytes(4)))[0]


def _stand_in(path: str, twice: bool, stays: bool, late: bool, loses: bool) -> None:
    """Take the place of the socket at `path`, and hand on what comes to it, in a process of its own."""
    os.rename(path, f"{path}.real")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(4)
    if os.fork():
        server.close()
        return
    try:
        os.setsid()
        signal.alarm(SECONDS)
        connection, _ = server.accept()
        text, fds, _, _ = socket.recv_fds(connection, BYTES, 8)
        to = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        to.connect(f"{path}.real")
        if late or loses:
            to.sendall(text)
        if late:
            while _unread(to):              # else the kernel hands over both at once
                time.sleep(0.02)
        if not loses:
            socket.send_fds(to, [b" " if late else text], fds)
        if twice:
            to.sendall(text)
        if stays:
            time.sleep(SECONDS)
    finally:
        os._exit(0)
