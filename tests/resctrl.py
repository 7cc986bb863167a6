"""A folder like a mounted resctrl (kernel, resctrl.rst), for a machine whose processor has none.

What the kernel makes in a new group, Resctrl makes; what it checks and rounds, nothing does. A write to `tasks` or
`schemata` replaces the beginning of the file.
"""
from __future__ import annotations

import posix
import shutil
from pathlib import Path

from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.posix import AT_FDCWD

ROOT_SCHEMATA = "    L3:0=7ff;1=7ff\n    MB:0=100;1=100\n"


def fill(group: Path, schemata: str = ROOT_SCHEMATA) -> None:
    """The files of a group that can have monitoring groups below."""
    (group / "tasks").touch()
    (group / "schemata").write_text(schemata)
    (group / "mon_groups").mkdir()


class Resctrl(Kernel):
    """The kernel, with new folders that have a group's files, and rmdir(2) of a group that takes them along."""

    def mkdir(self, path: str, mode: int, dirfd: int = AT_FDCWD) -> None:
        super().mkdir(path, mode, dirfd)
        if "/mon_groups/" in path:
            Path(path, "tasks").touch()
        elif Path(path).with_name("schemata").exists():
            fill(Path(path))

    def rmdir(self, path: str, dirfd: int = AT_FDCWD) -> None:
        posix.stat(path)
        shutil.rmtree(path)
