"""Results by runtime as text, JSON and JUnit."""
from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from .suite import EMPTY, FAIL, NOT_RUN, PASS, TIMEOUT, Result

Results = dict[str, list[Result]]


def _cell(result: Result) -> str:
    if result.ok or result.not_ok:
        return f"{result.verdict} ({result.ok}/{result.ok + result.not_ok})"
    return result.verdict


def text(results: Results, versions: dict[str, str]) -> str:
    """A table: one line a test, one column a runtime with verdict and checks passed; why a test is stale; sums."""
    names = list(results)
    rows = [["test", *names]]
    for lines in zip(*results.values(), strict=True):
        rows.append([lines[0].test + (" *" if lines[0].stale else ""), *map(_cell, lines)])
    counts = {name: Counter(result.verdict for result in column) for name, column in results.items()}
    for verdict in (PASS, FAIL, TIMEOUT, EMPTY, NOT_RUN):
        rows.append([f"= {verdict}", *(str(counts[name][verdict]) for name in names)])
    widths = [max(len(row[index]) for row in rows) for index in range(len(names) + 1)]
    table = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                      for row in rows)
    stale = {result.test: result.stale for result in next(iter(results.values())) if result.stale}
    notes = "\n".join(f"* {test}: {why}" for test, why in stale.items())
    heads = "\n".join(f"{name}: {versions[name]}" for name in names)
    return f"{heads}\n\n{table}\n\n{notes}\n"


def as_json(results: Results, versions: dict[str, str]) -> str:
    return json.dumps({"versions": versions,
                       "results": {name: [result.as_dict() for result in column] for name, column in results.items()}},
                      indent=2) + "\n"


def from_json(data: str) -> tuple[Results, dict[str, str]]:
    parsed = json.loads(data)
    results = {name: [Result(**entry) for entry in column] for name, column in parsed["results"].items()}
    return results, parsed["versions"]


def write_junit(results: Results, path: Path) -> None:
    """One testsuite a runtime. A stale test that fails, and one that was not run, is "skipped" with its reason."""
    top = ElementTree.Element("testsuites")
    for name, column in results.items():
        suite = ElementTree.SubElement(top, "testsuite", name=name, tests=str(len(column)))
        for result in column:
            case = ElementTree.SubElement(suite, "testcase", classname=name, name=result.test, time=str(result.seconds))
            if result.verdict in (FAIL, TIMEOUT) and not result.stale:
                failure = ElementTree.SubElement(case, "failure", message=_cell(result))
                failure.text = _printable(result.output)
            elif result.verdict not in (PASS, EMPTY):
                ElementTree.SubElement(case, "skipped", message=f"{_cell(result)}: {result.stale}")
    ElementTree.ElementTree(top).write(path, encoding="unicode", xml_declaration=True)


def _printable(output: str) -> str:
    """XML has no place for most control characters."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in output)[-20000:]
