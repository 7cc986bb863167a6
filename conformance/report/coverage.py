"""Which rows of the specification have a case."""
from __future__ import annotations

from ..model import load
from ..rows import Row, rows

#: Why demands have no case, by chapter.
REASONS = {"config-linux.md#intelrdt": "a processor with resctrl is needed to try a case, and none was to be had"}


def held() -> dict[tuple[str, str], list[str]]:
    """Row -> the names of its cases; rows without a case are not there."""
    found: dict[tuple[str, str], list[str]] = {}
    for case in load().values():
        for row in case.rows:
            found.setdefault(row.key, []).append(case.name)
    return found


def counts() -> dict[str, tuple[int, int]]:
    """Kind of row -> (with a case, all)."""
    have = held()

    def of(kind: list[Row]) -> tuple[int, int]:
        return sum(row.key in have for row in kind), len(kind)
    everything = list(rows().values())
    return {"MUST": of([row for row in everything if row.must]),
            "SHOULD and MAY": of([row for row in everything if row.demand and not row.must]),
            "properties": of([row for row in everything if not row.demand])}


def text() -> str:
    """The counts, then the rows without a case by chapter."""
    have = held()
    lines = [f"{kind}: {some} of {all_} have a case" for kind, (some, all_) in counts().items()]
    chapter = ""
    for row in rows().values():
        if row.key not in have:
            if row.chapter != chapter:
                chapter = row.chapter
                lines.append(f"\n{chapter}" + (f": {REASONS[chapter]}" if chapter in REASONS else ""))
            lines.append(f"  {'MUST ' if row.must else ''}{row.name}")
    return "\n".join(lines) + "\n"
