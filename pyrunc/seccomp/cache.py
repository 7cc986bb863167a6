"""Programs compiled before: an engine gives most of its containers the same profile.

libseccomp takes about 10 ms for the profile that Docker sends, a third of a whole `run`; to find it here takes 0.1 ms,
and libseccomp is not even loaded. <root>/@seccomp/ belongs to whoever owns the state root, as everything that
is trusted to remember containers does; "@" is in no container's id. It never grows beyond SLOTS files: a profile
has one place, and takes it over from another one.

    file = length of the key (4 bytes), key, length of the program (4 bytes), program

The key is all that the program depends on, so a hit is exact, not a matter of a hash. A file that is still being
written is too short, and is no hit.
"""
from __future__ import annotations

import marshal
import posix

from .. import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.types import Seccomp
    from ..kernel.posix import PosixKernel

DIRECTORY = "@seccomp"
SLOTS = 61                           # a prime
LARGEST = 1 << 20
LENGTH = 4
WRITABLE_BY_OTHERS = 0o022
#: Written by ldconfig, and so by the installation of any library: another libseccomp may know more names.
LINKER_CACHE = "/etc/ld.so.cache"
#: marshal's last format without references, which depend on the interpreter's strings and not on the value alone.
MARSHAL_VERSION = 2


class Entry:
    """The place of one profile's program."""

    def __init__(self, kernel: PosixKernel, root: str, seccomp: Seccomp) -> None:
        try:
            libraries = kernel.stat_path(LINKER_CACHE).st_mtime
        except OSError:
            libraries = 0
        made_from = (__version__, libraries, seccomp.get("defaultAction"), seccomp.get("defaultErrnoRet"),
                     seccomp.get("architectures"), seccomp.get("syscalls"))
        self.kernel = kernel
        self.directory = f"{root}/{DIRECTORY}"
        self.key = marshal.dumps(made_from, MARSHAL_VERSION)
        self.name = str(int.from_bytes(self.key, "little") % SLOTS)

    def find(self) -> bytes | None:
        """The program, or None when it is not there or could have been written by another user."""
        try:
            fd = self.kernel.open(f"{self.directory}/{self.name}", posix.O_RDONLY | posix.O_NOFOLLOW)
        except OSError:
            return None
        try:
            found = self.kernel.stat(fd)
            if found.st_uid != posix.geteuid() or found.st_mode & WRITABLE_BY_OTHERS:
                return None
            data = self.kernel.read(fd, LARGEST)
        finally:
            self.kernel.close(fd)
        head = _sized(self.key)
        size = int.from_bytes(data[len(head):len(head) + LENGTH], "little")
        program = data[len(head) + LENGTH:]
        return program if data.startswith(head) and size and len(program) == size else None

    def keep(self, program: bytes) -> None:
        """Remember the program. A full or read-only file system is no reason to fail."""
        data = _sized(self.key) + _sized(program)
        if len(data) > LARGEST:
            return
        try:
            try:
                self.kernel.mkdir(self.directory, 0o700)
            except FileExistsError:
                pass
            fd = self.kernel.open(self.directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW)
            try:
                self.kernel.write_new(self.name, data, 0o600, fd)
            finally:
                self.kernel.close(fd)
        except OSError:
            pass


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(LENGTH, "little") + data
