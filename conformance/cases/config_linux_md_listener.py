"""config-linux.md: the listener of seccomp, and what it is sent; and the terminal, which comes over a socket, too."""
from __future__ import annotations

import array
import json
import os
import socket
from typing import Any

from ..harness import patience
from ..harness.trial import Container, Trial
from ..model import Fails, case

ROW = "config-linux.md#the-container-process-state"


class Message:
    """What a runtime has sent over one connection: the first message with its descriptors, and what came behind it."""

    def __init__(self, server: socket.socket) -> None:
        server.settimeout(patience.stretched(20))
        try:
            self.connection, _ = server.accept()
        except TimeoutError as error:
            raise Fails("the runtime does not connect") from error
        self.connection.settimeout(patience.stretched(20))
        try:
            self.text, ancillary, _, _ = self.connection.recvmsg(1 << 16, socket.CMSG_SPACE(4 * 8))
        except TimeoutError as error:
            raise Fails("the runtime connects, and says nothing") from error
        found = array.array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(data[:len(data) - len(data) % 4])
        self.fds = list(found)

    def rest(self) -> bytes:
        """What comes until the connection is closed. Fails when it stays open."""
        try:
            return self.connection.recv(1 << 16)
        except TimeoutError as error:
            raise Fails("the connection stays open") from error


def server(t: Trial, name: str) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.bind(str(t.place / name))
    found.listen(4)
    return found


def listened(t: Trial) -> tuple[Container, Message, socket.socket, dict[str, Any]]:
    """A started container with a listener, and the message that came. Nothing of what it does is notified."""
    t.needs_feature("linux", "seccomp", "actions", value="SCMP_ACT_NOTIFY")
    t.needs_spec("1.0.2")
    listener = server(t, "listener")
    rules = [{"names": ["swapoff"], "action": "SCMP_ACT_NOTIFY"}]
    made = t.create(annotations={"key": "value"}, linux={"seccomp": {
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(t.place / "listener"), "listenerMetadata": "words",
        "syscalls": rules}}).start()
    message = Message(listener)
    try:
        return made, message, listener, dict(json.loads(message.text))
    except ValueError as error:
        raise Fails(f"the message is no JSON: {message.text[:300]!r}") from error


@case(ROW, "the state is JSON, descriptors come by SCM_RIGHTS", "descriptors come with the first message", "ociVersion",
      "fds", "pid", "metadata", "state",
      also={"config-linux.md#seccomp": ("listenerPath is a unix stream socket", "listenerPath", "listenerMetadata")})
def listener_gets_the_state(t: Trial) -> None:
    """The listener gets the state as JSON and, with the first message, as many descriptors as `fds` has names"""
    made, message, _, state = listened(t)
    t.equal(len(message.fds), len(state.get("fds") or []), f"descriptors; fds is {state.get('fds')}")
    t.true("seccompFd" in state["fds"], f"fds is {state['fds']}")
    at = message.fds[state["fds"].index("seccompFd")]
    t.true("seccomp notify" in os.readlink(f"/proc/self/fd/{at}"), "seccompFd is no descriptor of seccomp")
    t.equal(state.get("pid"), made.pid, "pid")
    t.equal(state.get("metadata"), "words", "metadata")
    inner = state.get("state") or {}
    t.equal((inner.get("id"), inner.get("annotations")), (made.id, {"key": "value"}), "id and annotations of state")
    t.true(isinstance(state.get("ociVersion"), str), "no ociVersion")


@case("config-linux.md#seccomp", "one state for each connection, which is closed then")
def listener_is_left(t: Trial) -> None:
    """One state comes over the connection, which is closed then"""
    _, message, _, _ = listened(t)
    t.equal(message.rest(), b"", "what comes behind the state")


@case("config-linux.md#default-devices", "/dev/console, with a terminal", also={"config.md#process": ("terminal",)})
def terminal(t: Trial) -> None:
    """With terminal, the streams are a pseudoterminal, whose master comes over --console-socket; /dev/console is it"""
    console = server(t, "console")
    bundle, id = t.bundle(process={"terminal": True, "args": [
        "sh", "-c", "tty; test /dev/console -ef /dev/pts/0 && echo same; stat -c %F /dev/console"]}), t.new_id()
    t.runtime.ok("create", "--bundle", bundle, "--console-socket", t.place / "console", id)
    message = Message(console)
    t.equal(len(message.fds), 1, "descriptors over the socket")
    t.runtime.ok("start", id)
    text = b""
    while True:
        try:
            part = os.read(message.fds[0], 4096)
        except OSError:
            break
        if not part:
            break
        text += part
    lines = text.decode().replace("\r", "").split("\n")
    t.true(lines[0].startswith("/dev/"), f"the streams are no terminal: {lines}")
    t.true("character special file" in lines, f"/dev/console: {lines}")
    t.true("same" in lines, f"/dev/console is not the terminal: {lines}")


@case("config.md#process", "consoleSize", "consoleSize.height", "consoleSize.width")
def console_size(t: Trial) -> None:
    """The terminal has the size of consoleSize"""
    console = server(t, "console")
    size = {"height": 33, "width": 77}
    bundle = t.bundle(process={"terminal": True, "consoleSize": size, "args": ["sleep", "100"]})
    t.runtime.ok("create", "--bundle", bundle, "--console-socket", t.place / "console", t.new_id())
    message = Message(console)
    t.runtime.ok("start", t.id)
    found = os.get_terminal_size(message.fds[0])
    t.equal((found.lines, found.columns), (33, 77), "lines and columns")
