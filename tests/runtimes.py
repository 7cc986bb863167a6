"""Drive an OCI runtime by its command line, as an engine does: pyrunc, runc or crun, by path."""
from __future__ import annotations

import atexit
import functools
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from . import world

INSTALL = Path(__file__).parent.parent / "pyrunc/_native/install.py"
#: In the guest, whose processor is emulated: the copy that was made outside.
FOR_ANYONE = "PYRUNC_FOR_ANYONE"


def find(wanted: str = "") -> str:
    """The absolute path of a runtime: by name or path, or this environment's pyrunc. FileNotFoundError."""
    if not wanted or wanted == "pyrunc":
        wanted = str(Path(sys.prefix, "bin/pyrunc"))
    if path := shutil.which(wanted):
        return str(Path(path).absolute())
    raise FileNotFoundError(f"{wanted}: no such runtime (build pyrunc with `make build`)")


@functools.cache
def for_anyone(path: str) -> str:
    """The runtime's path; where ordinary users cannot come to it, in a checkout below /root, that of a copy of ours."""
    if all(parent.stat().st_mode & 1 for parent in Path(path).parents):
        return path
    assert INSTALL.parent.parent.parent in Path(path).parents, f"{path}: no ordinary user may run it there"
    if copy := os.environ.get(FOR_ANYONE):
        return copy
    place = Path(tempfile.mkdtemp(prefix="pyrunc-for-anyone-", dir="/tmp"))
    atexit.register(shutil.rmtree, place)
    place.chmod(0o755)
    subprocess.run([sys.executable, INSTALL, place], check=True, stdout=subprocess.DEVNULL)
    return str(place / "bin/pyrunc")


def name(path: str) -> str:
    return Path(path).name


def wait(process: subprocess.Popen[Any], seconds: float) -> int:
    """Its exit status, as soon as it ends: Popen.wait() with a timeout looks at it in ever longer intervals.
    subprocess.TimeoutExpired."""
    ended = select.poll()
    pidfd = os.pidfd_open(process.pid)
    try:
        ended.register(pidfd, select.POLLIN)
        if not ended.poll(seconds * 1000):
            raise subprocess.TimeoutExpired(process.args, seconds)
    finally:
        os.close(pidfd)
    return process.wait()


@dataclass
class Outcome:
    """One finished command. Its output is in files, so that a container which outlives it can go on writing."""
    argv: list[str]
    status: int
    seconds: float
    files: Path

    @property
    def stdout(self) -> str:
        return self.files.with_suffix(".out").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self.files.with_suffix(".err").read_text(errors="replace")


class Runtime:
    """One runtime with its own state root. Calls return an Outcome, kept beside that root; ok() wants exit status 0."""

    def __init__(self, path: str, root: Path) -> None:
        self.path, self.root = path, root
        self._numbers = itertools.count()
        root.mkdir(mode=0o700, exist_ok=True)
        self.name = name(path)
        self.options: list[str] = []
        if self.name == "crun" and "memory" not in world.controllers():
            self.options = ["--cgroup-manager=disabled"]         # crun refuses a host with hybrid cgroups

    def argv(self, *args: str | Path) -> list[str]:
        return [self.path, "--root", str(self.root), *self.options, *map(str, args)]

    def popen(self, *args: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv(*args), **options)

    def __call__(self, *args: str | Path, stdin: int | IO[bytes] = subprocess.DEVNULL, cwd: Path | None = None,
                 env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = (), timeout: float = 110) -> Outcome:
        argv = self.argv(*args)
        files = self.root.parent / f"{self.root.name}-{next(self._numbers)}"
        began = time.monotonic()
        with files.with_suffix(".out").open("wb") as out, files.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(argv, stdin=stdin, stdout=out, stderr=err, cwd=cwd, pass_fds=pass_fds,
                                       env=dict(env) if env is not None else None)
        try:
            status = wait(process, timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return Outcome(argv, status, time.monotonic() - began, files)

    def ok(self, *args: str | Path, **options: Any) -> Outcome:
        outcome = self(*args, **options)
        assert outcome.status == 0, f"{' '.join(outcome.argv)}: {outcome.status}\n{outcome.stdout}{outcome.stderr}"
        return outcome

    # ---- what most tests do with it ----------------------------------------------------------------------------
    def run(self, id: str, bundle: Path, *flags: str, **options: Any) -> Outcome:
        """A foreground run to its end."""
        return self("run", *flags, "--bundle", bundle, id, **options)

    def create(self, id: str, bundle: Path, *flags: str, **options: Any) -> Init:
        """A created container. Its init is a child of this process (the subreaper), its output a file."""
        pid_file = bundle / f"{id}.pid"
        outcome = self.ok("create", *flags, "--pid-file", pid_file, "--bundle", bundle, id, **options)
        pid = int(pid_file.read_text())
        pid_file.unlink()
        return Init(pid, outcome)

    def whole_life(self, id: str, bundle: Path, *flags: str) -> tuple[int, str]:
        """create, start, wait, delete: exit code and standard output of the container's process."""
        init = self.create(id, bundle, *flags)
        self.ok("start", id)
        code = init.wait()
        self.ok("delete", id)
        return code, init.outcome.stdout

    def state(self, id: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.ok("state", id).stdout)
        return state

    def status(self, id: str) -> str:
        status: str = self.state(id)["status"]
        return status

    def wait_for(self, id: str, status: str, seconds: float = 60) -> None:
        """Until the container has this status. AssertionError when the time is over."""
        deadline = time.monotonic() + seconds
        while (now := self.status(id)) != status:
            assert time.monotonic() < deadline, f"{id} is {now}, not {status}"
            time.sleep(0.02)


@dataclass
class Init:
    """A container's first process, as `create` left it: outcome is that command's, and holds what the init prints."""
    pid: int
    outcome: Outcome

    def wait(self, seconds: float = 60) -> int:
        return reap(self.pid, seconds)


def reap(pid: int, seconds: float = 60) -> int:
    """The exit code of a container's init, which create or a detached run left to us: 128 + n for signal n."""
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        assert time.monotonic() < deadline, f"process {pid} goes on"
        time.sleep(0.005)
