"""A plan as a table for a terminal, with what `check` has found below the steps that it concerns."""
from __future__ import annotations

from ..log import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from ..checks.findings import Finding

#: Columns of a terminal that a table is made for at least, and those from which on it has the chapters, too.
NARROWEST, WITH_CHAPTER = 60, 150
#: At most so many columns for a step's id, and for its place in config.json.
IDS, PLACES = 26, 30
RED, YELLOW, GREEN, DIM, BOLD, PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


def table(records: Sequence[dict[str, Any]], columns: int = 0, colour: bool = False,
          notes: Mapping[int, Sequence[Finding]] | None = None) -> str:
    """A line a step: its number, who does it, its id, its place in config.json, and what it does.

    columns   of the terminal; 0: as wide as it gets
    notes     by a step's index: what is to be said below it
    """
    rows = [[str(record["index"]), record["side"], record["id"], visible(record["where"]), visible(record["what"])]
            for record in records]
    if columns:
        columns = max(columns, NARROWEST)
        for row in rows:
            row[2] = end_cut(row[2], min(IDS, columns // 3))
            row[3] = begin_cut(row[3], min(PLACES, columns // 5))
    if columns >= WITH_CHAPTER:
        for row, record in zip(rows, records):
            row.insert(4, record["spec"])
    widths = [max(map(len, column), default=0) for column in zip(*rows)]
    lines = []
    for record, row in zip(records, rows):
        padded = [f"{cell:<{width}}" for cell, width in zip(row[1:-1], widths[1:])]
        line = "  ".join([f"{row[0]:>{widths[0]}}", *padded, row[-1]])
        if columns:
            line = end_cut(line, columns).rstrip()
        lines.append(painted(line, DIM, colour and record["step"] == "barrier"))
        for finding in (notes or {}).get(record["index"], ()):
            lines += told(finding, columns, colour, widths[0] + 2)
    return "".join(f"{line}\n" for line in lines)


def told(finding: Finding, columns: int, colour: bool, indent: int) -> Iterator[str]:
    """A finding in whole lines: it is what one must read."""
    import textwrap
    mark = f"{' ' * indent}! "
    paint = RED if finding.level == "error" else YELLOW
    text = textwrap.wrap(visible(str(finding)), columns or 1 << 16, initial_indent=mark,
                         subsequent_indent=" " * len(mark), break_on_hyphens=False)
    for line in text:
        yield painted(line, paint, colour)


def placed(records: Sequence[dict[str, Any]],
           found: Iterable[Finding]) -> tuple[dict[int, list[Finding]], list[Finding]]:
    """({a step's index: what was found where it comes from}, what belongs to no step)."""
    by_step: dict[int, list[Finding]] = {}
    rest: list[Finding] = []
    for finding in found:
        index = _step_of(records, finding.where)
        if index < 0:
            rest.append(finding)
        else:
            by_step.setdefault(index, []).append(finding)
    return by_step, rest


def _step_of(records: Sequence[dict[str, Any]], where: str) -> int:
    """The step of that place in config.json: of exactly that one, of the nearest above it, or the first one below."""
    if not where:
        return -1
    best, length = -1, -1
    for record in records:
        place = record["where"]
        if place and _within(where, place) and len(place) > length:
            best, length = record["index"], len(place)
    if best < 0:
        best = next((record["index"] for record in records if _within(record["where"], where)), -1)
    return best


def _within(place: str, above: str) -> bool:
    return place.startswith(above) and place[len(above):len(above) + 1] in ("", ".", "[")


def painted(text: str, paint: str, colour: bool) -> str:
    return f"{paint}{text}{PLAIN}" if colour else text


def end_cut(text: str, width: int) -> str:
    """At most so many columns; an ellipsis says that there is more."""
    return text if len(text) <= width else text[:width - 1] + "…"


def begin_cut(text: str, width: int) -> str:
    """The same of a place in config.json, whose end says more than its beginning."""
    if len(text) <= width:
        return text
    kept = text[len(text) - width + 1:]
    whole = kept.partition(".")[2]               # from the next name on, if that leaves most of it
    return "…" + (whole if len(whole) * 2 > width else kept)
