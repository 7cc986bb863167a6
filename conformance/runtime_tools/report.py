"""Results by runtime as text, JSON and JUnit."""
from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from .prepare import WITHOUT_PROGRAM
from .suite import EMPTY, FAIL, NOT_RUN, PASS, SKIPPED, TIMEOUT, Result

Results = dict[str, list[Result]]
EXCUSED = "of these, stale"


def _cell(result: Result) -> str:
    if result.ok or result.not_ok:
        return f"{result.verdict} ({result.ok}/{result.ok + result.not_ok})"
    return result.verdict


def text(results: Results, versions: dict[str, str]) -> str:
    """The versions; a table, one line a test, one column a runtime with verdict and checks passed; sums; notes.

    A test without a result in a column has a dash there. `*` marks the stale tests: the notes say why they are.
    """
    columns = {name: {result.test: result for result in column} for name, column in results.items()}
    tests = sorted({test for column in columns.values() for test in column})
    rows = [["test", *columns]]
    notes = []
    for test in tests:
        found = [column.get(test) for column in columns.values()]
        stale = next((result.stale for result in found if result and result.stale), "")
        rows.append([test + (" *" if stale else ""), *(_cell(result) if result else "-" for result in found)])
        if stale:
            notes.append(f"* {test}: {stale}")
        if test in WITHOUT_PROGRAM:
            notes.append(f"  {test}: {WITHOUT_PROGRAM[test]}; it is put there")
    counts = [Counter(result.verdict for result in column.values()) for column in columns.values()]
    for verdict in (PASS, FAIL, TIMEOUT, EMPTY, SKIPPED, NOT_RUN):
        rows.append([f"= {verdict}", *(str(count[verdict]) for count in counts)])
        if verdict == TIMEOUT:
            rows.append([f"= {EXCUSED}", *(str(sum(result.excused for result in column.values()
                                                   if result.verdict != NOT_RUN)) for column in columns.values())])
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns) + 1)]
    table = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                      for row in rows)
    heads = "\n".join(f"{name}: {version}" for name, version in versions.items())
    return f"{heads}\n\n{table}\n\n" + "".join(f"{note}\n" for note in notes)


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
            if result.failed:
                failure = ElementTree.SubElement(case, "failure", message=_cell(result))
                failure.text = _printable(result.output)
            elif result.verdict not in (PASS, EMPTY):
                why = f": {result.stale}" if result.stale else ""
                ElementTree.SubElement(case, "skipped", message=f"{_cell(result)}{why}")
    ElementTree.ElementTree(top).write(path, encoding="unicode", xml_declaration=True)


def _printable(output: str) -> str:
    """XML has no place for most control characters."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in output)[-20000:]
