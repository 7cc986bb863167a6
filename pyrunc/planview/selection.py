"""The steps of a plan that a word names: as --break takes them, and whole parts of config.json."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


def names(record: dict[str, Any], word: str) -> bool:
    """Whether the word names this step: its id, its name, the part before the dot, its number in the plan, who does
    it, or its place in config.json or one above it."""
    name, where = record["step"], record["where"]
    if word in (record["id"], name, name.partition(".")[0], str(record["index"])):
        return True
    return bool(word) and where.startswith(word) and where[len(word):len(word) + 1] in ("", ".", "[")


def chosen(records: Sequence[dict[str, Any]], words: Iterable[str]) -> list[dict[str, Any]]:
    """The steps that any of the words names, in the plan's order; all of them without words."""
    wanted = list(words)
    return [record for record in records if not wanted or any(names(record, word) for word in wanted)]


def near(records: Sequence[dict[str, Any]], word: str) -> str:
    """What is written almost like the word, and would name a step; "" for nothing."""
    from difflib import get_close_matches
    known = dict.fromkeys(text for record in records for text in (
        record["step"].partition(".")[0], record["step"], record["where"]) if text)
    return next(iter(get_close_matches(word, known, 1, 0.75)), "")
