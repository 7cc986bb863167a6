"""One bundle, several runtimes, lifecycles in turn: seconds per command, and peak memory."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests import bundles
from tests.bundles import Config, docker_like
from tests.runtimes import Runtime
from tests.seccomp_profile import engine_sized

from . import private

if TYPE_CHECKING:
    from collections.abc import Callable

#: In the order in which a lifecycle has them; `run` is a container of its own.
COMMANDS = ("run", "create", "start", "state", "exec", "kill", "delete", "--version", "features")
#: What an engine does for each container; its sum is the row "lifecycle".
LIFECYCLE = ("create", "start", "state", "kill", "delete")
#: Seconds for one lifecycle; whatever takes longer hangs.
PATIENCE = 120
VARIANTS: dict[str, Config] = {"plain": {}, "seccomp": {"linux": {"seccomp": engine_sized()}}}


@dataclass
class Samples:
    """seconds[command]: one value a lifecycle; cpu[command]: the same of user and system time, without the container's
    processes that nobody has waited for; peak[command]: the largest resident set in KiB; private[command]: what only
    that process has, at its end, in KiB, and private["init"] of an init that waits for `start`."""
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    peak: dict[str, int] = field(default_factory=dict)
    private: dict[str, int] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)


def peak(argv: list[str], report: Path) -> int:
    """The largest resident set of a command, in units of busybox; report is a scratch file.

    busybox stands between, for a process inherits the peak of whoever it was forked from, and ours is large.
    """
    subprocess.run(["busybox", "time", "-o", report, "-f", "%M", *argv], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return int(report.read_text())


class Contestant:
    """A runtime with a bundle for `run` (/bin/true) and one for the rest (a process that waits)."""

    def __init__(self, path: str, place: Path, variant: str) -> None:
        place.mkdir(mode=0o755)
        self.runtime = Runtime(path, place / "state")
        self.samples = Samples()
        self.counter = 0
        for name, args in (("once", ["/bin/true"]), ("wait", ["/bin/sleep", "1000"])):
            config = docker_like(process={"args": args}, **VARIANTS[variant])
            bundles.bundle(place / name, config)
        self.once, self.wait, self.pid_file = place / "once", place / "wait", place / "pid"
        self.running = 0
        self._null = os.open(os.devnull, os.O_RDWR)
        # busybox takes the kernel's KiB for pages and multiplies: a process of known size shows by how much.
        self.report = place / "time"
        known = ["busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]
        self.unit = round(peak(known, self.report) / (64 << 10))

    def _time(self, command: str, *args: str | Path) -> None:
        """Spawn, wait, note the time. An exit status other than 0 ends the benchmark."""
        argv = self.runtime.argv(command, *args)
        actions = [(os.POSIX_SPAWN_DUP2, self._null, fd) for fd in (0, 1, 2)]
        began = time.monotonic_ns()
        self.running = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
        _, status, usage = os.wait4(self.running, 0)
        took = (time.monotonic_ns() - began) / 1e9
        self.running = 0
        if status:
            again = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE)
            raise RuntimeError(f"{' '.join(argv)}: {os.waitstatus_to_exitcode(status)}: {again.stderr}")
        self.samples.seconds[command].append(took)
        self.samples.cpu[command].append(usage.ru_utime + usage.ru_stime)

    def lifecycle(self) -> None:
        """One `run`, then create, start, state, exec, kill, delete of another container."""
        self.counter += 1
        id = f"bench-{os.getpid()}-{self.runtime.name}-{self.counter}"
        signal.alarm(PATIENCE)
        self._time("run", "--bundle", self.once, id)
        self._time("create", "--pid-file", self.pid_file, "--bundle", self.wait, id)
        self._time("start", id)
        self._time("state", id)
        self._try("exec", id, "/bin/true")
        self._time("kill", id, "KILL")
        os.waitpid(int(self.pid_file.read_text()), 0)
        self._time("delete", id)
        self._time("--version")
        self._try("features")
        signal.alarm(0)

    def _try(self, command: str, *args: str) -> None:
        """The same, of what not every runtime can do here."""
        if command not in self.samples.missing:
            try:
                self._time(command, *args)
            except RuntimeError:
                self.samples.missing.add(command)

    def memory(self) -> None:
        """Peak resident set of each command, and what it has to itself, in KiB."""
        for measured in (self._peak, self._private):
            self._lifecycle_with(measured)

    def _peak(self, command: str, argv: list[str]) -> None:
        self.samples.peak[command] = peak(argv, self.report) // self.unit

    def _private(self, command: str, argv: list[str]) -> None:
        self.samples.private[command] = private.at_end(argv, self._null)
        if command == "create":
            self.samples.private["init"] = private.of(self.pid_file.read_text())

    def _lifecycle_with(self, measured: Callable[[str, list[str]], None]) -> None:
        id = f"bench-{os.getpid()}-{self.runtime.name}-memory"
        steps: dict[str, tuple[str | Path, ...]] = {
            "run": ("--bundle", self.once, id), "create": ("--pid-file", self.pid_file, "--bundle", self.wait, id),
            "start": (id,), "state": (id,), "exec": (id, "/bin/true"), "kill": (id, "KILL"), "delete": (id,),
            "--version": (), "features": ()}
        for command, args in steps.items():
            if command in self.samples.missing:
                continue
            measured(command, self.runtime.argv(command, *args))
            if command == "kill":
                os.waitpid(int(self.pid_file.read_text()), 0)

    def stop(self) -> None:
        """Delete what an interrupted lifecycle left."""
        signal.alarm(0)
        if self.running:
            os.kill(self.running, signal.SIGKILL)
        for left in self.runtime.root.iterdir():
            self.runtime("delete", "--force", left.name)
        os.close(self._null)


def _late(number: int, frame: object) -> NoReturn:
    raise TimeoutError(f"a lifecycle takes more than {PATIENCE} s")


def measure(paths: list[str], place: Path, variant: str, lifecycles: int) -> dict[str, Samples]:
    """Samples by runtime. Two lifecycles of each warm the caches and are not counted."""
    signal.signal(signal.SIGALRM, _late)
    rivals = [Contestant(path, place / f"{index}", variant) for index, path in enumerate(paths)]
    try:
        for turn in range(lifecycles + 2):
            for offset in range(len(rivals)):       # each comes first equally often
                rivals[(turn + offset) % len(rivals)].lifecycle()
            if turn == 1:
                for rival in rivals:
                    rival.samples.seconds.clear()
                    rival.samples.cpu.clear()
        for rival in rivals:
            rival.memory()
    finally:
        for rival in rivals:
            rival.stop()
    return {label: rival.samples for label, rival in zip(labels(paths), rivals)}


def labels(paths: list[str]) -> list[str]:
    """The name of each runtime. Builds of one name are told apart by the last component in which their paths differ."""
    names = [Path(path).name for path in paths]
    if len(set(names)) == len(names):
        return names
    parts = zip(*(reversed(Path(path).parts) for path in paths))
    return next((list(each) for each in parts if len(set(each)) == len(paths)), paths)
