"""Messages with descriptors between a keeper, its workers and whoever started it: a unix socket of whole packets.

Both ends are the same user's and the same build's, so a message is Python's own marshal of plain values; it is never
read from anyone else. What does not fit a packet goes into a memfd whose descriptor is sent instead.
"""
from __future__ import annotations

import _socket
import marshal
import posix
from sys import byteorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Message = dict[str, Any]

#: Bytes of a packet. The kernel's default for a socket's buffer is some 200 KiB.
PACKET = 32 << 10
#: Descriptors that one message may carry besides the memfd; the kernel takes 253 (SCM_MAX_FD).
DESCRIPTORS = 64
WHOLE, ELSEWHERE = b"\0", b"\1"


def pair() -> tuple[Channel, Channel]:
    """Two connected ends."""
    one, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    return Channel(one), Channel(other)


class Channel:
    """One end; owns its socket."""

    def __init__(self, socket: _socket.socket) -> None:
        self.socket = socket

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self.socket.fileno()

    def send(self, message: Message, fds: Sequence[int] = (), wait: bool = True) -> None:
        """Send a message; the descriptors stay the caller's. BrokenPipeError when the other end is closed.

        wait    for room in the other end's buffer; else BlockingIOError where there is none
        """
        data = marshal.dumps(message)
        if len(data) < PACKET:
            self._send(WHOLE + data, fds, wait)
            return
        large = posix.memfd_create("pyrunc-message", posix.MFD_CLOEXEC)
        try:
            while data:
                data = data[posix.write(large, data):]
            self._send(ELSEWHERE, [large, *fds], wait)
        finally:
            posix.close(large)

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message and its descriptors, which are the caller's now; None when the other end is closed."""
        while True:
            try:
                size = self.socket.recv_into(bytearray(1), 0, _socket.MSG_PEEK | _socket.MSG_TRUNC)
                data, rights, _, _ = self.socket.recvmsg(
                    size, _socket.CMSG_SPACE(4 * (DESCRIPTORS + 1)), _socket.MSG_CMSG_CLOEXEC)
                break
            except InterruptedError:
                continue
            except ConnectionResetError:
                return None
        fds = [int.from_bytes(part[at:at + 4], byteorder) for level, kind, part in rights
               if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS for at in range(0, len(part), 4)]
        if not data:
            return None
        return marshal.loads(_content(fds.pop(0)) if data[:1] == ELSEWHERE else data[1:]), fds

    def close(self) -> None:
        """Close the socket; again is no error."""
        self.socket.close()

    def _send(self, packet: bytes, fds: Sequence[int], wait: bool) -> None:
        rights = b"".join(fd.to_bytes(4, byteorder) for fd in fds)
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if rights else []
        while True:
            try:
                self.socket.sendmsg([packet], ancillary, _socket.MSG_NOSIGNAL | (0 if wait else _socket.MSG_DONTWAIT))
                return
            except InterruptedError:
                continue


def _content(fd: int) -> bytes:
    try:
        size, parts, at = posix.fstat(fd).st_size, [], 0
        while at < size and (part := posix.pread(fd, size - at, at)):
            parts.append(part)
            at += len(part)
        return b"".join(parts)
    finally:
        posix.close(fd)
