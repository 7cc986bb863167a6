"""python -m tests.bench.trace: what looking on costs a create, in turns with creates that nobody looks at.

    off       no trace, and reports of failures switched off by PYRUNC_REPORTS=0
    reports   no trace; reports are kept of what fails, which is the default
    trace     --trace FILE, on a tmpfs
    switch    the trace that <root>/@trace switches on, as under an engine

Shown are the least and the median of the wall clock and of the runtime's CPU time, in ms: off's, and what the others
have more. Theirs is the median of the differences within a round, whose creates follow one another: what else the
machine does changes from round to round. Behind it are the quartiles of the differences.
"""
from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests import bundles, runtimes, world
from tests.bundles import docker_like
from tests.runtimes import Runtime

WAYS = ("off", "reports", "trace", "switch")


class Way:
    """One way to be looked at, with a state root of its own. wall, cpu: seconds of each create."""

    def __init__(self, name: str, program: str, place: Path) -> None:
        place.mkdir(mode=0o755)
        self.name, self.runtime, self.place = name, Runtime(program, place / "state"), place
        self.bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["/bin/sleep", "1000"]}))
        self.environment = {name: value for name, value in os.environ.items() if name != "PYRUNC_REPORTS"}
        if name == "off":
            self.environment["PYRUNC_REPORTS"] = "0"
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self.null = os.open(os.devnull, os.O_RDWR)
        if name == "switch":
            (self.runtime.root / "@trace").touch()

    def create(self, number: int) -> None:
        """One create, timed, and its delete. A RuntimeError ends the benchmark."""
        id = f"looked-{os.getpid()}-{self.name}-{number}"
        argv = self.runtime.argv("create", "--bundle", self.bundle, id)
        if self.name == "trace":
            argv[1:1] = ["--trace", str(self.place / "trace")]
        actions = [(os.POSIX_SPAWN_DUP2, self.null, fd) for fd in (0, 1, 2)]
        began = time.monotonic_ns()
        pid = os.posix_spawn(argv[0], argv, self.environment, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        self.wall.append((time.monotonic_ns() - began) / 1e9)
        self.cpu.append(usage.ru_utime + usage.ru_stime)
        if status:
            raise RuntimeError(subprocess.run(argv, capture_output=True, text=True, check=False).stderr)
        self.runtime.ok("delete", "--force", id)


def measure(program: str, rounds: int, place: Path) -> list[Way]:
    """Each way once in every round, in an order that turns, after one round that does not count."""
    ways = [Way(name, program, place / name) for name in WAYS]
    for number in range(-1, rounds):
        for way in ways:
            way.create(number)
        if number < 0:
            for way in ways:
                way.wall.clear()
                way.cpu.clear()
        ways.append(ways.pop(0))
    return sorted(ways, key=lambda way: WAYS.index(way.name))


def table(ways: list[Way]) -> str:
    """The first way's figures, and how much more the others have."""
    lines = [f"{'ms':<9}" + f"{'wall, least':>13}{'median':>9}{'quartiles':>17}" + f"{'CPU, least':>13}{'median':>9}"
             f"{'quartiles':>17}"]
    off = ways[0]
    for way in ways:
        cells = ""
        for times, base in ((way.wall, off.wall), (way.cpu, off.cpu)):
            of = times if way is off else [one - other for one, other in zip(times, base)]
            low, middle, high = (1000 * figure for figure in statistics.quantiles(of, n=4))
            sign, least = ("", min(times)) if way is off else ("+", min(times) - min(base))
            cells += f"{1000 * least:{sign}13.3f}{middle:{sign}9.3f}{f'{low:{sign}.3f} {high:{sign}.3f}':>17}"
        lines.append(f"{way.name:<9}{cells}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.trace", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", default="pyrunc", metavar="PATH", help="an installed pyrunc; it is quicker than "
                        "one in a checkout")
    parser.add_argument("--rounds", type=int, default=150)
    options = parser.parse_args()
    world.enter()
    place = Path(tempfile.mkdtemp(prefix="pyrunc-looked-", dir="/tmp"))
    world.mount("tmpfs", place, "tmpfs", data="mode=755")
    try:
        print(table(measure(runtimes.find(options.runtime), options.rounds, place)), end="")
    finally:
        world.unmount(place)
        place.rmdir()


if __name__ == "__main__":
    main()
