"""Writes JSON: state.json, the state on a hook's stdin, log records. What json.dumps does, without its import."""
from __future__ import annotations

from ._jsontext import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def dumps(value: Any, indent: int | str | None = None) -> str:
    """value as JSON, in ASCII, members in their order; without blanks, or indented as Go's MarshalIndent does.

    value   None, bool, int, float, str, and lists, tuples and dicts (with str keys) of these; TypeError for anything
            else, ValueError for a float that is no number
    indent  blanks per level, or the text of a level ("\\t"); None for one line
    """
    if indent is None:
        return write(value)
    return _indented(value, "\n", " " * indent if isinstance(indent, int) else indent)


def _indented(value: Any, newline: str, step: str) -> str:
    """newline is the line break with the indentation of value."""
    kind, inner = type(value), newline + step
    if kind is dict and value:
        members = [f"{write(key)}: {_indented(member, inner, step)}" for key, member in value.items()]
        return f"{{{inner}{f',{inner}'.join(members)}{newline}}}"
    if kind in (list, tuple) and value:
        items = [_indented(item, inner, step) for item in value]
        return f"[{inner}{f',{inner}'.join(items)}{newline}]"
    return write(value)
