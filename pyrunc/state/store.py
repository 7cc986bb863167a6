"""The state root: where containers are remembered, one directory each (steps/state.py makes and fills it).

Three rules make every moment of a SIGKILL recoverable. The directory is made before anything else and removed
after everything else. intent.json names what create is about to make before it makes it. state.json appears
whole, by rename, when the container is `created`. So: neither file, nothing was made; only the intent, create is
at work or was killed; state.json, there is a container.

Whoever changes a container has <root>/<id>/lock locked (kernel/own_files.py): one at a time, within one process, too.
Readers take no lock: what they read was renamed into place. `kill` takes none either: a signal must not wait for a
hook. The lock ends with its process; the container's init, which inherits the descriptor of create, closes it at once.
"""
from __future__ import annotations

import errno
import posix

from ..config.load import MAX_SIZE, loads, read_all
from ..errors import DOES_NOT_EXIST, EMPTY_ID, INVALID_ID, ConfigError, NoSuchContainer, StateError, UsageError
from ..kernel.own_files import check_owner, lock, open_file, unlock
from ..paths import absolute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..config.types import Config
    from ..kernel.posix import PosixKernel

VERSION = 1
INTENT, STATE, CONFIG, LOCK, FIFO, JOURNAL = "intent.json", "state.json", "config.json", "lock", "exec.fifo", "journal"
PLAN = "plan.json"
POSTSTOP = "poststop"            # the number of poststop hooks that have run
PATIENCE = 10.0                  # seconds that a command waits for another one
ID_LIMIT = 255                   # NAME_MAX: the id is a file name
ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
LARGEST = 7 * MAX_SIZE           # a config.json of nothing but DEL grows sixfold when it is written as ASCII


def check_id(id: str) -> None:
    """Raises UsageError unless id is a name for a container: 1 to 255 of A-Z a-z 0-9 _ + - . and not "." or ".."."""
    if not id:
        raise UsageError(EMPTY_ID)
    if id in (".", "..") or len(id) > ID_LIMIT or not ID_CHARACTERS.issuperset(id):
        raise UsageError(INVALID_ID)


def default_root() -> str:
    """The state root if none is given: $XDG_RUNTIME_DIR/pyrunc for whoever is not root of the host, or /run/pyrunc."""
    runtime_directory = posix.environ.get(b"XDG_RUNTIME_DIR", b"").decode(errors="surrogateescape")
    if runtime_directory and (posix.geteuid() != 0 or _foreign_root()):
        return absolute(f"{runtime_directory}/pyrunc")
    return "/run/pyrunc"


def _foreign_root() -> bool:
    """Root only of a user namespace, on behalf of a user: rootless Podman runs its runtime so."""
    from ..kernel.small_file import read
    return posix.environ.get(b"USER") != b"root" and read("/proc/self/uid_map").split() != ["0", "0", "4294967295"]


def make_root(root: str, kernel: PosixKernel) -> None:
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
    check_owner(f"state root {root}", kernel.stat_path(root))


def check_root(root: str) -> None:
    """StateError unless the state root is the caller's own, and only his to write. FileNotFoundError without one."""
    check_owner(f"state root {root}", posix.stat(root))


def read(root: str, id: str, name: str, above: int | None = None) -> Any:
    """A JSON object of a container, parsed; None when there is none. StateError when it cannot be ours.

    state.json and intent.json are as intent.py writes them, config.json as check.py wants it. above: a descriptor of
    the root, of who reads many (kernel/own_files.py).
    """
    path = f"{root}/{id}/{name}"
    try:
        fd = open_file(root, id, name, above)
    except FileNotFoundError:
        return None
    try:
        data = read_all(fd, LARGEST)
    finally:
        posix.close(fd)
    record = loads(data, path, LARGEST)
    if type(record) is not dict:
        raise StateError(f"{path} is damaged: it is not an object")
    if name == CONFIG:
        from ..config.check import check
        try:
            check(record)  # type: ignore[arg-type]
        except ConfigError as fault:
            raise StateError(f"{path} is damaged: {fault.what}: at {fault.where}") from None
        return record
    if record.get("version") != VERSION:
        raise StateError(f"{path} has version {record.get('version')}, this pyrunc reads {VERSION}")
    from .intact import check as check_record
    check_record(record, id, path, name == STATE)
    return record


