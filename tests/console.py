"""The engine's end of a console socket: takes the terminal's master from the runtime and reads what comes of it."""
from __future__ import annotations

import array
import errno
import os
import select
import socket
import time
from pathlib import Path
from types import TracebackType


class Console:
    """A listening socket at path; accept() takes the one message a runtime sends. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self.name = ""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(path))
        self.socket.listen(1)

    def __enter__(self) -> Console:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.socket.close()
        if self.master >= 0:
            os.close(self.master)

    def accept(self, seconds: float = 60) -> int:
        """The master's descriptor; self.name is the text that came with it."""
        self.socket.settimeout(seconds)
        connection, _ = self.socket.accept()
        with connection:
            connection.settimeout(seconds)
            text, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4 * 4))
        found = array.array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(data)
        assert len(found) == 1, f"one descriptor is to come with {text!r}, not {len(found)}"
        self.name, self.master = text.decode(), found[0]
        return self.master

    def read(self, until: str = "", seconds: float = 60) -> str:
        """What the terminal prints until this text came, or until its last user is gone."""
        data, deadline = b"", time.monotonic() + seconds
        while not until or until.encode() not in data:
            left = deadline - time.monotonic()
            assert left > 0, f"the terminal said only {data!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    part = os.read(self.master, 65536)
                except OSError as error:
                    if error.errno != errno.EIO:
                        raise
                    part = b""
                if not part:
                    break
                data += part
        return data.decode(errors="replace")

    def write(self, text: str) -> None:
        os.write(self.master, text.encode())
