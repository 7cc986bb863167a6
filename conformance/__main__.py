"""The command line; see the package. Exit status 1 when a test fails that is not known to be stale."""
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import report, suite


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance",
                                     description="Run the OCI runtime-tools validation suite against runtimes.")
    parser.add_argument("--runtime", action="append", required=True, metavar="PATH", help="repeatable: a column each")
    parser.add_argument("--runtime-tools", type=Path, required=True, metavar="DIR", help="a built checkout")
    parser.add_argument("--guest", action="store_true", help="in this project's QEMU guest: root, pure cgroup v2")
    parser.add_argument("--test", action="append", metavar="NAME", help="repeatable (all)")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="for each test (60)")
    parser.add_argument("--text", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--junit", type=Path, metavar="FILE")
    parser.add_argument("--dangerous", action="store_true", help="run what may harm this machine, too")
    options = parser.parse_args()
    for index, given in enumerate(options.runtime):
        found = shutil.which(given)
        if found is None:
            parser.error(f"{given}: no such runtime")
        options.runtime[index] = str(Path(found).absolute())
    options.runtime_tools = options.runtime_tools.resolve()
    return options


def here(options: argparse.Namespace) -> tuple[report.Results, dict[str, str]]:
    """Run the suite on this machine. Progress goes to standard error."""
    names = options.test or suite.tests(options.runtime_tools)
    results: report.Results = {}
    versions = {}
    for runtime in map(Path, options.runtime):
        said = subprocess.run([runtime, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()
        column = runtime.name if runtime.name not in results else str(runtime)
        versions[column] = next((line for line in said if line.startswith(f"{runtime.name} ")), said[0])
        results[column] = []
        for result in suite.run(options.runtime_tools, names, runtime, options.timeout, options.dangerous):
            results[column].append(result)
            print(f"{column}: {result.test}: {result.verdict} ({result.seconds} s)", file=sys.stderr, flush=True)
    return results, versions


def in_guest(options: argparse.Namespace) -> tuple[report.Results, dict[str, str]]:
    """Run this very module in the guest and take its JSON from there. Times count thrice under emulation."""
    from tests.guest import machine
    factor = 3 if machine.accelerator() == "tcg" else 1
    argv = [sys.executable, "-m", "conformance", "--dangerous", "--runtime-tools", str(options.runtime_tools),
            "--timeout", str(options.timeout * factor), "--json", "/job/conformance.json"]
    argv += [word for runtime in options.runtime for word in ("--runtime", runtime)]
    argv += [word for name in options.test or () for word in ("--test", name)]
    guest = machine.Guest(argv, keep=[options.runtime_tools])
    try:
        while (status := guest.poll()) is None:
            sys.stderr.write(guest.output())
            sys.stderr.flush()
            time.sleep(0.2)
        sys.stderr.write(guest.output())
        written = guest.share / "conformance.json"
        if not written.exists():
            raise RuntimeError(f"the guest wrote no results (exit status {status})")
        return report.from_json(written.read_text())
    finally:
        guest.close()


def main() -> int:
    options = arguments()
    try:
        if os.geteuid():
            raise PermissionError("the suite needs root")
        results, versions = in_guest(options) if options.guest else here(options)
    except (OSError, RuntimeError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    table = report.text(results, versions)
    print(table, end="")
    if options.text:
        options.text.write_text(table)
    if options.json:
        options.json.write_text(report.as_json(results, versions))
    if options.junit:
        report.write_junit(results, options.junit)
    failed = [result for column in results.values() for result in column
              if result.verdict in (suite.FAIL, suite.TIMEOUT) and not result.stale]
    return 1 if failed else 0


sys.exit(main())
