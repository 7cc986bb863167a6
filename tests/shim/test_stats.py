"""What a container uses, as containerd's Stats has it, from the files of a cgroup."""
from __future__ import annotations

import os
from pathlib import Path

from pyrunc.kernel.posix import PosixKernel
from pyrunc.shim.stats import metrics


def test_a_device_that_is_gone(tmp_path: Path) -> None:
    """The kernel has no name for it; the others count, and so does all the rest."""
    (tmp_path / "io.stat").write_text("8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n"
                                      "(unknown) rbytes=1\n253:0 \n")
    (tmp_path / "pids.current").write_text("2\n")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        found = metrics(PosixKernel(), fd, 0)
    finally:
        os.close(fd)
    assert found.pids is not None and found.pids.current == 2 and found.io is not None
    assert [(one.major, one.minor, one.rbytes, one.wios) for one in found.io.usage] == [
        (8, 16, 1459200, 353), (253, 0, 0, 0)]
