"""Whether runs gave the same table: python -m conformance compare ONE.json OTHER.json [...]"""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import Report, from_json


def differences(first: Report, other: Report) -> list[str]:
    """A line for each case that has not the same verdict, or left something in one of them only, by column."""
    told = []
    for runtime in dict.fromkeys((*first.columns, *other.columns)):
        one, two = first.columns.get(runtime, {}), other.columns.get(runtime, {})
        for name in dict.fromkeys((*one, *two)):
            verdicts = [column[name].verdict + ("+" if column[name].left else "") if name in column else "not run"
                        for column in (one, two)]
            if verdicts[0] != verdicts[1]:
                told.append(f"{runtime}: {name}: {verdicts[0]}, {verdicts[1]}")
    return told


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 when one table is not that of the first file, 2 when a file is none of `--json`."""
    parser = argparse.ArgumentParser(prog="python -m conformance compare",
                                     description="Compare the tables of runs, as --json has written them.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    files = parser.parse_args(argv).files
    try:
        first, *others = [from_json(file.read_text()) for file in files]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    told = [f"{file}: {line}" for file, other in zip(files[1:], others, strict=True)
            for line in differences(first, other)]
    cases = sum(map(len, first.columns.values()))
    print("".join(f"{line}\n" for line in told), end="")
    print(f"{len(files)} runs, {cases} cases in the first: {f'{len(told)} differ' if told else 'the same table'}")
    return int(bool(told))
