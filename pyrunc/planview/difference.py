"""What differs between two plans: the steps that only one of them has, whatever their numbers are."""
from __future__ import annotations

from ..log import visible
from .table import GREEN, RED, end_cut, painted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

Key = tuple[str, str, str, str]


def keys(records: Sequence[dict[str, Any]], own: Mapping[str, str]) -> list[Key]:
    """What a step is compared by: who does it, its name, its place, what it does.

    own   {path: what stands for it}: a bundle and a state root, which differ without a difference
    """
    found = []
    for record in records:
        what = record["what"]
        for path, word in own.items():
            what = what.replace(path, word)
        found.append((record["side"], record["step"], record["where"], what))
    return found


def changes(first: Sequence[Key], second: Sequence[Key]) -> Iterator[tuple[str, Key]]:
    """("-", a step of the first alone), ("+", of the second alone), in the order of the plans."""
    from difflib import SequenceMatcher
    for kind, a, b, c, d in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from (("-", key) for key in first[a:b])
            yield from (("+", key) for key in second[c:d])


def lines(found: Sequence[tuple[str, Key]], columns: int = 0, colour: bool = False) -> str:
    """The changes as a table."""
    rows = [(sign, *map(visible, key)) for sign, key in found]
    widths = [max(map(len, column), default=0) for column in zip(*rows)]
    text = ""
    for row in rows:
        padded = [f"{cell:<{width}}" for cell, width in zip(row[1:-1], widths[1:])]
        line = f"{row[0]} {'  '.join([*padded, row[-1]])}"
        line = end_cut(line, columns) if columns else line
        text += painted(line.rstrip(), RED if row[0] == "-" else GREEN, colour) + "\n"
    return text
