"""What failed, as Markdown to be sent to a runtime's authors: python -m conformance failures RESULTS.json [...]"""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..harness.bundles import config
from ..model import CASES, Result, load
from . import Report, from_json

LOG = 2000          # characters of the commands and their output, from the end


def text(report: Report, only: Sequence[str] = ()) -> str:
    """For each runtime, or those named: each failure with its chapter, what is expected, the bundle, what was seen."""
    lines = [f"{name}: {what}" for name, what in report.about.items() if name not in report.columns]
    for runtime, column in report.columns.items():
        if not only or runtime in only:
            failed = [result for result in column.values() if result.failed]
            lines += ["", f"# {runtime}: {len(failed)} of {len(column)} cases fail", report.about.get(runtime, "")]
            for result in failed:
                lines += ["", *_failure(result)]
    return "\n".join(lines) + "\n"


def usual() -> str:
    """config.json that each case begins with; the bundles of failures are told by what they have beside it."""
    told = _block(_indented(config("1.3.0")))
    return f"The usual config.json; null in a bundle below takes a property away:\n\n{told}\n"


def _failure(result: Result) -> Iterator[str]:
    case = CASES.get(result.case)
    yield f"## {result.case}: {result.verdict}"
    if case:
        yield from (f"- Chapter: [{row.chapter}]({row.url})" + (f": “{row.text}”" if row.demand else f": `{row.name}`")
                    for row in case.rows)
        yield f"- Expected: {case.asks}"
    yield f"- Seen: {' '.join(result.seen.split())}"
    for bundle in result.bundles:
        yield f"\nThe usual bundle, and\n\n{_block(_pretty(bundle))}"
    if result.log:
        yield f"\nCommands:\n\n{_block(result.log[-LOG:].strip())}"


def _pretty(bundle: str) -> str:
    try:
        return _indented(json.loads(bundle))
    except ValueError:
        return bundle


def _indented(found: object) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False)


def _block(words: str) -> str:
    """As code: with four spaces, which nothing in it can end."""
    return "\n".join(f"    {line}" for line in words.splitlines())


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 2 when a file is none of `--json`."""
    parser = argparse.ArgumentParser(prog="python -m conformance failures",
                                     description="Print what failed, to be reported to a runtime's authors.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="as --json has written it")
    parser.add_argument("--runtime", action="append", default=[], metavar="NAME", help="repeatable: only of this (all)")
    options = parser.parse_args(argv)
    load()
    print(usual())
    for file in options.files:
        try:
            print(text(from_json(file.read_text()), options.runtime))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            print(f"conformance: {file}: {error}", file=sys.stderr)
            return 2
    return 0