def read_config(root: str, id: str) -> Config:
    """The configuration that the container was created from. StateError when there is none (any more), or not ours."""
    config: Config | None = read(root, id, CONFIG)
    if config is None:
        raise NoSuchContainer(f"{DOES_NOT_EXIST}: {id} in {root}")
    return config


def exists(root: str, id: str) -> bool:
    """Whether the container has a directory, whatever is in it. StateError when the root is not the caller's own."""
    try:
        check_root(root)
        posix.lstat(f"{root}/{id}")
    except FileNotFoundError:
        return False
    return True


def write(root: str, id: str, name: str, record: object) -> None:
    """Replace a JSON file of a container as a whole; the caller holds the lock."""
    from ..formats.json_text import dumps
    from ..kernel.posix import PosixKernel
    directory = posix.open(f"{root}/{id}", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    try:
        PosixKernel().write_new(name, dumps(record).encode(), 0o600, directory)
    finally:
        posix.close(directory)


class Busy(StateError):
    """Another command keeps the container's lock."""


class Lock:
    """The container's lock, held from here to close() or the end of a with block.

    seconds   how long to try; make: also where there is no lock file (yet), for delete
    Raises Busy when another command keeps it, StateError when the container is gone (by then).
    """
    __slots__ = ("fd",)

    def __init__(self, root: str, id: str, seconds: float = PATIENCE, make: bool = False) -> None:
        import time
        path = f"{root}/{id}/{LOCK}"
        flags = posix.O_RDWR | posix.O_CLOEXEC | posix.O_NOFOLLOW | (posix.O_CREAT if make else 0)
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.fd = posix.open(path, flags, 0o600)
            except FileNotFoundError:
                raise NoSuchContainer(f"{DOES_NOT_EXIST}: {id} in {root}") from None
            try:
                lock(self.fd)
            except OSError as fault:
                posix.close(self.fd)
                if not isinstance(fault, (BlockingIOError, PermissionError)):        # fcntl(2): EAGAIN or EACCES
                    raise
                if time.monotonic() >= deadline:
                    raise Busy(f"container {id}: another command is working on it") from None
                time.sleep(0.005)
                continue
            try:
                links = posix.fstat(self.fd).st_nlink
            except OSError:
                self.close()          # or nobody could have it as long as this process lives
                raise
            if links:
                return
            posix.close(self.fd)      # of a container that was deleted while we waited: look again

    def close(self) -> None:
        """Give it back. The close does that as well, but where another process has inherited the descriptor."""
        try:
            unlock(self.fd)
        except OSError:               # nothing that a command which has done its work could fail for
            pass
        posix.close(self.fd)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_count(root: str, id: str, name: str) -> int:
    """A file of a container that holds one number; 0 when there is none, or what is there is none."""
    try:
        fd = open_file(root, id, name)
    except (FileNotFoundError, StateError):
        return 0
    try:
        return int(posix.read(fd, 32))
    except ValueError:
        return 0
    finally:
        posix.close(fd)


def remove(root: str, id: str, kernel: PosixKernel) -> None:
    """Remove the container's directory, so that a killed remove can be resumed, and reads as stopped until it is gone.

    The intent goes before the state: alone it would say that a create is at work. What a delete reads of a container
    with a state (its hooks, and how many of them have run) goes after the state.
    """
    path = f"{root}/{id}"
    last = (INTENT, STATE, CONFIG, POSTSTOP, LOCK)
    directory = kernel.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW)
    try:
        for name in (*(name for name in kernel.list_dir(directory) if name not in last), *last):
            try:
                kernel.unlink(name, directory)
            except IsADirectoryError:
                kernel.remove_tree(f"{path}/{name}")
            except FileNotFoundError:
                pass
    finally:
        kernel.close(directory)
    try:
        kernel.rmdir(path)
    except OSError as fault:
        if fault.errno not in (errno.ENOTEMPTY, errno.ENOENT):     # another delete made a lock in it, and removes both
            raise
