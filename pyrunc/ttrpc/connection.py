"""A connection on the loop: frames in, frames out, never blocking and never holding more than its bounds."""
from __future__ import annotations

import errno

from ..kernel.loop import READ, WRITE
from .frames import FrameError, Reader, TooLarge, pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from ..kernel.loop import Loop

#: What a peer may leave unread, bytes: two of the largest frames. One that leaves more is cut off.
UNREAD = 8 << 20
#: Bytes that are read at once. Large pieces of memory that come and go leave holes in the heap, and it grows.
CHUNK = 1 << 12
AGAIN = (errno.EAGAIN, errno.EINTR)


class Connection:
    """Owns a connected, non-blocking socket.

    on_frame    called with (stream, type, data or TooLarge) of each frame
    on_close    called once, when the peer has gone or was cut off
    """

    def __init__(self, loop: Loop, socket: _socket.socket, on_frame: Callable[[int, int, bytes | TooLarge], None],
                 on_close: Callable[[], None]) -> None:
        socket.setblocking(False)
        self.loop, self.socket = loop, socket
        self.on_frame, self.on_close = on_frame, on_close
        self.reader = Reader()
        self.unsent = bytearray()
        self.closed = False
        loop.watch(socket.fileno(), READ, self._ready)

    def send(self, stream: int, kind: int, data: bytes) -> None:
        """Send a frame, now or as soon as the peer takes it. Nothing happens on a connection that is closed."""
        if self.closed:
            return
        idle = not self.unsent
        self.unsent += pack(stream, kind, data)
        if idle:
            self._flush()
        if len(self.unsent) > UNREAD:
            self.close()

    def close(self) -> None:
        """Close the socket; what was not sent is dropped."""
        if self.closed:
            return
        self.closed = True
        self.loop.forget(self.socket.fileno())
        self.socket.close()
        self.unsent.clear()
        self.on_close()

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if not self.closed and events & ~WRITE:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self.socket.recv(CHUNK)
        except OSError as fault:
            if fault.errno not in AGAIN:
                self.close()
            return
        if not data:
            self.close()
            return
        try:
            for stream, kind, body in self.reader.feed(data):
                self.on_frame(stream, kind, body)
                if self.closed:
                    return
        except FrameError:
            self.close()

    def _flush(self) -> None:
        try:
            while self.unsent:
                del self.unsent[:self.socket.send(self.unsent)]
        except OSError as fault:
            if fault.errno not in AGAIN:
                self.close()
                return
        self.loop.watch(self.socket.fileno(), READ | (WRITE if self.unsent else 0), self._ready)
