"""The state root: where containers are remembered, one directory each (steps/state.py makes and fills it).

Three rules make every moment of a SIGKILL recoverable. The directory is made before anything else and removed
after everything else. intent.json names what create is about to make before it makes it. state.json appears
whole, by rename, when the container is `created`. So: neither file, nothing was made; only the intent, create is
at work or was killed; state.json, there is a container.

Whoever changes a container holds a record lock on <root>/<id>/lock. Readers take none: what they read was
renamed into place. `kill` takes none either: a signal must not wait for a hook. The lock ends with its process,
and a fork does not inherit it.
"""
from __future__ import annotations

import errno
import posix

from ..config.load import loads
from ..errors import DOES_NOT_EXIST, EMPTY_ID, INVALID_ID, StateError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..files import Files

VERSION = 1
INTENT, STATE, CONFIG, LOCK, FIFO, JOURNAL = "intent.json", "state.json", "config.json", "lock", "exec.fifo", "journal"
PATIENCE = 10.0                  # seconds that a command waits for another one
ID_LIMIT = 255                   # NAME_MAX: the id is a file name
ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
# Others may write neither the root nor, by owning it, put a container there whose poststop hook we would run.
FOREIGN_WRITE = 0o002


def check_id(id: str) -> None:
    """Raises UsageError unless id is a name for a container: 1 to 255 of A-Z a-z 0-9 _ + - . and not "." or ".."."""
    if not id:
        raise UsageError(EMPTY_ID)
    if id in (".", "..") or len(id) > ID_LIMIT or not ID_CHARACTERS.issuperset(id):
        raise UsageError(INVALID_ID)


def make_root(root: str, kernel: Files) -> None:
    """Make the state root (0700) and what is missing above it; StateError if it is not the caller's own."""
    missing = root
    while True:
        try:
            kernel.mkdir(missing, 0o700)
        except FileExistsError:
            break
        except FileNotFoundError:
            missing = missing.rpartition("/")[0]
            continue
        if missing == root:
            break
        missing = root
    _check_owner(root, kernel.stat_path(root))


def _check_owner(root: str, found: posix.stat_result) -> None:
    if found.st_uid != posix.geteuid() or found.st_mode & FOREIGN_WRITE:
        raise StateError(f"state root {root} can be written by others: owner {found.st_uid}, "
                         f"mode {found.st_mode & 0o7777:04o}")


def read(root: str, id: str, name: str) -> Any:
    """A JSON file of a container, parsed; None when there is none. StateError when it cannot be ours."""
    path = f"{root}/{id}/{name}"
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        data = b""
        while part := posix.read(fd, 1 << 20):
            data += part
    finally:
        posix.close(fd)
    record = loads(data, path)
    if name != CONFIG and record.get("version") != VERSION:
        raise StateError(f"{path} has version {record.get('version')}, this pyrunc reads {VERSION}")
    return record


def exists(root: str, id: str) -> bool:
    """Whether the container has a directory, whatever is in it. StateError when the root is not the caller's own."""
    try:
        _check_owner(root, posix.stat(root))
        posix.lstat(f"{root}/{id}")
    except FileNotFoundError:
        return False
    return True


def write(root: str, id: str, name: str, record: object) -> None:
    """Replace a JSON file of a container as a whole; the caller holds the lock."""
    from ..config.dump import dumps
    from ..files import Files
    directory = posix.open(f"{root}/{id}", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    try:
        Files().write_new(name, dumps(record).encode(), 0o600, directory)
    finally:
        posix.close(directory)


class Busy(StateError):
    """Somebody else keeps the container's lock."""


class Lock:
    """The container's lock, held from here to close() or the end of a with block.

    seconds   how long to try; make: also where there is no lock file (yet), for delete
    Raises Busy when somebody else keeps it, StateError when the container is gone (by then).
    """
    __slots__ = ("fd",)

    def __init__(self, root: str, id: str, seconds: float = PATIENCE, make: bool = False) -> None:
        import fcntl
        import time
        path = f"{root}/{id}/{LOCK}"
        flags = posix.O_RDWR | posix.O_CLOEXEC | posix.O_NOFOLLOW | (posix.O_CREAT if make else 0)
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.fd = posix.open(path, flags, 0o600)
            except FileNotFoundError:
                raise StateError(DOES_NOT_EXIST) from None
            try:
                fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):       # fcntl(2): EAGAIN or EACCES
                posix.close(self.fd)
                if time.monotonic() >= deadline:
                    raise Busy(f"container {id}: another command works on it") from None
                time.sleep(0.005)
                continue
            if posix.fstat(self.fd).st_nlink:
                return
            posix.close(self.fd)      # of a container that was deleted while we waited: look again

    def close(self) -> None:
        """Give it back."""
        posix.close(self.fd)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_count(root: str, id: str, name: str) -> int:
    """A file of a container that holds one number; 0 when there is none."""
    try:
        fd = posix.open(f"{root}/{id}/{name}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except FileNotFoundError:
        return 0
    try:
        return int(posix.read(fd, 32))
    finally:
        posix.close(fd)


def release(root: str, id: str) -> None:
    """Give back the lock that this process took somewhere: closing any descriptor of the file does (fcntl(2))."""
    try:
        posix.close(posix.open(f"{root}/{id}/{LOCK}", posix.O_RDONLY | posix.O_CLOEXEC))
    except FileNotFoundError:
        pass


def remove(root: str, id: str) -> None:
    """Remove the container's directory; what says that there was one goes last, so a killed remove can be resumed."""
    directory = f"{root}/{id}"
    last = (INTENT, LOCK)
    for name in posix.listdir(directory):
        if name not in last:
            try:
                posix.unlink(f"{directory}/{name}")
            except IsADirectoryError:
                _remove_directory(f"{directory}/{name}")
    for name in last:
        try:
            posix.unlink(f"{directory}/{name}")
        except FileNotFoundError:
            pass
    try:
        posix.rmdir(directory)
    except OSError as fault:
        if fault.errno not in (errno.ENOTEMPTY, errno.ENOENT):     # another delete made a lock in it, and removes both
            raise


def _remove_directory(path: str) -> None:
    for name in posix.listdir(path):
        posix.unlink(f"{path}/{name}")
    posix.rmdir(path)
