"""A directory of images: where it is, what in it is refused, and the file that says what the init's streams were.

Images are data of whoever had them in hand, like a container image, while CRIU reads and writes among them as root.
"""
from __future__ import annotations

import posix
import stat

from ..config.load import loads
from ..errors import ConfigError, Refused, strerror
from ..formats.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..kernel.linux import Kernel

#: A JSON array of the links of descriptors 0, 1 and 2 of the init as it was created; runc's name for it.
DESCRIPTORS = "descriptors.json"
#: What CRIU's names of files begin with that are left out of the images, before "[mount:inode]", both hexadecimal.
FILE = "file"
PARENT = "parent"
LAZY_PAGES = "lazy-pages.socket"
STATISTICS = ("stats-dump", "stats-restore")
DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY
#: A chain of pre-dumps longer than this is a loop.
MOST_PARENTS = 64


def make(kernel: Kernel, path: str) -> int:
    """Make a directory of the host (0700) with what is missing above it; its descriptor."""
    try:
        return kernel.open(path, DIRECTORY)
    except FileNotFoundError:
        pass
    above = path.rstrip("/").rpartition("/")[0]
    if above:
        kernel.close(make(kernel, above))
    try:
        kernel.mkdir(path, 0o700)
    except FileExistsError:
        pass
    return kernel.open(path, DIRECTORY)


def clear(directory: int, log: str) -> None:
    """Remove what CRIU is about to write: it would follow a link that lies there."""
    for name in (log, *STATISTICS):
        try:
            posix.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            pass


def check(directory: int, place: str) -> None:
    """Refused unless everything in the directory is a file or a directory, in those it builds upon, too.

    Through a link, CRIU would read a file of the host into the container's memory, or write to one. The only link it
    makes itself is `parent`, from a dump to the pre-dump that it adds to. Where memory is fetched when it is used, the
    socket of `criu lazy-pages` is here as well.
    """
    fd = posix.open(".", DIRECTORY | posix.O_CLOEXEC, dir_fd=directory)
    try:
        for _ in range(MOST_PARENTS):
            above = _check(fd, place)
            if not above:
                return
            try:
                further = posix.open(PARENT, DIRECTORY | posix.O_CLOEXEC, dir_fd=fd)
            except OSError as fault:
                raise Refused(f"the images in {place} are based on {above}: {strerror(fault.errno or 0)}") from None
            posix.close(fd)
            fd = further
        raise Refused(f"the images in {place} are based on each other in a circle")
    finally:
        posix.close(fd)


def _check(fd: int, place: str) -> str:
    """One directory; what its link to the one before says, "" for none."""
    above = ""
    for name in posix.listdir(fd):
        mode = posix.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode) and name == PARENT:
            above = posix.readlink(name, dir_fd=fd)
            if above.startswith("/"):
                raise Refused(f"the images in {place} are based on an absolute path: {above}")
        elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode) and not (stat.S_ISSOCK(mode) and name == LAZY_PAGES):
            raise Refused(f"{place}/{name} is neither a file nor a directory: not an image of a checkpoint")
    return above


def write_streams(kernel: Kernel, directory: int, streams: list[str]) -> None:
    """Write down the streams beside the images."""
    kernel.replace(DESCRIPTORS, dumps(streams).encode(), 0o600, directory)


def inherited(directory: int, place: str) -> Mapping[str, int]:
    """{what CRIU calls a pipe, or a file outside: the number of the descriptor of ours that takes its place}, of a
    restore.

    Anything else CRIU finds again by itself, or says why not.
    Raises Refused when there is nothing to restore, or the file is not ours.
    """
    try:
        fd = posix.open(DESCRIPTORS, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        raise Refused(f"{place} holds no checkpoint: there is no {DESCRIPTORS} in it") from None
    try:
        record: Any = loads(posix.read(fd, 1 << 16), f"{place}/{DESCRIPTORS}")
    except ConfigError as fault:
        raise Refused(str(fault)) from None
    finally:
        posix.close(fd)
    if type(record) is not list or len(record) > 3 or not all(type(each) is str for each in record):
        raise Refused(f"{place}/{DESCRIPTORS} is not a list of at most three texts")
    names: dict[str, int] = {}
    for number, name in enumerate(record):
        kind, _, rest = name.partition("[")
        if kind == "pipe:" and rest.endswith("]") and rest[:-1].isdecimal():
            names.setdefault(name, number)
        if kind == FILE and rest.endswith("]") and all(map(_is_hexadecimal, rest[:-1].split(":", 1))):
            names.setdefault(name, number)
    return names


def _is_hexadecimal(text: str) -> bool:
    return 0 < len(text) <= 16 and set("0123456789abcdef").issuperset(text)
