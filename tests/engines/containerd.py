"""A containerd of our own and its client ctr, driven as a user does."""
from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests import runtimes

from . import image, remains
from .waiting import SECONDS

#: The runtime type of the shim of our own; containerd looks for the program containerd-shim-pyrunc-v2.
SHIM = "io.containerd.pyrunc.v2"
#: containerd's own, of 2 to 5 s, are for machines that are not emulated.
TIMEOUTS = """
[timeouts]
  "io.containerd.timeout.shim.cleanup" = "100s"
  "io.containerd.timeout.shim.load" = "100s"
  "io.containerd.timeout.shim.shutdown" = "30s"
  "io.containerd.timeout.task.state" = "60s"
"""
CONFIG = """version = 2
root = "{place}/root"
state = "{place}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
                    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
                    "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{place}/sock"
[debug]
  level = "debug"
""" + TIMEOUTS


def environment(*folders: Path) -> dict[str, str]:
    """A daemon's: its PATH leads to these folders, and to the shim of our own."""
    first = ":".join(map(str, [*folders, Path(runtimes.find()).parent]))
    return {**os.environ, "PATH": f"{first}:{os.environ['PATH']}"}


def version() -> tuple[int, ...]:
    """containerd's: here, or of the release that --engines-from names."""
    said = subprocess.run(["containerd", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.split()[2].partition("~")[0].partition("+")[0].split("."))


class Done:
    """A finished ctr command."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.status, self.stdout, self.stderr = process.returncode, process.stdout, process.stderr


class Containerd:
    """A running daemon with the busybox image loaded. place: an empty folder on a file system that takes overlays."""

    def __init__(self, place: Path, config: str = "", namespace: str = "default") -> None:
        self.place, self.namespace = place, namespace
        (place / "config.toml").write_text(config or CONFIG.format(place=place))
        self.log = place / "log"
        self.programs = place / "programs"          # found before the machine's own
        self.process: subprocess.Popen[bytes]
        self.start()
        self.import_image(image.write(place / "image.tar"))

    def start(self) -> None:
        self.process = subprocess.Popen(["containerd", "--config", self.place / "config.toml"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log.open("ab"),
                                        env=environment(self.programs))
        deadline = time.monotonic() + SECONDS
        while not self.ready():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def ready(self) -> bool:
        return self.ctr("version").status == 0

    def import_image(self, path: Path, name: str = image.NAME) -> None:
        self.ok("image", "import", str(path))

    def argv(self, *args: str) -> list[str]:
        return ["ctr", "--address", str(self.place / "sock"), "--namespace", self.namespace, *args]

    def ctr(self, *args: str, timeout: float = 200) -> Done:
        return Done(subprocess.run(self.argv(*args), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                   timeout=timeout, check=False))

    def ok(self, *args: str) -> str:
        done = self.ctr(*args)
        assert done.status == 0, f"ctr {' '.join(args)}: {done.status}\n{done.stdout}{done.stderr}\n{self.last_words()}"
        return done.stdout

    def last_words(self) -> str:
        return "\n".join(line for line in self.log.read_text().splitlines() if "level=debug" not in line)[-2000:]

    def task_status(self, id: str) -> str:
        """RUNNING, STOPPED, CREATED, PAUSED, or "" when there is no such task."""
        for line in self.ok("task", "list").splitlines()[1:]:
            name, _, status = line.split()
            if name == id:
                return status
        return ""

    def left(self, id: str) -> list[str]:
        """What of a container is still there: runtime state, shim, mounts, cgroups."""
        return remains.of(id, [Path("/run/containerd"), self.place / "state"])

    def restart(self, meanwhile: Callable[[], object]) -> None:
        """End the daemon, do something, start it again."""
        Containerd.stop(self)
        try:
            meanwhile()
        finally:
            self.start()

    def stop(self) -> None:
        """End the daemon; containers and their shims go on."""
        self.process.terminate()
        self.process.wait(150)
