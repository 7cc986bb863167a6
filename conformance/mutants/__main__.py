"""The command line; see the package. Exit status 1 when a mutant lives, or its case is out of time."""
from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..harness.runtime import Program, program
from ..model import DEVIATES, FAILS, HOLDS, OUT_OF_TIME, load
from ..run import run_one
from .table import MUTANTS
from .wrapper import Mutant

KILLED, LIVES, NOT_TRIED, LATE = "killed", "lives", "not tried", OUT_OF_TIME
SCRIPT = """\
#!/bin/sh
exec {python} -IS -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); real, name = sys.argv.pop(1), sys.argv.pop(1)
from conformance.mutants.wrapper import main; main(real, name)' {package} {real} {name} "$@"
"""


def broken(real: Program, mutant: Mutant, place: Path) -> Program:
    """A program in the folder `place` that is the runtime, broken as the mutant says."""
    path = place / real.path.name
    path.write_text(SCRIPT.format(python=shlex.quote(sys.executable), real=shlex.quote(str(real.path)),
                                  package=shlex.quote(str(Path(__file__).parents[2])), name=shlex.quote(mutant.name)))
    path.chmod(0o755)
    return Program(mutant.name, path, real.options, real.version)


def attempt(real: Program, mutants: Sequence[Mutant], limit: float) -> Iterator[tuple[Mutant, str, str]]:
    """Each mutant with its fate and what was seen. It is not tried where its case neither holds of the real runtime nor
    deviates."""
    cases = load()
    sound: dict[str, str] = {}
    for mutant in mutants:
        case = cases[mutant.kills]
        if case.name not in sound:
            sound[case.name] = run_one(case, real, limit).verdict
        if sound[case.name] not in (HOLDS, DEVIATES):
            yield mutant, NOT_TRIED, f"{case.name} of the real runtime: {sound[case.name]}"
            continue
        with tempfile.TemporaryDirectory(prefix="mutant-") as place:
            result = run_one(case, broken(real, mutant, Path(place)), limit)
        # A wrapper that goes wrong breaks no demand, whatever its case thinks of it.
        wrong = "Traceback" in result.log + result.seen
        # Nor has a case that was merely out of time noticed anything.
        fate = {FAILS: KILLED, OUT_OF_TIME: LATE}.get(result.verdict, LIVES)
        yield mutant, LIVES if wrong else fate, result.seen or result.verdict


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m conformance mutants",
        description="Break a runtime in one way at a time, and see whether a case notices.")
    parser.add_argument("--runtime", default="", metavar="[NAME=]PATH")
    parser.add_argument("--select", action="append", default=[], metavar="WORDS",
                        help="repeatable: mutants with these words in their name or their case's (all)")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="for each case (60)")
    parser.add_argument("--list", action="store_true", help="print the mutants and their cases, and run none")
    options = parser.parse_args(argv)
    chosen = [mutant for mutant in MUTANTS if not options.select or any(
        words in mutant.name or words in mutant.kills for words in options.select)]
    if options.list:
        print("".join(f"{mutant.name}: {mutant.kills}\n" for mutant in chosen), end="")
        return 0
    if not options.runtime:
        parser.error("--runtime: which?")
    try:
        if os.geteuid():
            raise PermissionError("the cases need root")
        real = program(options.runtime)
    except OSError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    counts = dict.fromkeys((KILLED, LIVES, LATE, NOT_TRIED), 0)
    for mutant, fate, seen in attempt(real, chosen, options.timeout):
        counts[fate] += 1
        print(f"{fate}: {mutant.name} ({mutant.kills}): {' '.join(seen.split())[:200]}", flush=True)
    print(", ".join(f"{count} {fate}" for fate, count in counts.items()))
    return int(counts[LIVES] + counts[LATE] > 0)


if __name__ == "__main__":
    sys.exit(main())
