"""What the kernel answers when it is asked by calls, each of which is made so that it changes nothing.

A call with arguments that no kernel takes fails with ENOSYS where the kernel has not got it, and otherwise with what
is wrong with them. All that is made is detached, or has ended, when the functions return.
"""
from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ...kernel.namespaces import NAMESPACES

if TYPE_CHECKING:
    from ...kernel.linux import Kernel

YES, NO, UNKNOWN, REFUSED = "yes", "no", "unknown", "refused"
BAD = -1
NONE = None
CLONE_INTO_CGROUP = 0x200000000
CLOSED = 0x7FFFFFFF            # a descriptor that cannot be open
IDMAP = 0x00100000             # MOUNT_ATTR_IDMAP
OPEN_TREE_CLONE = 1
FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 1, 6

#: Name -> number (the same on every architecture that pyrunc runs on) and arguments that are refused, unistd.h.
CALLS: dict[str, tuple[int, tuple[int | None, ...]]] = {
    "clone3": (435, (NONE, 0)),                             # a size below the first version's
    "openat2": (437, (BAD, NONE, NONE, 0)),                 # likewise
    "open_tree": (428, (BAD, NONE, 0x7FFFFFFF)),            # unknown flags
    "move_mount": (429, (BAD, NONE, BAD, NONE, 0x7FFFFFFF)),
    "fsopen": (430, (NONE, 0x7FFFFFFF)),
    "mount_setattr": (442, (BAD, NONE, 0x7FFFFFFF, NONE, 0)),
    "pidfd_open": (434, (BAD, 0)),
    "pidfd_send_signal": (424, (BAD, 0, NONE, 0x7FFFFFFF)),
    "pidfd_getfd": (438, (BAD, BAD, 0x7FFFFFFF)),
    "close_range": (436, (1, 0, 0)),                        # the last before the first
}
#: These ask for CAP_SYS_ADMIN before they look at anything else.
PRIVILEGED = ("move_mount", "fsopen")


def calls() -> dict[str, str]:
    """Whether there is each of CALLS: YES, NO, or REFUSED, as by a seccomp filter around us."""
    return {name: _judge(_call(number, *arguments), name in PRIVILEGED) for name, (number, arguments) in CALLS.items()}


def clone_into_cgroup() -> str:
    """Whether clone3 puts a child into a cgroup: one that is not there is noticed only by a kernel that looks."""
    arguments = (ctypes.c_uint64 * 11)(CLONE_INTO_CGROUP, *[0] * 9, CLOSED)
    number = _call(CALLS["clone3"][0], ctypes.addressof(arguments), ctypes.sizeof(arguments))
    if number == errno.EBADF:
        return YES
    return NO if number in (errno.EINVAL, errno.E2BIG, errno.ENOSYS) else REFUSED


def _call(number: int, *arguments: int | None) -> int:
    """errno of a call, 0 when it succeeded."""
    library = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_void_p(argument) if argument is None else ctypes.c_long(argument) for argument in arguments]
    return ctypes.get_errno() if library.syscall(ctypes.c_long(number), *words) == -1 else 0


def _judge(number: int, privileged: bool) -> str:
    if number == errno.ENOSYS:
        return NO
    return REFUSED if number == errno.EPERM and not privileged else YES


def user_namespace() -> int:
    """errno of making a user namespace and, as root of it, a mount namespace: by a child that ends at once."""
    def attempt(kernel: Kernel) -> None:
        kernel.unshare(NAMESPACES["user"][0])
        kernel.unshare(NAMESPACES["mount"][0])
    return _in_child(attempt)


def _in_child(attempt: Callable[[Kernel], None]) -> int:
    from ...kernel.linux import Kernel
    child = os.fork()
    if child == 0:
        number = 255
        try:
            attempt(Kernel())
            number = 0
        except OSError as fault:
            number = fault.errno or 255
        finally:
            os._exit(number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def device_filter() -> int:
    """errno of loading a device filter that nothing is attached to."""
    from ...kernel.linux import Kernel
    allow_all = bytes((0xB7, 0, 0, 0, 1, 0, 0, 0)) + bytes((0x95, 0, 0, 0, 0, 0, 0, 0))      # r0 = 1; exit
    try:
        os.close(Kernel().bpf_load_device(allow_all))
    except OSError as fault:
        return fault.errno or errno.EIO
    return 0


def idmapped(places: dict[str, str]) -> dict[str, str]:
    """File system -> whether its mounts take an id mapping, for the file systems mounted at these places (type ->
    directory), a new tmpfs and a new overlay. For root."""
    from ...kernel.linux import Kernel
    kernel = Kernel()
    try:
        namespace = kernel.user_namespace("0 100000 1\n", "0 100000 1\n")
    except OSError:
        return dict.fromkeys((*places, "tmpfs", "overlay"), UNKNOWN)
    try:
        return {kind: _takes_mapping(kernel, make, namespace) for kind, make in _detached(kernel, places)}
    finally:
        os.close(namespace)


def _detached(kernel: Kernel, places: dict[str, str]) -> Iterator[tuple[str, Callable[[], int]]]:
    """File system -> how a mount of it is made that is nowhere in the tree, and gone when it is closed."""
    for kind, place in places.items():
        yield kind, lambda place=place: kernel.open_tree(place, OPEN_TREE_CLONE)     # type: ignore[misc]
    new = {"tmpfs": {}, "overlay": {"lowerdir": "/usr:/etc"}}
    for kind, options in new.items():
        if kind not in places:
            yield kind, lambda kind=kind, options=options: _mount(kernel, kind, options)     # type: ignore[misc]


def _mount(kernel: Kernel, kind: str, options: dict[str, str]) -> int:
    context = kernel.fsopen(kind)
    try:
        for key, value in options.items():
            kernel.fsconfig(context, FSCONFIG_SET_STRING, key, value)
        kernel.fsconfig(context, FSCONFIG_CMD_CREATE)
        return kernel.fsmount(context, 0)
    finally:
        os.close(context)


def _takes_mapping(kernel: Kernel, make: Callable[[], int], namespace: int) -> str:
    try:
        mount = make()
    except OSError:
        return UNKNOWN
    try:
        kernel.mount_setattr(mount, IDMAP, userns_fd=namespace)
    except OSError as fault:
        return NO if fault.errno == errno.EINVAL else UNKNOWN
    finally:
        os.close(mount)
    return YES
