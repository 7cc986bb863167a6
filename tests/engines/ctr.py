"""`ctr`, containerd's own client, with a runtime or with a shim: what its scenarios share."""
from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import runtimes, world

from .containerd import SHIM, Containerd
from .image import NAME
from .waiting import until


@pytest.fixture(scope="module")
def containerd(private_world: None) -> Iterator[Containerd]:
    place = Path(tempfile.mkdtemp(prefix="containerd-", dir="/tmp"))
    place.chmod(0o711)                  # a user namespace's root must get to its files
    daemon = Containerd(place)
    yield daemon
    daemon.stop()


class Ctr:
    """The daemon and the runtime of one test, and an id of its own.

    binary is a script in front of the runtime which notes that it was called: some of ctr's flags, and with ctr 1.7
    a configuration with mappings of ids, make it forget which runtime was asked for. Then runc is looked for, and the
    script is found.
    """

    def __init__(self, daemon: Containerd, binary: str, id: str) -> None:
        self.daemon, self.id = daemon, id
        script, self.calls = daemon.place / f"{id}-runtime", daemon.place / f"{id}-calls"
        script.write_text(f'#!/bin/sh\necho "$@" >>{self.calls}\nexec {binary} "$@"\n')
        script.chmod(0o755)
        self.shim = Path(binary).name.startswith("containerd-shim-")
        daemon.programs.mkdir(exist_ok=True)
        runc = daemon.programs / "runc"
        runc.unlink(missing_ok=True)
        runc.symlink_to(script)
        self.runtime = ("--runtime", SHIM) if self.shim else ("--runc-binary", str(script))

    def command(self, *flags: str, args: tuple[str, ...] = ()) -> tuple[str, ...]:
        return ("run", *self.runtime, *flags, NAME, self.id, *args)

    def wait(self, done: Callable[[], bool], what: str) -> None:
        until(done, lambda: f"{what}: {self.daemon.left(self.id)}\n{self.daemon.last_words()}")

    def detached(self, *args: str, flags: tuple[str, ...] = ()) -> None:
        self.daemon.ok(*self.command("--detach", *flags, args=args))

    def processes(self) -> list[int]:
        """Host's process ids, the first process first."""
        return [int(line.split()[0]) for line in self.daemon.ok("task", "ps", self.id).splitlines()[1:]]

    def nothing_left(self) -> None:
        self.wait(lambda: not self.daemon.left(self.id), "something stays behind")


@pytest.fixture
def cni() -> Iterator[str]:
    """A bridge where ctr, which cannot be told another place, looks for its network. The start of its addresses."""
    config, programs = Path("/etc/cni/net.d"), Path("/opt/cni/bin")
    programs.parent.mkdir(parents=True, exist_ok=True)
    if not programs.exists():
        programs.symlink_to("/usr/lib/cni")
    config.mkdir(parents=True, exist_ok=True)
    world.mount("tmpfs", config, "tmpfs")
    (config / "10-ctr.conflist").write_text(json.dumps({"cniVersion": "0.4.0", "name": "ctr", "plugins": [
        {"type": "bridge", "bridge": "ctr0", "isGateway": True,
         "ipam": {"type": "host-local", "subnet": "10.88.78.0/24"}}]}))
    yield "10.88.78"
    world.unmount(config)


@pytest.fixture(params=["runc", "pyrunc", "shim"])
def binary(request: pytest.FixtureRequest) -> str:
    """Path of the runtime that containerd's shim calls, or of a shim that calls none."""
    if request.param == "runc":
        return runtimes.find("runc")
    path = runtimes.find(request.config.getoption("runtime"))
    return path if request.param == "pyrunc" else str(Path(path).with_name("containerd-shim-pyrunc-v2"))


@pytest.fixture
def ctr(containerd: Containerd, binary: str, name: str) -> Iterator[Ctr]:
    driver = Ctr(containerd, binary, name)
    yield driver
    containerd.ctr("task", "delete", "--force", name)
    containerd.ctr("container", "delete", name)
    assert driver.shim or f" {name}" in driver.calls.read_text()
