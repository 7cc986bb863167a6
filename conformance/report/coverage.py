"""Which rows of the specification have a case, and a mutant that a case of theirs kills."""
from __future__ import annotations

from ..model import load
from ..mutants.table import MUTANTS
from ..rows import Row, rows

#: Why demands have no case or no mutant, by chapter.
REASONS: dict[str, str] = {}


def held() -> dict[tuple[str, str], list[str]]:
    """Row -> the names of its cases; rows without a case are not there."""
    found: dict[tuple[str, str], list[str]] = {}
    for case in load().values():
        for row in case.rows:
            found.setdefault(row.key, []).append(case.name)
    return found


def broken() -> dict[tuple[str, str], list[str]]:
    """Row -> the names of the mutants that a case of it must kill; rows without one are not there."""
    cases = load()
    found: dict[tuple[str, str], list[str]] = {}
    for mutant in MUTANTS:
        for row in cases[mutant.kills].rows:
            found.setdefault(row.key, []).append(mutant.name)
    return found


def own() -> dict[tuple[str, str], str]:
    """Row with MUST, or mount option that is -> a mutant that is counted for no other one; as many rows as can be.

    Where one case holds several rows, a mutant of one of them does not speak for the others."""
    mutants = broken()
    of: dict[str, tuple[str, str]] = {}

    def find(row: tuple[str, str], tried: set[str]) -> bool:
        for mutant in mutants.get(row, []):
            if mutant not in tried:
                tried.add(mutant)
                if mutant not in of or find(of[mutant], tried):
                    of[mutant] = row
                    return True
        return False
    for row in (row for row in rows().values() if row.must or row in options()):
        find(row.key, set())
    return {row: mutant for mutant, row in of.items()}


def open_demands() -> dict[tuple[str, str], str]:
    """Each row with MUST that has no case or no mutant -> the reason, "" for none: that is a gap."""
    have, mutants = held(), broken()
    return {row.key: REASONS.get(row.chapter, "") for row in rows().values()
            if row.must and not (row.key in have and row.key in mutants)}


def options() -> list[Row]:
    """The mount options of the specification's table that are MUST: rows of properties, and demands all the same."""
    return [row for row in rows().values() if not row.demand and row.text == "MUST"]


def required() -> dict[str, list[str]]:
    """The cases that ask for a property that is REQUIRED -> their mutants."""
    found: dict[str, list[str]] = {name: [] for name in load() if name.startswith("required.")}
    for mutant in MUTANTS:
        if mutant.kills in found:
            found[mutant.kills].append(mutant.name)
    return found


def counts() -> dict[str, tuple[int, int]]:
    """Kind of row -> (with a case, all)."""
    have, mutants, owned = held(), broken(), own()
    everything = list(rows().values())
    must = [row for row in everything if row.must]

    def of(kind: list[Row]) -> tuple[int, int]:
        return sum(row.key in have for row in kind), len(kind)
    return {"MUST": of(must),
            "MUST with a mutant": (sum(row.key in mutants for row in must), len(must)),
            "MUST with a mutant of its own": (sum(row.key in owned for row in must), len(must)),
            "mount options that are MUST, with a mutant": (
                sum(row.key in mutants for row in options()), len(options())),
            "cases of what is REQUIRED, with a mutant": (sum(map(bool, required().values())), len(required())),
            "SHOULD and MAY": of([row for row in everything if row.demand and not row.must]),
            "properties": of([row for row in everything if not row.demand])}


def text() -> str:
    """The counts, then the rows without a case, or with MUST and without a mutant, by chapter."""
    have, mutants = held(), broken()
    lines = [f"{kind}: {some} of {all_} have a case{' that a broken runtime fails' if 'mutant' in kind else ''}"
             for kind, (some, all_) in counts().items()]
    chapter = ""
    for row in rows().values():
        lacks = "" if row.key in have else "no case"
        if not lacks and (row.must or row in options()) and row.key not in mutants:
            lacks = "no mutant"
        if lacks:
            if row.chapter != chapter:
                chapter = row.chapter
                lines.append(f"\n{chapter}" + (f": {REASONS[chapter]}" if chapter in REASONS else ""))
            lines.append(f"  {'MUST ' if row.must else ''}{row.name}: {lacks}")
    return "\n".join(lines) + "\n"
