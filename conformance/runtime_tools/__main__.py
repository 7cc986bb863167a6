"""The command line; see the package. Exit status 1 when a test fails that is not known to be stale."""
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import prepare, report, suite


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance runtime-tools",
                                     description="Run the OCI runtime-tools validation suite against runtimes.")
    parser.add_argument("--runtime", action="append", required=True, metavar="[NAME=]PATH",
                        help="repeatable: a column each")
    parser.add_argument("--runtime-tools", type=Path, required=True, metavar="DIR", help="a built checkout")
    parser.add_argument("--test", action="append", metavar="NAME", help="repeatable (all)")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="for each test (60)")
    parser.add_argument("--oci-version", action="append", default=[], metavar="NAME=VERSION",
                        help="repeatable: hand this runtime bundles of an older specification (crun 1.8 has 1.0)")
    parser.add_argument("--with", action="append", default=[], type=Path, metavar="FILE", dest="earlier",
                        help="repeatable: the columns of an earlier --json, too")
    parser.add_argument("--text", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--junit", type=Path, metavar="FILE")
    parser.add_argument("--dangerous", action="store_true",
                        help="run what may harm this machine, too, and load the AppArmor profile that a test needs")
    options = parser.parse_args(argv)
    runtimes: dict[str, Path] = {}
    for given in options.runtime:
        name, _, path = given.rpartition("=")
        found = shutil.which(path)
        if found is None:
            parser.error(f"{path}: no such runtime")
        name = name or Path(found).name
        if name in runtimes:
            parser.error(f"two runtimes are named {name}: give them names, as in other={path}")
        runtimes[name] = Path(found).absolute()
    options.versions = dict(given.partition("=")[::2] for given in options.oci_version)
    if strange := options.versions.keys() - runtimes.keys():
        parser.error(f"--oci-version: no runtime is named {', '.join(sorted(strange))}")
    options.runtime = runtimes
    options.runtime_tools = options.runtime_tools.resolve()
    return options


def about(options: argparse.Namespace) -> dict[str, str]:
    """What was run on what, for the head of the report."""
    version = options.runtime_tools / "VERSION"
    found = {"runtime-tools": version.read_text().strip()} if version.exists() else {}
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    return {**found, "machine": f"Linux {os.uname().release}, cgroup {'v2' if unified else 'v1 or hybrid'}"}


def here(options: argparse.Namespace) -> tuple[report.Results, dict[str, str]]:
    """Run the suite on this machine. Progress goes to standard error."""
    names = options.test or suite.tests(options.runtime_tools)
    results: report.Results = {}
    versions = about(options)
    with tempfile.TemporaryDirectory(prefix="conformance.") as place:
        for column, runtime in options.runtime.items():
            asked = subprocess.run([runtime, "--version"], capture_output=True, text=True, check=True)
            said = asked.stdout.splitlines()
            versions[column] = next((line for line in said if line.startswith(f"{runtime.name} ")), said[0])
            program = runtime
            if older := options.versions.get(column):
                program = prepare.older(runtime, older, Path(place, column))
                versions[column] += f", with ociVersion {older}"
            results[column] = []
            for result in suite.run(options.runtime_tools, names, program, options.timeout, options.dangerous,
                                    Path(place)):
                results[column].append(result)
                print(f"{column}: {result.test}: {result.verdict} ({result.seconds} s)", file=sys.stderr, flush=True)
    return results, versions


def main(argv: list[str] | None = None) -> int:
    """Run with these arguments (the command line's). 0, 1 when a test failed that is not stale, 2 when nothing ran."""
    options = arguments(argv)
    try:
        if os.geteuid():
            raise PermissionError("the suite needs root")
        results, versions = here(options)
        for file in options.earlier:
            more, of_these = report.from_json(file.read_text())
            results, versions = {**more, **results}, {**of_these, **versions}
    except (OSError, RuntimeError, ValueError) as error:
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
    return int(any(result.failed for column in results.values() for result in column))


if __name__ == "__main__":
    sys.exit(main())
