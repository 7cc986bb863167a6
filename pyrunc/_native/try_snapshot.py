"""Tries a program with a snapshot, before it is installed: it must do what the same program does without one.

Every command of a container's life is run with both, in a directory that is removed at the end. Where this host lets
nobody make a container (in a sandbox that builds packages), only the commands that need none are compared.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TREE = Path(__file__).resolve().parent.parent.parent
TIMEOUT = 120       # seconds of a command; it takes milliseconds
#: What a container needs of the host to run a shell.
SHARED = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")


class Differs(Exception):
    """What the two programs do is not the same."""


def configuration(rootfs: Path) -> dict[str, Any]:
    """A container whose shell waits to be killed. The host's programs are mounted into it."""
    namespaces = ["pid", "mount", "ipc", "uts"]
    linux: dict[str, Any] = {}
    if os.geteuid() != 0:
        namespaces.append("user")
        linux = {"uidMappings": [{"containerID": 0, "hostID": os.geteuid(), "size": 1}],
                 "gidMappings": [{"containerID": 0, "hostID": os.getegid(), "size": 1}]}
    mounts: list[dict[str, Any]] = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    for path in SHARED:
        place = rootfs / path[1:]
        if os.path.islink(path):
            place.symlink_to(os.readlink(path))
        elif os.path.isdir(path):
            place.mkdir()
            mounts.append({"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"]})
    (rootfs / "proc").mkdir()
    return {
        "ociVersion": "1.2.0", "root": {"path": "rootfs"}, "mounts": mounts, "hostname": "snapshot",
        "annotations": {"org.example.key": "value"},
        "process": {"args": ["/bin/sh", "-c", "while :; do sleep 1000; done"], "cwd": "/", "user": {"uid": 0, "gid": 0},
                    "env": ["PATH=/usr/bin:/bin"], "capabilities": {"bounding": ["CAP_KILL"]}},
        "linux": {**linux, "namespaces": [{"type": kind} for kind in namespaces]},
    }


def library(place: Path) -> None:
    """The package, for a program in place/bin, and what it compiles filters with: nothing else is needed."""
    place.mkdir(parents=True)
    (place / "pyrunc").symlink_to(TREE / "pyrunc")
    backend = find_spec("_cffi_backend")
    if backend and backend.origin:
        (place / Path(backend.origin).name).symlink_to(backend.origin)


class Program:
    """A copy of a program, with the state of its containers."""

    def __init__(self, program: Path, place: Path, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.place, self.path = place, place / "bin/pyrunc"
        self.path.parent.mkdir(parents=True)
        shutil.copyfile(program, self.path)
        self.path.chmod(0o755)
        library(place / "lib/pyrunc")
        self.bundle = place / "bundle"
        (self.bundle / "rootfs").mkdir(parents=True)
        config = configuration(self.bundle / "rootfs")
        if change:
            change(config)
        (self.bundle / "config.json").write_text(json.dumps(config))

    def __call__(self, *words: str, keep: tuple[int, ...] = ()) -> tuple[int, str]:
        """Status and output of a command, which has no environment but a name or two. keep: descriptors."""
        with tempfile.TemporaryFile("w+") as output:    # not a pipe, which a container would keep open
            status = subprocess.run([self.path, "--root", self.place / "state", *words], stdin=subprocess.DEVNULL,
                                    stdout=output, stderr=subprocess.STDOUT, env={"TRIED": "1"}, cwd="/",
                                    timeout=TIMEOUT, check=False, pass_fds=keep).returncode
            output.seek(0)
            return status, output.read()

    def short(self) -> Path:
        """A configuration of a container that ends by itself."""
        config = json.loads((self.bundle / "config.json").read_text())
        config["process"]["args"] = ["/bin/sh", "-c", "exit 3"]
        path = self.place / "short.json"
        path.write_text(json.dumps(config))
        return path

    def simple(self) -> list[Any]:
        """What commands say that make no container."""
        versions = [line for line in self("--version")[1].splitlines() if not line.startswith("start:")]
        absent = [self(*words)[0] for words in (["state", "none"], ["kill", "none"], ["delete", "none"], ["list"])]
        return [versions, self("features"), absent, self("spec", "--help"), self("--nonsense")[0]]

    def lifecycle(self) -> list[Any]:
        """What the commands of a container's life say. It is gone at the end, whatever happened."""
        name = f"snapshot-{os.getpid()}"
        try:
            seen: list[Any] = [self("create", "--bundle", str(self.bundle), name)]
            for words in (["state", name], ["start", name], ["state", name], ["exec", name, "/bin/sh", "-c", "exit 3"],
                          ["ps", name], ["kill", name, "KILL"]):
                status, output = self(*words)
                told = json.loads(output)["status"] if words[0] == "state" and not status else ""
                seen.append((words[0], status, told))
            return seen
        finally:
            self("delete", "--force", name)


def try_snapshot(program: Path, plain: Path) -> bool:
    """Whether a container's life could be tried. Differs when program does not do what plain does."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        place.chmod(0o755)
        new, old = Program(program, place / "new"), Program(plain, place / "old")
        if "start: snapshot\n" not in new("--version")[1]:
            raise Differs(f"it does not start from its snapshot: {new('--version')[1]}")
        if new.simple() != old.simple():
            raise Differs(f"{new.simple()} instead of {old.simple()}")
        expected = old.lifecycle()
        if expected[0][0]:
            return False            # no container can be made here
        if (found := new.lifecycle()) != expected:
            raise Differs(f"{found} instead of {expected}")
        return True
