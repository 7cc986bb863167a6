"""The path of a unix socket, for which an address has 108 bytes, with a NUL at the end (sun_path of unix(7))."""
from __future__ import annotations

import posix

from ..errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

#: Bytes of a path that an address holds.
LONGEST = 107


def size(path: str) -> int:
    """Bytes of a path."""
    return len(path.encode(errors="surrogateescape"))


def must_fit(path: str, what: str) -> None:
    """UsageError for a path that no address holds, where others are to find the socket by that. what: the socket is."""
    if size(path) > LONGEST:
        raise UsageError(f"{what} {path}: the path of a unix socket has at most {LONGEST} bytes, "
                         f"this one has {size(path)}")


class Named:
    """`with Named(path) as name`: by that name bind(2) and connect(2) take a path of any length. OSError without its
    directory."""

    def __init__(self, path: str) -> None:
        self._path, self._folder = path, -1

    def __enter__(self) -> str:
        if size(self._path) <= LONGEST:
            return self._path
        folder, _, name = self._path.rpartition("/")
        self._folder = posix.open(folder or "/", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
        return f"/proc/self/fd/{self._folder}/{name}"

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._folder >= 0:
            posix.close(self._folder)
