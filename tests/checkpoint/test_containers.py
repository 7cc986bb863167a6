"""checkpoint and restore of real containers by CRIU, in the guest."""
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests import bundles
from tests.bundles import Config, docker_like, merge
from tests.console import Console
from tests.runtimes import Runtime, reap
from tests.world import Snapshot

pytestmark = pytest.mark.guest

#: A number in the shell's memory: after a restore it goes on where it was. The file says when to end, and how.
COUNTING = "n=0; while test ! -e /tmp/end; do n=$((n+1)); echo $n; sleep 0.02; done; exit $(cat /tmp/end)"


class Counter:
    """A container that counts into a pipe of ours, as containerd gives containers their streams."""

    def __init__(self, runtime: Runtime, bundle: Path, name: str) -> None:
        self.runtime, self.bundle, self.name = runtime, bundle, name
        self.out, self.pid = -1, 0
        self.images = bundle / "images"

    def streams(self) -> int:
        self.out, theirs = os.pipe()
        return theirs

    def run(self, *command: str) -> None:
        """create and start, or restore; its standard output is a new pipe."""
        theirs = self.streams()
        pid_file = self.bundle / "pid"
        subprocess.run(self.runtime.argv(*command, "--pid-file", pid_file, "--bundle", self.bundle, self.name),
                       stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs if command[0] == "run" else None,
                       check=True, timeout=60)
        os.close(theirs)
        self.pid = int(pid_file.read_text())

    def restore(self, *flags: str) -> None:
        self.run("restore", "--detach", "--image-path", str(self.images), *flags)

    def next(self, after: int = 0) -> int:
        """The next number that it prints."""
        data = b""
        while not data.endswith(b"\n"):
            data += os.read(self.out, 1)
        return int(data)

    def last(self) -> int:
        """The last number that came through a pipe whose writers are gone."""
        data = b""
        while part := os.read(self.out, 65536):
            data += part
        os.close(self.out)
        return int(data.split()[-1])

    def finish(self, code: int) -> None:
        """Let it end, and see its exit code and its deletion."""
        (self.bundle / "rootfs/tmp/end").write_text(str(code))
        assert reap(self.pid) == code
        assert self.runtime.status(self.name) == "stopped"
        self.runtime.ok("delete", self.name)
        (self.bundle / "rootfs/tmp/end").unlink()


def counter(runtime: Runtime, place: Path, name: str, config: Config | None = None) -> Counter:
    made = Counter(runtime, bundles.bundle(place / "bundle", merge(
        docker_like(process={"args": ["sh", "-c", COUNTING]}), config or {})), name)
    made.run("run", "--detach")
    while made.next() < 5:
        pass
    return made


def checkpoint(of: Counter, *flags: str) -> int:
    """Checkpoint, and the last number before it."""
    of.runtime.ok("checkpoint", "--image-path", of.images, *flags, of.name)
    assert reap(of.pid) == 137
    return of.last()


def test_memory_goes_on_where_it_was(runtime: Runtime, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    one = counter(runtime, place, name)
    last = checkpoint(one)
    assert before.settle(name, runtime.root) == before           # the container is gone, whole
    assert (one.images / "dump.log").stat().st_size and (one.images / "descriptors.json").exists()
    one.restore()
    assert one.next() == last + 1
    state = runtime.state(name)
    assert (state["status"], state["pid"]) == ("running", one.pid)
    assert state["bundle"] == str(one.bundle)
    assert (one.images / "restore.log").stat().st_size
    cgroup = Path(f"/proc/{one.pid}/cgroup").read_text().strip()
    assert cgroup == f"0::/{name}"
    assert runtime.ok("exec", name, "hostname").stdout == "box\n"
    one.finish(7)
    assert before.settle(name, runtime.root) == before
