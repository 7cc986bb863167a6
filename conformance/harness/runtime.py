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

from ..model import Fails, OutOfTime
from . import bundles, guard, isolation, patience

NEWEST = "1.3.0"
NO_CGROUPS, SYSTEMD = "--cgroup-manager=disabled", "--systemd-cgroup"
LIMIT = 3000            # characters of the output of one command that the log keeps
BUNDLES = 8             # bundles that are told of a case
BUNDLE_LIMIT = 100_000  # characters of a config.json that are looked at for that
LOG_LIMIT = 40_000      # characters of the log of one case
READ_LIMIT = 4 << 20    # bytes of each output of a command that are looked at, half of them from its end


@dataclass
class Outcome:
    """One finished command: exit status and what it printed, what outlived it included."""
    argv: list[str]
    status: int
    files: Path

    @property
    def stdout(self) -> str:
        return self._read(".out")

    @property
    def stderr(self) -> str:
        return self._read(".err")

    def _read(self, suffix: str) -> str:
        with self.files.with_suffix(suffix).open("rb") as file:
            found = file.read(READ_LIMIT // 2)
            end = file.seek(0, os.SEEK_END)
            file.seek(max(len(found), end - READ_LIMIT // 2))
            return (found + file.read(READ_LIMIT // 2)).decode(errors="replace")

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

    @property
    def without_cgroups(self) -> bool:
        return NO_CGROUPS in self.options

    @property
    def systemd(self) -> bool:
        """Whether systemd makes the cgroups."""
        return SYSTEMD in self.options

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


def program(given: str, older: str = "", systemd: bool = False) -> Program:
    """A runtime from [NAME=]PATH. systemd: it is to have systemd make cgroups. FileNotFoundError."""
    name, _, path = given.rpartition("=")
    found = shutil.which(path)
    if found is None:
        raise FileNotFoundError(f"{path}: no such runtime")
    options: tuple[str, ...] = ()
    at = Path(found).absolute()
    if at.name == "crun" and "memory" not in _controllers():
        options = (NO_CGROUPS,)        # crun refuses a hybrid host
    return Program(name or at.name, at, (SYSTEMD,) if systemd else options, older)


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
    bundles: list[str] = field(default_factory=list)        # each that a container was to be made of, for people

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

        OutOfTime when it takes longer than these seconds; --timeout stretches them.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv = self.argv(*args, cwd=cwd)
        self._note_bundle(list(map(str, args)), cwd)
        files = self.place / f"command-{next(self.numbers)}"
        with files.with_suffix(".out").open("wb") as out, files.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(argv, stdin=stdin, stdout=out, stderr=err, cwd=cwd, env=env, pass_fds=pass_fds)
            try:
                process.wait(None if seconds is None else patience.stretched(seconds))
            except subprocess.TimeoutExpired as over:
                told = f"{args[0]} goes on after {over.timeout:.0f} s: {patience.doing(process.pid)}"
                raise OutOfTime(told) from None
            finally:
                process.kill()              # does nothing to one that has ended
                process.wait()
        outcome = Outcome(argv, process.returncode, files)
        self.log.append(f"$ {' '.join(argv)}\n{outcome.said}\n"[:LIMIT])
        return outcome

    def _note_bundle(self, words: list[str], cwd: Path | None) -> None:
        if not {"create", "run"} & set(words[:1]):
            return
        bundle = words[words.index("--bundle") + 1] if "--bundle" in words[:-1] else ""
        try:
            with open(os.path.join(cwd or ".", bundle, "config.json"), errors="replace") as file:
                text = bundles.told(file.read(BUNDLE_LIMIT))[:LIMIT]
        except OSError:
            text = "no config.json"
        if text not in self.bundles and len(self.bundles) < BUNDLES:
            self.bundles.append(text)

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
        deadline = patience.deadline(seconds)
        while (now := self.state(id).get("status")) != status:
            if time.monotonic() > deadline:
                raise Fails(f"the container is {now}, not {status}, after {patience.stretched(seconds):.0f} s")
            time.sleep(0.02)
            del self.log[-1]


def reap(pid: int, seconds: float = 30) -> int:
    """The exit code of a container's init, an orphan of ours: 128 + n for signal n. Fails when it goes on."""
    deadline = patience.deadline(seconds)
    while True:
        try:
            done, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError as error:
            raise Fails(f"process {pid} of the container is no child of whoever called create") from error
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if time.monotonic() > deadline:
            raise Fails(f"process {pid} goes on after {patience.stretched(seconds):.0f} s: {patience.doing(pid)}")
        time.sleep(0.005)
