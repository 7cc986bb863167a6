"""The kubelet's way into a running container: a websocket whose messages start with a channel's number.

The protocol is v4.channel.k8s.io: 0 is standard input, 1 output, 2 error, 3 the outcome as a Kubernetes Status,
4 the terminal's size. A forwarded port has two channels, for data and for errors, and the first message of each is the
port's number. A frame is RFC 6455's.
"""
from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any
from urllib.parse import urlsplit

STDIN, STDOUT, STDERR, OUTCOME, SIZE = range(5)
BINARY, CLOSE, PING = 2, 8, 9


class Stream:
    """An open session; `said` is what came on each channel so far."""

    def __init__(self, url: str, protocol: str = "v4.channel.k8s.io", seconds: float = 150) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self.socket = socket.create_connection((parts.hostname, parts.port or 80), seconds)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        self.socket.sendall((
            f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: cHlydW5jcHlydW5jcHlydQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        answer = self.file.readline()
        assert b" 101 " in answer, answer + self.file.read(1000)
        while self.file.readline() not in (b"\r\n", b""):
            pass
        self.said: dict[int, bytes] = {}

    def send(self, channel: int, data: bytes, kind: int = BINARY) -> None:
        payload = bytes([channel]) + data if kind == BINARY else data
        mask = os.urandom(4)
        length = (struct.pack("!B", 0x80 | len(payload)) if len(payload) < 126
                  else struct.pack("!BH", 0x80 | 126, len(payload)))
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.socket.sendall(bytes([0x80 | kind]) + length + mask + masked)

    def resize(self, width: int, height: int) -> None:
        self.send(SIZE, json.dumps({"Width": width, "Height": height}).encode())

    def receive(self) -> bool:
        """Take one message in; False when the other side has closed."""
        head = self.file.read(2)
        if len(head) < 2:
            return False
        kind, length = head[0] & 15, head[1] & 127
        if length >= 126:
            form = "!H" if length == 126 else "!Q"
            length = struct.unpack(form, self.file.read(struct.calcsize(form)))[0]
        payload = self.file.read(length)
        if kind == CLOSE:
            return False
        if kind != PING and payload:
            self.said[payload[0]] = self.said.get(payload[0], b"") + payload[1:]
        return True

    def until(self, channel: int, text: bytes) -> None:
        """Until the text has come on the channel."""
        while text not in self.said.get(channel, b""):
            assert self.receive(), self.said

    def outcome(self) -> dict[str, Any]:
        """Everything to the end; {"status": "Success"}, or a "Failure" with the exit code among its causes."""
        while self.receive():
            pass
        status: dict[str, Any] = json.loads(self.said[OUTCOME])
        return status

    def exit_code(self) -> int:
        status = self.outcome()
        if status["status"] == "Success":
            return 0
        return int(next(cause["message"] for cause in status["details"]["causes"] if cause["reason"] == "ExitCode"))

    def close(self) -> None:
        self.file.close()
        self.socket.close()
