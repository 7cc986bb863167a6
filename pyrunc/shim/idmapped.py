"""Mounts whose files belong to the ids of a user namespace. containerd 2 asks for them by `uidmap` and `gidmap`, so
that it need not copy the layers of a pod with such a namespace.

An overlay's layers are mapped, not the overlay itself (mount_setattr(2)): the folder that all of them are in is mounted
a second time, read-only and mapped, at a place in the bundle. The overlay keeps what it needs of that; the place goes.
"""
from __future__ import annotations

import errno
import posix

from ..errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel.linux import Kernel

    #: Lines of uid_map and gid_map (user_namespaces(7)).
    Maps = tuple[str, str]

OPTIONS = ("uidmap=", "gidmap=")
LOWER = "lowerdir="
#: In the bundle.
PLACE = "pyrunc-lower"
OPEN_TREE_CLONE, MOUNT_ATTR_RDONLY, MOUNT_ATTR_IDMAP = 1, 1, 1 << 20
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8


def maps_of(options: Sequence[str]) -> Maps | None:
    """The mappings among the options of a mount; None without both of them. UsageError for what is none."""
    found = [next((option.removeprefix(name) for option in options if option.startswith(name)), "") for name in OPTIONS]
    return (_lines(found[0]), _lines(found[1])) if all(found) else None


def _lines(text: str) -> str:
    """CONTAINER:HOST:SIZE, and more of them after commas, as lines of a map."""
    lines = ""
    for part in text.split(","):
        numbers = part.split(":")
        if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
            raise UsageError(f"{part}: not a mapping of ids: CONTAINER:HOST:SIZE")
        lines += " ".join(numbers) + "\n"
    return lines


def mapped(kernel: Kernel, path: str, namespace: int, attributes: int = 0) -> int:
    """A detached mount of what is at a path, by the ids of this user namespace. OSError."""
    mount = kernel.open_tree(path, OPEN_TREE_CLONE)
    try:
        kernel.mount_setattr(mount, MOUNT_ATTR_IDMAP | attributes, userns_fd=namespace)
    except OSError as fault:
        posix.close(mount)
        raise OSError(fault.errno, posix.strerror(fault.errno or 0), f"map the ids of {path}") from None
    return mount


def attach(kernel: Kernel, mount: int, place: str) -> None:
    """Put a detached mount at a path, and let go of it."""
    try:
        fd = posix.open(place, posix.O_PATH | posix.O_CLOEXEC | posix.O_NOFOLLOW)
        try:
            kernel.move_mount(mount, fd)
        finally:
            posix.close(fd)
    finally:
        posix.close(mount)


def lower(kernel: Kernel, data: Sequence[str], namespace: int, bundle: str) -> list[str]:
    """The options of an overlay whose layers are mapped: at their place, which is there until clear()."""
    layers = next((option for option in data if option.startswith(LOWER)), "")
    folders = layers.removeprefix(LOWER).split(":")
    common = common_folder(folders)
    if not layers or not common:
        raise OSError(errno.EINVAL, posix.strerror(errno.EINVAL), f"the layers of {layers or 'an overlay'}")
    device = posix.stat(common).st_dev
    for folder in folders:
        if posix.stat(folder).st_dev != device:         # a mount of its own would not be seen through the other one
            raise OSError(errno.EXDEV, posix.strerror(errno.EXDEV), folder)
    place = f"{bundle}/{PLACE}"
    posix.mkdir(place, 0o700)
    attach(kernel, mapped(kernel, common, namespace, MOUNT_ATTR_RDONLY), place)
    there = LOWER + ":".join(place + folder[len(common):] for folder in folders)
    return [there if option == layers else option for option in data]


def common_folder(folders: Sequence[str]) -> str:
    """The innermost folder that all of these are in; "" for none but the root."""
    common = folders[0].rpartition("/")[0]
    while common and not all(folder.startswith(common + "/") for folder in folders):
        common = common.rpartition("/")[0]
    return common


def unmount(kernel: Kernel, place: str) -> None:
    """Unmount whatever is mounted at a place and below; nothing is no error."""
    try:
        while True:
            kernel.umount(place, MNT_DETACH | UMOUNT_NOFOLLOW)
    except OSError as fault:
        if fault.errno not in (errno.EINVAL, errno.ENOENT):
            raise


def clear(kernel: Kernel, bundle: str) -> None:
    """Remove the place of layers, as a worker may have left it that was killed; nothing is no error. Never what is in
    it: the layers are shared."""
    place = f"{bundle}/{PLACE}"
    unmount(kernel, place)
    try:
        posix.rmdir(place)
    except OSError:                                    # it is not there, or goes with the bundle
        pass
