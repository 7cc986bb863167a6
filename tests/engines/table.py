"""python -m tests.engines.table REPORTS... : the table of scenarios in docs/engines.md from what runs have reported.

A report file is what `pytest --reports` writes. Rows of engines that no report names stay as they are, and so do the
outcomes under a runtime that none has: the parts of the matrix may run one by one.
"""
from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.guest.machine import CHECKOUT

PAGE = CHECKOUT / "docs" / "engines.md"
BEGIN, END = "<!-- scenarios: written by tests.engines.table -->\n", "<!-- end of scenarios -->\n"
HEAD = "| engine | scenario | runc | pyrunc | pyrunc's shim |\n| --- | --- | --- | --- | --- |\n"
RUNTIMES = ("runc", "pyrunc", "shim")
SPLIT = ("containerd", "docker")                     # engines whose scenarios are in several files

Row = tuple[str, str]                                # engine, scenario
Table = dict[Row, dict[str, str]]                    # -> runtime -> outcome


def read(path: Path, table: Table) -> None:
    """Add the outcomes of a report file; a failed set-up or clean-up fails the scenario."""
    for line in path.read_text().splitlines():
        report = json.loads(line)
        file, _, test = report["nodeid"].partition("::")
        name, _, parameters = test.rstrip("]").partition("[")
        runtime = next((part for part in RUNTIMES if part in parameters.split("-")), None)
        if "engines/test_" not in file or runtime is None:
            continue
        rest = "-".join(part for part in parameters.split("-") if part != runtime)
        engine = file.rpartition("/test_")[2].removesuffix(".py").replace("_", " ")
        engine = next((name for name in SPLIT if engine.startswith(f"{name} ")), engine)
        scenario = name.removeprefix("test_").replace("_", " ") + (f": {rest}" if rest else "")
        outcomes = table.setdefault((engine, scenario), {})
        if report["when"] == "call" or report["outcome"] != "passed":
            outcomes[runtime] = report["outcome"] if outcomes.get(runtime) != "failed" else "failed"


def parse(text: str) -> Table:
    """The table as it stands in the page."""
    table: Table = {}
    for line in text.splitlines()[HEAD.count("\n"):]:
        engine, scenario, *outcomes = (cell.strip() for cell in line.strip("|").split("|"))
        table[engine, scenario] = {runtime: outcome for runtime, outcome in zip(RUNTIMES, outcomes) if outcome}
    return table


def render(table: Table) -> str:
    return HEAD + "".join(f"| {engine} | {scenario} | {' | '.join(outcomes.get(name, '') for name in RUNTIMES)} |\n"
                          for (engine, scenario), outcomes in sorted(table.items()))


def main(paths: list[str]) -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    new: Table = {}
    for path in paths:
        read(Path(path), new)
    ran = {engine for engine, _ in new}
    there = parse(old)
    table = {row: outcomes for row, outcomes in there.items() if row[0] not in ran} | {
        row: {**there.get(row, {}), **outcomes} for row, outcomes in new.items()}
    PAGE.write_text(before + BEGIN + render(table) + END + after)


if __name__ == "__main__":
    main(sys.argv[1:])
