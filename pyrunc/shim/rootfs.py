"""The mounts that containerd wants at a container's root: overlays of its snapshots, mostly. Made in a worker."""
from __future__ import annotations

import errno
import posix

from ..errors import UsageError, describe
from . import idmapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel.linux import Kernel

    #: type, source, target below the root, options
    Wanted = tuple[str, str, str, Sequence[str]]

#: Options that mount(2) takes as flags: name -> (MS_*, whether it is set).
FLAGS = {
    "ro": (1, True), "rw": (1, False), "nosuid": (2, True), "suid": (2, False), "nodev": (4, True), "dev": (4, False),
    "noexec": (8, True), "exec": (8, False), "sync": (16, True), "async": (16, False), "remount": (32, True),
    "mand": (64, True), "nomand": (64, False), "dirsync": (128, True), "noatime": (1024, True), "atime": (1024, False),
    "nodiratime": (2048, True), "diratime": (2048, False), "bind": (4096, True), "rbind": (4096 | 16384, True),
    "relatime": (1 << 21, True), "norelatime": (1 << 21, False), "strictatime": (1 << 24, True),
    "nostrictatime": (1 << 24, False), "defaults": (0, True)}
BIND, REMOUNT, RDONLY = 4096, 32, 1
#: What of a bind mount needs a second call, a remount (mount(2)).
ATTRIBUTES = 1 | 2 | 4 | 8 | 1024 | 2048 | (1 << 21) | (1 << 24)
#: mount(2) takes a page of options, with the NUL at its end.
PAGE = 4096


def mount_all(kernel: Kernel, wanted: Sequence[Wanted], root: str) -> None:
    """Mount them in order. Raises UsageError for what cannot be; then none is left."""
    try:
        for kind, source, target, options in wanted:
            place = root + ("/" + target.strip("/") if target.strip("/") else "")
            _mount(kernel, kind, source, place, options, root.rpartition("/")[0])
    except BaseException:
        unmount_all(kernel, root)
        raise


def unmount_all(kernel: Kernel, root: str) -> None:
    """Unmount whatever is mounted at root and below, and what its layers needed; nothing is no error."""
    idmapped.clear(kernel, root.rpartition("/")[0])
    idmapped.unmount(kernel, root)


def _mount(kernel: Kernel, kind: str, source: str, place: str, options: Sequence[str], bundle: str) -> None:
    flags, data, maps = 0, [], idmapped.maps_of(options)
    for option in options:
        bits, on = FLAGS.get(option, (-1, False))
        if bits >= 0:
            flags = flags | bits if on else flags & ~bits
        elif not option.startswith(idmapped.OPTIONS):
            data.append(option)
    namespace, layers = -1, maps is not None and kind == "overlay"
    try:
        if maps is not None:
            namespace = kernel.user_namespace(*maps)
        if layers:
            data = idmapped.lower(kernel, data, namespace, bundle)
        if too_long(data):
            data = shortened(data)
            if too_long(data):                         # mount(2) would take a part of them
                raise OSError(errno.E2BIG, posix.strerror(errno.E2BIG), "its options")
        kernel.mount(source, place, kind, flags & ~ATTRIBUTES if flags & BIND else flags, ",".join(data))
        if flags & BIND and flags & ATTRIBUTES:
            kernel.mount("none", place, "", flags | REMOUNT, "")
        if maps is not None and not layers:
            idmapped.attach(kernel, idmapped.mapped(kernel, place, namespace), place)
    except OSError as fault:
        raise UsageError(f"mount {kind} {source} at {place}: {describe(fault)}") from None
    finally:
        if namespace >= 0:
            posix.close(namespace)
        if layers:
            posix.chdir("/")                           # shortened() may have gone into what goes now
            idmapped.clear(kernel, bundle)


def too_long(data: Sequence[str]) -> bool:
    """Whether mount(2) has no room for these options."""
    return len(",".join(data).encode(errors="surrogateescape")) + 1 > PAGE


def shortened(data: Sequence[str]) -> list[str]:
    """The options of an overlay with many layers, relative to the folder that all of them are in. The worker goes
    there: it has no other use for its directory until the bundle's."""
    layers = next((option for option in data if option.startswith(idmapped.LOWER)), "")
    folders = layers.removeprefix(idmapped.LOWER).split(":")
    common = idmapped.common_folder(folders)
    if not layers or not common:
        return list(data)
    posix.chdir(common)
    short = idmapped.LOWER + ":".join(folder[len(common) + 1:] for folder in folders)
    return [short if option == layers else option for option in data]
