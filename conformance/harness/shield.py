"""What keeps the machine from harm by a runtime: around each case its files are read-only, and what removes files here
crosses no mount. crun 1.8.1 removed /etc when an id was that path."""
from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .isolation import MS_BIND, call, mount, unmount

SYS_MOUNT_SETATTR, AT_FDCWD, MOUNT_ATTR_RDONLY = 442, -100, 1       # the number is the same on every architecture
#: What stays as it is: a runtime has to write there, or mounts its own over it.
WRITABLE = ("/proc", "/sys", "/run", "/dev/pts", "/dev/shm", "/dev/mqueue")
TEMPORARY = "/tmp"
#: Profiles whose cases give a runtime every reason to do harm, and what has to be set where they may.
HARMFUL, MARK = ("security", "crash", "race"), "CONFORMANCE_THROW_AWAY"


class _Attributes(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""
    _fields_ = [("set", ctypes.c_uint64), ("clear", ctypes.c_uint64), ("propagation", ctypes.c_uint64),
                ("user_namespace", ctypes.c_uint64)]


def refusal(profiles: Iterable[str], given: bool) -> str:
    """Why these profiles are not run here; "" when they may. given: the user says that the machine may be lost."""
    harmful = [name for name in HARMFUL if name in set(profiles)]
    if not harmful or given or os.environ.get(MARK):
        return ""
    return (f"--profile {', '.join(harmful)}: a runtime with a hole may destroy this machine: run it in a virtual "
            f"machine that can be thrown away, and say so with --throw-away or {MARK}=1")


def mounted_below(path: str | Path) -> list[str]:
    """Where something is mounted at or below a path, in this mount namespace; what was mounted last is first."""
    top = os.path.realpath(path)
    found = []
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            place = os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), line.split(b" ")[4]))
            if place == top or place.startswith(top.rstrip("/") + "/"):
                found.append(place)
    return found[::-1]


def protect(place: Path) -> None:
    """Make every file system read-only in this process's mount namespace, which must be its own, but for the folder of
    the case and WRITABLE; /tmp is one of its own. OSError where that cannot be done."""
    top = os.open(place, os.O_PATH)
    shown = _own_temporary_folder()
    writable = [os.path.realpath(place), *WRITABLE, *([] if shown is None else [TEMPORARY])]
    if not os.path.samestat(os.fstat(top), os.stat(place)):              # the new one lies over it
        mount(f"/proc/self/fd/{top}", Path(os.path.realpath(place)), flags=MS_BIND)
    os.close(top)
    for folder in writable:
        if os.path.isdir(folder) and folder not in mounted_below(folder):
            mount(folder, Path(folder), flags=MS_BIND)
    stays = {name for folder in writable for name in mounted_below(folder)} - set(shown or ())
    for name in mounted_below("/"):
        if name not in stays:
            _read_only(name)


def _own_temporary_folder() -> list[str] | None:
    """Runtimes make names in /tmp for a moment: what the machine has there is seen, and what is made goes into memory.
    Where something is mounted below it, which is to be read-only. None where the kernel has no overlay: then /tmp is
    read-only as all else."""
    below = [name for name in reversed(mounted_below(TEMPORARY)) if name != os.path.realpath(TEMPORARY)]
    opened = [os.open(name, os.O_PATH) for name in below]       # an overlay does not show them
    upper = Path(tempfile.mkdtemp(prefix="conformance-", dir="/run"))
    mount("tmpfs", upper, "tmpfs", data="mode=700")
    try:
        for name in ("up", "work"):
            (upper / name).mkdir()
        (upper / "up").chmod(0o1777)
        layers = f"lowerdir={TEMPORARY},upperdir={upper}/up,workdir={upper}/work"
        mount("overlay", Path(TEMPORARY), "overlay", data=layers)
        for name, fd in zip(below, opened, strict=True):
            mount(f"/proc/self/fd/{fd}", Path(name), flags=MS_BIND)
        return below
    except OSError:
        return None
    finally:
        for fd in opened:
            os.close(fd)
        unmount(upper)                      # the overlay keeps what it needs of it
        upper.rmdir()


def _read_only(name: str) -> None:
    attributes = _Attributes(set=MOUNT_ATTR_RDONLY)
    try:
        call("syscall", SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(name), 0, ctypes.byref(attributes),
             ctypes.c_size_t(ctypes.sizeof(attributes)))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):            # another mount lies over it: it is out of reach
            raise OSError(error.errno, f"{error.strerror}: cannot be made read-only (Linux 5.12 can)", name) from error


def remove(path: Path, itself: bool = True) -> list[str]:
    """Remove a folder with all that is in it, and nothing of what is mounted there: that is unmounted before.

    itself: what is mounted at the path goes as well. What could not be unmounted is answered, and then all stays.
    """
    def there() -> list[str]:
        return [name for name in mounted_below(path) if itself or name != os.path.realpath(path)]
    for name in there():
        try:
            unmount(Path(name))
        except OSError:
            continue
    if stays := there():
        return stays
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return []
    return _empty(path, path.lstat().st_dev)


def _empty(path: Path, device: int) -> list[str]:
    """Remove a folder if all below it is of one file system: a mount that mountinfo did not show ends it."""
    for folder, folders, _ in os.walk(path):
        for name in folders:
            try:
                if os.lstat(found := os.path.join(folder, name)).st_dev != device:
                    return [found]
            except FileNotFoundError:
                continue
    shutil.rmtree(path, ignore_errors=True)
    return []
