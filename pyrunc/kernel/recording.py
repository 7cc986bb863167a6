"""How the Recorder remembers calls, and makes up what they answer."""
from __future__ import annotations

import errno
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .linux import Kernel  # so that a Recorder may be handed to whatever wants a Kernel
else:
    Kernel = object                  # linux.py needs the native module, which need not exist here

DIRECTORY, FILE, CHARACTER_DEVICE = 0o040755, 0o100644, 0o020666
EXT4_SUPER_MAGIC, PROC_SUPER_MAGIC = 0xEF53, 0x9FA0
FIRST_FD, PID, KEYRING = 100, 4242, 77
_DEVICES = {"null": 0x103, "zero": 0x105, "full": 0x107, "random": 0x108, "urandom": 0x109, "tty": 0x500}


class Recording(Kernel):
    """Knobs, all optional:

    modes      {path: st_mode} that stat and stat_path answer; None = does not exist; other paths are directories,
               and the well-known names below /dev character devices
    files      {path: text} that read_file and read answer; other paths do not exist, or are empty when open
    fs_types   {path: statfs magic}; other paths are ext4, and procfs below /proc
    programs   {path: (wait status, stdout, stderr)} that run_program answers; others succeed in silence
    errors     {method: [errno of the first call, of the second, ...]}, 0 = succeed; past the end calls succeed

    cloned     as in PosixKernel: never; stopped as there
    calls      what was called; queue and step as in Kernel; fds {open descriptor: what it was opened as}
    """

    cloned = False
    stopped = 0

    def __init__(self, *, modes: dict[str, int | None] | None = None, files: dict[str, str] | None = None,
                 fs_types: dict[str, int] | None = None, programs: dict[str, tuple[int, str, str]] | None = None,
                 errors: dict[str, list[int]] | None = None) -> None:
        self.modes = modes or {}
        self.files = files or {}
        self.fs_types = fs_types or {}
        self.programs = programs or {}
        self.errors = {method: list(numbers) for method, numbers in (errors or {}).items()}
        self.calls: list[tuple[Any, ...]] = []
        self.queue: list[tuple[int, int, int, int, int, bytes]] = []
        self.step = 0
        self.fds: dict[int, str] = {}
        self._next_fd = FIRST_FD

    # ---- how calls are remembered and answers made up ---------------------------------------------------
    def _note(self, method: str, *args: Any) -> None:
        self.calls.append((method, *args))
        numbers = self.errors.get(method)
        if numbers and (number := numbers.pop(0)):
            raise OSError(number, posix.strerror(number), str(args[0]) if args else method)

    def _fd(self, path: str, method: str, *args: Any) -> int:
        self._note(method, *args)
        fd, self._next_fd = self._next_fd, self._next_fd + 1
        self.fds[fd] = path
        return fd

    def _existing_fd(self, path: str, method: str, *args: Any) -> int:
        fd = self._fd(path, method, *args)
        if path in self.modes and self.modes[path] is None:
            del self.fds[fd]
            raise OSError(errno.ENOENT, posix.strerror(errno.ENOENT), path)
        return fd

    def _stat(self, path: str) -> posix.stat_result:
        device = _DEVICES.get(path.rpartition("dev/")[2], 0)
        mode = self.modes.get(path, CHARACTER_DEVICE if device else DIRECTORY)
        if mode is None:
            raise OSError(errno.ENOENT, posix.strerror(errno.ENOENT), path)
        return posix.stat_result((mode, 1, 1, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": device})
