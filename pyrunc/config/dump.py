"""Writes JSON: state.json, the state on a hook's stdin, log records. What json.dumps does, without its import."""
from __future__ import annotations

from _json import encode_basestring_ascii as string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def dumps(value: Any, indent: int | str | None = None) -> str:
    """value as JSON, in ASCII, members in their order; without blanks, or indented as Go's MarshalIndent does.

    value   None, bool, int, float, str, and lists, tuples and dicts (with str keys) of these; TypeError otherwise
    indent  blanks per level, or the text of a level ("\\t"); None for one line
    """
    if indent is None:
        return _encode(value, "", "", ":")
    return _encode(value, "\n", " " * indent if isinstance(indent, int) else indent, ": ")


def _encode(value: Any, newline: str, step: str, colon: str) -> str:
    """newline is the line break with the indentation of value, "" in compact form."""
    kind = type(value)
    if kind is str:
        return string(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return repr(value)
    if kind is dict:
        inner = newline + step
        members = [f"{string(key)}{colon}{_encode(member, inner, step, colon)}" for key, member in value.items()]
        return f"{{{inner}{f',{inner}'.join(members)}{newline}}}" if members else "{}"
    if kind is list or kind is tuple:
        inner = newline + step
        items = [_encode(item, inner, step, colon) for item in value]
        return f"[{inner}{f',{inner}'.join(items)}{newline}]" if items else "[]"
    if kind is float and value - value == 0:      # neither infinite nor NaN
        return repr(value)
    raise TypeError(f"no JSON for {value!r}")
