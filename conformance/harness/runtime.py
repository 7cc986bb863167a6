"""A runtime by its command line, as engines know it: runc's, which crun, youki and others have, too."""
from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..model import Fails
from . import guard, isolation

NEWEST = "1.3.0"
LIMIT = 3000            # characters of the output of one command that the log keeps
LOG_LIMIT = 40_000      # characters of the log of one case


@dataclass
class Outcome:
    """One finished command: exit status and what it printed, what outlived it included."""
    argv: list[str]
    status: int
    files: Path

    @property
    def stdout(self) -> str:
        return self.files.with_suffix(".out").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self.files.with_suffix(".err").read_text(errors="replace")

    @property
    def said(self) -> str:
        """Exit status and the last words, for people."""
        words = (self.stderr.strip() or self.stdout.strip())[-LIMIT:]
        return f"exit status {self.status}" + (f": {words}" if words else "")


@dataclass(frozen=True)
class Program:
    """A runtime that cases are run against: the name of its column, its path, and options before the command."""
    name: str
    path: Path
    options: tuple[str, ...] = ()
    older: str = ""

    @cached_property
    def about(self) -> str:
        """The line of --version that begins with its name, else the first. OSError when it cannot be run."""
        done = subprocess.run([self.path, "--version"], capture_output=True, text=True, check=False, timeout=60)
        lines = done.stdout.splitlines()
        return next((line for line in lines if line.startswith(f"{self.path.name} ")), (lines or ["no version"])[0])

    @cached_property
    def features(self) -> dict[str, Any] | None:
        """What `features` prints; None of a runtime without that command."""
        done = subprocess.run([self.path, *self.options, "features"], capture_output=True, text=True, check=False,
                              timeout=60)
        try:
            found = json.loads(done.stdout) if done.returncode == 0 else None
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    @cached_property
    def version(self) -> str:
        """The newest ociVersion of bundles for it: what it was said to be, else what it says itself, else 1.0.2."""
        if self.older:
            return self.older
        if self.features and isinstance(said := self.features.get("ociVersionMax"), str):
            return min(said, NEWEST, key=numbers)
        done = subprocess.run([self.path, "--version"], capture_output=True, text=True, check=False, timeout=60)
        found = re.search(r"^spec: (\S+)", done.stdout, re.M)
        return min(found[1], NEWEST, key=numbers) if found else "1.0.2"


def numbers(version: str) -> tuple[int, ...]:
    """Of a version, to compare: (1, 2, 0) of 1.2.0, 1.2.0-rc.1 and 1.2.0+dev."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[-+]", version)[0])[:3])


def program(given: str, older: str = "") -> Program:
    """A runtime from [NAME=]PATH. FileNotFoundError."""
    name, _, path = given.rpartition("=")
    found = shutil.which(path)
    if found is None:
        raise FileNotFoundError(f"{path}: no such runtime")
    options: tuple[str, ...] = ()
    at = Path(found).absolute()
    if at.name == "crun" and "memory" not in _controllers():
        options = ("--cgroup-manager=disabled",)        # crun refuses a hybrid host
    return Program(name or at.name, at, options, older)


def _controllers() -> set[str]:
    """As isolation.controllers(), from outside: none where cgroup v2 is not all there is."""
    return isolation.controllers() if (isolation.CGROUP / "cgroup.controllers").exists() else set()


class State(dict[str, Any]):
    """What `state` prints. Fails when a case asks for a property that is not there."""

    def __missing__(self, name: str) -> Any:
        raise Fails(f"state has no {name}: {json.dumps(self)[:300]}")


@dataclass
class Runtime:
    """A program with a state root of its own, inside a case. Each call is in the log."""
    program: Program
    root: Path
    log: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.place = self.case = self.root.parent

    def argv(self, *args: str | Path, cwd: Path | None = None) -> list[str]:
        """The whole command. Harmful when it names what is not the case's."""
        words = list(map(str, args))
        guard.check(words, self.root, self.case, cwd)
        return [str(self.program.path), "--root", str(self.root), *self.program.options, *words]

    def __call__(self, *args: str | Path, pass_fds: Sequence[int] = (), cwd: Path | None = None,
                 stdin: int = subprocess.DEVNULL, env: Mapping[str, str] | None = None,
                 seconds: float | None = None) -> Outcome:
        """Run one command to its end. Its output is in files: a container that outlives it can go on writing.

        Fails when it takes longer than these seconds.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv = self.argv(*args, cwd=cwd)
        files = self.place / f"command-{next(self.numbers)}"
        with files.with_suffix(".out").open("wb") as out, files.with_suffix(".err").open("wb") as err:
            try:
                done = subprocess.run(argv, stdin=stdin, stdout=out, stderr=err, check=False, cwd=cwd, env=env,
                                      pass_fds=pass_fds, timeout=seconds)
            except subprocess.TimeoutExpired:
                raise Fails(f"{args[0]} goes on after {seconds:.0f} s") from None
        outcome = Outcome(argv, done.returncode, files)
        self.log.append(f"$ {' '.join(argv)}\n{outcome.said}\n"[:LIMIT])
        return outcome

    def ok(self, *args: str | Path, **options: Any) -> Outcome:
        """As a call. Fails when the exit status is not 0."""
        outcome = self(*args, **options)
        if outcome.status:
            raise Fails(f"{args[0]}: {outcome.said}")
        return outcome

    def state(self, id: str) -> dict[str, Any]:
        outcome = self.ok("state", id)
        try:
            found = json.loads(outcome.stdout)
        except ValueError as error:
            raise Fails(f"state is no JSON ({error}): {outcome.stdout[:300]}") from error
        if not isinstance(found, dict):
            raise Fails(f"state is no object: {outcome.stdout[:300]}")
        return State(found)

    def wait_for(self, id: str, status: str, seconds: float = 20) -> None:
        """Until the container has this status. Fails when the time is over."""
        deadline = time.monotonic() + seconds
        while (now := self.state(id).get("status")) != status:
            if time.monotonic() > deadline:
                raise Fails(f"the container is {now}, not {status}")
            time.sleep(0.02)
            del self.log[-1]


def reap(pid: int, seconds: float = 30) -> int:
    """The exit code of a container's init, an orphan of ours: 128 + n for signal n. Fails when it goes on."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            done, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError as error:
            raise Fails(f"process {pid} of the container is no child of whoever called create") from error
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if time.monotonic() > deadline:
            raise Fails(f"process {pid} goes on after {seconds:.0f} s")
        time.sleep(0.005)
