"""Why a file is not in a cgroup: who lacks the controller. Loaded only when a setting could not be written."""
from __future__ import annotations

import posix

from ..errors import Refused
from ..kernel.posix import lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.posix import PosixKernel
    from .resources import Setting


def why(kernel: PosixKernel, setting: Setting, mount: str, path: str) -> Refused:
    """What to raise for a setting whose file does not exist in the cgroup at path.

    Of linux.resources.unified, with the words of runc: its errors are searched for them.
    """
    controller = setting.controller
    unified = ".unified[" in setting.where
    there_is_none = f"this kernel has no {setting.file}"
    if unified:
        there_is_none = f'unable to set unified resource "{setting.file}": no such file or directory: {there_is_none}'
        there_is_none += _meant(setting.file, path)
    if controller == "cgroup":                   # the core's own files, not a controller's
        return Refused(there_is_none)
    if not _has(kernel, mount, controller, "cgroup.controllers"):
        text = f"controller {controller} is not available"
        if unified:
            text = f'unified resource "{setting.file}" can\'t be set: controller "{controller}" not available'
        text += f" in the cgroup v2 hierarchy at {mount}"
        if _in_v1(kernel, controller):
            text += ": it is mounted as cgroup v1"
        return Refused(text)
    if _has(kernel, path, controller, "cgroup.controllers"):
        return Refused(there_is_none)
    above = mount
    for name in path[len(mount):].strip("/").split("/"):
        if not _has(kernel, above, controller, "cgroup.subtree_control"):
            break
        above = f"{above}/{name}"
    reason = "processes are in it" if _text(kernel, f"{above}/cgroup.procs") else "it is not delegated"
    return Refused(f"controller {controller} is not available in cgroup {path}: {above} does not pass it on, {reason}")


def _meant(file: str, path: str) -> str:
    """" (did you mean "memory.low"?)": of the files that are in the cgroup."""
    from ..config.near import meant
    try:
        return meant(file, posix.listdir(path))
    except OSError:
        return ""


def _text(kernel: PosixKernel, path: str) -> str:
    try:
        return kernel.read_file(path)
    except OSError:
        return ""


def _has(kernel: PosixKernel, path: str, controller: str, file: str) -> bool:
    return controller in _text(kernel, f"{path}/{file}").split()


def _in_v1(kernel: PosixKernel, controller: str) -> bool:
    """/proc/self/cgroup lists cgroup v1 hierarchies as "4:memory:/path" (cgroups(7)). The names differ for one."""
    old = "blkio" if controller == "io" else controller
    text = _text(kernel, "/proc/self/cgroup")
    return any(old in line.split(":")[1].split(",") for line in lines(text) if line.count(":") >= 2)
