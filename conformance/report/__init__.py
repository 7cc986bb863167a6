"""What came out, as a table for people and as JSON; junit.py and html.py beside it are the other forms."""
from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from ..model import CASES, HOLDS, NOT_HERE, NOT_OFFERED, VERDICTS, Result


@dataclass
class Report:
    """about: what was run on what. columns: runtime -> case -> result."""
    about: dict[str, str]
    columns: dict[str, dict[str, Result]] = field(default_factory=dict)

    @property
    def cases(self) -> list[str]:
        return list(dict.fromkeys(name for column in self.columns.values() for name in column))


def text(report: Report) -> str:
    """What was run; a line for each case that does not hold everywhere, with a column for each runtime; sums; notes,
    also of cases that hold in fewer tries than there are."""
    rows = [["case", *report.columns]]
    notes = []
    for name in report.cases:
        found = {runtime: column[name] for runtime, column in report.columns.items() if name in column}
        if any(result.verdict != HOLDS or result.left for result in found.values()):
            rows.append([name, *(_cell(found.get(runtime)) for runtime in report.columns)])
        if any(result.verdict != HOLDS or result.left or tries(result) for result in found.values()):
            notes += _notes(name, found)
    for verdict in VERDICTS:
        counts = (Counter(result.verdict for result in column.values()) for column in report.columns.values())
        rows.append([f"= {verdict}", *(str(count[verdict]) for count in counts)])
    rows.append(["= left something", *(str(sum(bool(result.left) for result in column.values()))
                                       for column in report.columns.values())])
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    table = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                      for row in rows)
    heads = "".join(f"{name}: {what}\n" for name, what in report.about.items())
    return f"{heads}\n{table}\n" + ("\n" + "\n".join(notes) + "\n" if notes else "")


def _cell(result: Result | None) -> str:
    if result is None:
        return "-"
    return result.verdict + ("+" if result.left else "")


def tries(result: Result) -> str:
    """How many tries were made, where that is not all."""
    made, wanted = result.tries
    return f"{made} of {wanted} tries" if made < wanted else ""


def _notes(name: str, found: dict[str, Result]) -> list[str]:
    case = CASES.get(name)
    lines = [f"{name}: {case.asks}" if case else name]
    for runtime, result in found.items():
        if result.verdict != HOLDS:
            lines.append(f"  {runtime}: {result.verdict}: {' '.join(result.seen.split())[:400]}")
        if tries(result):
            lines.append(f"  {runtime}: {tries(result)}, in the time that there was")
        if result.left:
            lines.append(f"  {runtime}: + is left: {', '.join(result.left)[:300]}")
    return lines


def as_json(report: Report) -> str:
    """Everything: about, the cases with their rows, the results with their logs."""
    def rows(name: str) -> list[dict[str, str]]:
        case = CASES.get(name)
        return [{"chapter": row.chapter, "name": row.name, "text": row.text} for row in case.rows] if case else []
    return json.dumps({
        "about": report.about,
        "cases": {name: {"asks": CASES[name].asks if name in CASES else "", "rows": rows(name)}
                  for name in report.cases},
        "results": {runtime: [result.as_dict() for result in column.values()]
                    for runtime, column in report.columns.items()}}, indent=1) + "\n"


def from_json(data: str) -> Report:
    parsed = json.loads(data)
    return Report(parsed["about"], {runtime: {entry["case"]: Result.of(entry) for entry in column}
                                    for runtime, column in parsed["results"].items()})


#: Verdicts that speak neither for nor against a runtime.
OPEN = (NOT_HERE, NOT_OFFERED)
