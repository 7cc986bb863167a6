"""Fixtures of the tests on the real kernel: cgroups of a test, removed afterwards, and processes to put into them."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.cgroups import create
from pyrunc.cgroups.v2 import Cgroup
from pyrunc.kernel.posix import PosixKernel

MOUNT = Path("/sys/fs/cgroup")
MARK = "c1:0123456789abcdef"


class Tree:
    """What a test makes below one cgroup of its own."""

    def __init__(self, mount: Path, name: str) -> None:
        self.mount, self.top = mount, mount / name
        self.kernel = PosixKernel()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.found: list[Cgroup] = []

    def path(self, name: str) -> str:
        return str(self.top / name)

    def make(self, name: str, mark: str = MARK, wanted: tuple[str, ...] = ()) -> Cgroup:
        """As cgroup.create makes it; found again as a later command finds it."""
        os.close(create.make(self.kernel, str(self.mount), self.path(name), wanted, mark))
        return self.find(name, mark)

    def find(self, name: str, mark: str = MARK) -> Cgroup:
        self.found.append(Cgroup(self.path(name), mark, self.kernel))
        return self.found[-1]

    def sleep(self, name: str = "", file: str = "cgroup.procs") -> subprocess.Popen[bytes]:
        """A process; in the cgroup, if it is named."""
        process = subprocess.Popen(["sleep", "1000"])
        self.processes.append(process)
        if name:
            (self.top / name / file).write_text(str(process.pid))
        return process

    def born(self, name: str) -> subprocess.Popen[bytes]:
        """A process whose memory all is the cgroup's: it was there before it became a sleep."""
        process = subprocess.Popen(["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec sleep 1000', self.path(name)])
        self.processes.append(process)
        while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n":
            assert process.poll() is None
            time.sleep(0.01)
        return process

    def read(self, name: str) -> str:
        return (self.top / name).read_text().strip()

    def end(self) -> None:
        for cgroup in self.found:
            cgroup.close()
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        for _ in range(3000):
            for directory, _, _ in os.walk(self.top, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    kill = Path(directory, "cgroup.kill")
                    if kill.exists():
                        kill.write_text("1")
            if not self.top.exists():
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.top} cannot be removed")


@pytest.fixture
def tree(private_world: None, name: str) -> Iterator[Tree]:
    made = Tree(MOUNT, name)
    yield made
    made.end()
