"""ttrpc's frames: ten bytes of header, big endian, then data (PROTOCOL.md of github.com/containerd/ttrpc).

    length: u32   stream: u32   type: u8   flags: u8
"""
from __future__ import annotations

import _struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = _struct.Struct(">IIBB")
REQUEST, RESPONSE, DATA = 1, 2, 3
#: Flags of a stream that is not unary; the services of a shim have none.
REMOTE_CLOSED, REMOTE_OPEN = 1, 2
#: The data of one frame, bytes. A receiver refuses more.
LARGEST = 4 << 20
#: The first byte of a header is always 0: a length of more is no frame, and where the next one begins is unknown.
RESERVED = 1 << 24


class FrameError(Exception):
    """What came cannot be ttrpc: the connection is of no use any more."""


class TooLarge:
    """Stands for the data of a frame that was longer than LARGEST; length in bytes."""

    def __init__(self, length: int) -> None:
        self.length = length


def pack(stream: int, kind: int, data: bytes, flags: int = 0) -> bytes:
    """A frame. ValueError when data is longer than LARGEST."""
    if len(data) > LARGEST:
        raise ValueError(f"{len(data)} bytes are more than a frame holds")
    return HEADER.pack(len(data), stream, kind, flags) + data


class Reader:
    """Cuts what comes on a connection into frames, however it is divided. Holds at most one frame."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.skip = 0                    # bytes still to come of a frame that is too large

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes | TooLarge]]:
        """(stream, type, data) of each frame that data completes. FrameError when it can be no frame."""
        held = self.held
        held += data
        while True:
            if self.skip:
                gone = min(self.skip, len(held))
                del held[:gone]
                self.skip -= gone
            if self.skip or len(held) < HEADER.size:
                return
            length, stream, kind, _ = HEADER.unpack_from(held)
            if length >= RESERVED:
                raise FrameError(f"a frame of {length} bytes")
            if length > LARGEST:
                del held[:HEADER.size]
                self.skip = length
                yield stream, kind, TooLarge(length)
                continue
            end = HEADER.size + length
            if len(held) < end:
                return
            body = bytes(held[HEADER.size:end])
            del held[:end]
            yield stream, kind, body
