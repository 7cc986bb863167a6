"""State directories as create leaves them, with an ordinary process in the place of the container's init: no root."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pyrunc.kernel import small_file
from pyrunc.state import process_id, store

DEAD = {"pid": 2 ** 22 + 1, "start_time": 1, "boot_id": "no boot"}

CONFIG = '{"ociVersion": "1.0.0", "root": {"path": "rootfs"}}'

# An init as far as `start` can see: it holds the fifo open for reading and writing, reads one byte, and "execs".
INIT = """
import os, sys, time
fifo, journal, phase, stay = sys.argv[1:]
fd = os.open(fifo, os.O_RDWR)
print("ready", flush=True)
os.read(fd, 1)
page = os.open(journal, os.O_RDWR)
os.pwrite(page, int(phase).to_bytes(4, sys.byteorder), 20)
os.close(fd)
time.sleep(float(stay))
"""


class World:
    """A state root, and processes that end with the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o700)
        self.processes: list[subprocess.Popen[str]] = []

    def process(self, *argv: str) -> subprocess.Popen[str]:
        self.processes.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
        return self.processes[-1]

    def sleeper(self) -> dict[str, Any]:
        """The identity of a process that sleeps."""
        return self.of(self.process("sleep", "600"))

    def of(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        start_time = process_id.parse_stat(small_file.read(f"/proc/{process.pid}/stat"))[1]
        return {"pid": process.pid, "start_time": start_time, "boot_id": process_id.boot_id()}

    def reap(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def record(self, id: str, **more: Any) -> dict[str, Any]:
        return {"version": store.VERSION, "id": id, "ociVersion": "1.3.0", "bundle": "/bundle",
                "rootfs": "/bundle/rootfs", "annotations": {}, "created": "2026-01-02T03:04:05.123456789Z",
                "creator": DEAD, "options": {"id": id},
                "boot_id": process_id.boot_id(), "cgroup": "", "mark": "a mark", "pid_namespace": True, "process": True,
                "hooks": {}, "notify_socket": "", **more}

    def intent(self, id: str, **more: Any) -> Path:
        """What there is while create is at work, or after it was killed."""
        directory = self.root / id
        directory.mkdir(mode=0o711)
        (directory / store.LOCK).touch(0o600)
        (directory / store.INTENT).write_text(json.dumps(self.record(id, **more)))
        return directory

    def running(self, id: str, init: dict[str, Any] | None = None, **more: Any) -> Path:
        """A container whose init has started; by default a process that sleeps."""
        directory = self.intent(id, **more)
        state = {**self.record(id, **more), **(self.sleeper() if init is None else init)}
        (directory / store.STATE).write_text(json.dumps(state))
        (directory / store.CONFIG).write_text(CONFIG)
        (directory / store.JOURNAL).write_bytes(bytes(4096))
        return directory

    def stopped(self, id: str, **more: Any) -> Path:
        return self.running(id, DEAD, **more)

    def created(self, id: str, phase: int = 4, stay: float = 600, **more: Any) -> Path:
        """A container whose init waits at the fifo; phase is what it then writes into the journal (native.h). It ends
        when it has let go of the fifo for `stay` seconds."""
        directory = self.running(id, DEAD, **more)
        fifo = directory / store.FIFO
        os.mkfifo(fifo, 0o600)
        init = self.process(sys.executable, "-I", "-S", "-c", INIT, str(fifo), str(directory / store.JOURNAL),
                            str(phase), str(stay))
        assert init.stdout is not None and init.stdout.readline() == "ready\n"
        (directory / store.STATE).write_text(json.dumps({**self.record(id, **more), **self.of(init)}))
        return directory
