"""Write one setting to its file, and report plainly when the kernel does not have that file."""
from __future__ import annotations

import errno

from ..errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.posix import PosixKernel
    from .resources import Setting


def put(kernel: PosixKernel, fd: int, setting: Setting, mount: str, path: str) -> None:
    """Write the setting into the cgroup fd, which is at path below the hierarchy's mount point.

    Raises OSError, and Refused for a missing controller or file, which says who does not have it.
    """
    try:
        return kernel.write_file(setting.file, setting.value, fd)
    except OSError as fault:
        refused = fault
    if setting.optional and refused.errno == errno.ENOENT:
        return None
    if setting.otherwise and refused.errno in (errno.ENOENT, errno.EOPNOTSUPP):
        file, value = setting.otherwise
        try:
            return kernel.write_file(file, value, fd)
        except OSError as fault:
            refused = fault
    if refused.errno == errno.ENOENT:
        from .why_missing import why
        raise why(kernel, setting, mount, path) from None
    from ..errors import advise, at
    from .why_refused import advice
    hint, where = advice(kernel, setting.file, setting.value, setting.where, refused.errno or 0)
    raise advise(at(OSError(refused.errno, refused.strerror, setting.file), where), hint) from None


def check_usage(kernel: PosixKernel, fd: int, limit: int, swap: int) -> None:
    """linux.resources.memory.checkBeforeUpdate: refuse a limit that is not above what is in use already.

    limit, swap   bytes, as in config.json: swap counts memory too; 0 and -1 are no limits
    cgroup v1 refused such a limit; cgroup v2 takes it and has the OOM killer make room.
    """
    try:
        usage = int(kernel.read_file("memory.current", fd))
    except FileNotFoundError:
        return                       # without the controller there is nothing to compare
    if 0 < limit <= usage:
        raise Refused(f"rejecting memory limit {limit} <= usage {usage}: unable to set memory limit to {limit}")
    try:
        usage += int(kernel.read_file("memory.swap.current", fd))
    except FileNotFoundError:
        pass
    if 0 < swap <= usage:
        raise Refused(f"rejecting memory+swap limit {swap} <= usage {usage}: unable to set memory+swap limit to {swap}")
