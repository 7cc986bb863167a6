"""The command line; see the package. Exit status: 0, 1 when a case fails, is broken or out of time, 2 when nothing
could be run, 130 when it was interrupted, and then what had been found is written."""
from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import report
from .harness import bundles, shield
from .harness.runtime import Program, program
from .model import PROFILES, Case, chosen
from .report import coverage, html, junit
from .run import run_one

#: Parts with a command line of their own, and where it is.
PARTS = {"runtime-tools": "runtime_tools.__main__", "mutants": "mutants.__main__", "quotations": "quotations",
         "compare": "report.compare", "failures": "report.failures"}
USAGE = """\
parts of their own:
  runtime-tools   the suite of opencontainers/runtime-tools: python -m conformance runtime-tools --help
  mutants         whether the cases notice a broken runtime: python -m conformance mutants --help
  compare         whether runs gave the same table: python -m conformance compare --help
  failures        what failed, to be reported to authors: python -m conformance failures --help
  quotations      whether every demand of the specification has its row: python -m conformance quotations --help

profiles:
""" + "".join(f"  {name:<10}{what}\n" for name, what in PROFILES.items())


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance", epilog=USAGE, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Ask every demand of the OCI runtime specification of runtimes.")
    parser.add_argument("--runtime", action="append", default=[], metavar="[NAME=]PATH",
                        help="repeatable: a column each")
    parser.add_argument("--select", action="append", default=[], metavar="PATTERN",
                        help="repeatable: cases by name or chapter, a part of it or a shell pattern (all)")
    parser.add_argument("--profile", action="append", default=[], choices=PROFILES, help="repeatable (spec)")
    parser.add_argument("--throw-away", action="store_true",
                        help="this machine may be lost: it is a virtual machine for tests. "
                        f"Without it, or {shield.MARK}=1, {', '.join(shield.HARMFUL)} are not run")
    parser.add_argument("--oci-version", action="append", default=[], metavar="NAME=VERSION",
                        help="repeatable: the ociVersion of bundles for this runtime; otherwise the newest it knows")
    parser.add_argument("--systemd-cgroup", action="store_true",
                        help="runtimes are to have systemd make the cgroups: they are given this flag")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS",
                        help="for each case (60); more stretches what it waits for in it, too")
    parser.add_argument("--text", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything, for programs")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="for CI")
    parser.add_argument("--html", type=Path, metavar="FILE", help="for people: what was demanded and what was seen")
    parser.add_argument("--list", action="store_true", help="print the cases, and run none")
    parser.add_argument("--coverage", action="store_true", help="print which demands have no case, and run none")
    options = parser.parse_args(argv)
    options.cases = chosen(options.select, options.profile or ["spec"])
    if options.list or options.coverage:
        return options
    if not options.runtime:
        parser.error("--runtime: which?")
    if not options.cases:
        parser.error("no case is selected")
    versions = dict(given.partition("=")[::2] for given in options.oci_version)
    options.programs = {}
    for given in options.runtime:
        try:
            found = program(given, systemd=options.systemd_cgroup)
        except FileNotFoundError as error:
            parser.error(str(error))
        if found.name in options.programs:
            parser.error(f"two runtimes are named {found.name}: give them names, as in other={found.path}")
        options.programs[found.name] = program(given, versions.pop(found.name, ""), options.systemd_cgroup)
    if versions:
        parser.error(f"--oci-version: no runtime is named {', '.join(sorted(versions))}")
    return options


def machine() -> str:
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    return f"Linux {os.uname().release}, cgroup {'v2' if unified else 'v2 beside v1'}"


def run_all(cases: Sequence[Case], programs: dict[str, Program], limit: float) -> report.Report:
    """Every case under every runtime. Progress goes to standard error."""
    found = report.Report({"machine": machine()})
    for name, runtime in programs.items():
        found.about[name] = f"{runtime.about}, with ociVersion {runtime.version}" + (
            ", cgroups by systemd" if runtime.systemd else "")
        found.columns[name] = {}
        began = time.monotonic()
        for number, case in enumerate(cases, 1):
            try:
                result = run_one(case, runtime, limit)
            except KeyboardInterrupt:
                found.about["interrupted"] = f"at case {number} of {len(cases)} under {name}"
                return found
            found.columns[name][case.name] = result
            print(f"{name}: {number}/{len(cases)} {case.name}: {result.verdict}", file=sys.stderr, flush=True)
        print(f"{name}: {len(cases)} cases in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in PARTS:
        part: Callable[[Sequence[str]], int] = importlib.import_module(f".{PARTS[words[0]]}", __package__).main
        return part(words[1:])
    options = arguments(words)
    if options.list:
        print("".join(f"{case.name}: {case.asks}\n" for case in options.cases), end="")
        return 0
    if options.coverage:
        print(coverage.text(), end="")
        return 0
    try:
        if refused := shield.refusal({case.profile for case in options.cases}, options.throw_away):
            raise PermissionError(refused)
        if os.geteuid() and any(case.profile != "rootless" for case in options.cases):
            raise PermissionError("the cases need root, but for --profile rootless")
        if options.systemd_cgroup and not os.path.isdir("/run/systemd/system"):
            raise FileNotFoundError("--systemd-cgroup: systemd does not run here")
        if not bundles.BUSYBOX.exists():
            raise FileNotFoundError(f"{bundles.BUSYBOX}: a static busybox is needed (CONFORMANCE_BUSYBOX=PATH)")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        found = run_all(options.cases, options.programs, options.timeout)
    except OSError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    table = report.text(found)
    print(table, end="")
    for file, words_of in ((options.text, lambda report_: table), (options.json, report.as_json),
                           (options.junit, junit.text), (options.html, html.text)):
        if file:
            file.write_text(words_of(found))
    if "interrupted" in found.about:
        return 130
    return int(any(result.failed for column in found.columns.values() for result in column.values()))


if __name__ == "__main__":
    sys.exit(main())
