"""Values of values.py as plain JSON, and back, and the JSON Schema of each: one walk over the types for all three."""
from __future__ import annotations

import dataclasses
import types
import typing
from functools import cache
from typing import Any, Literal, TypeVar, Union

T = TypeVar("T")
SIMPLE: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


class Unfit(ValueError):
    """A value does not fit: what, and the JSON path of it."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what}: at {where}" if where else what)
        self.where = where


@cache
def hints(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    return typing.get_type_hints(kind)


def dump(value: Any) -> Any:
    """A value as JSON has it; bytes as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: dump(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [dump(one) for one in value]
    if isinstance(value, dict):
        return {key: dump(one) for key, one in value.items()}
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def load(kind: Any, value: Any, where: str = "") -> Any:
    """A value of that type, from plain JSON. Unfit names the place; an unknown key is a mistake."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _union(arguments, value, where)
    if origin is Literal:
        if value not in arguments:
            raise Unfit(f"{value!r} is none of {', '.join(map(str, arguments))}", where)
        return value
    if origin is tuple or origin is list:
        if not isinstance(value, list):
            raise Unfit("not a list", where)
        made = [load(arguments[0], one, f"{where}[{index}]") for index, one in enumerate(value)]
        return tuple(made) if origin is tuple else made
    if origin is dict:
        if not isinstance(value, dict):
            raise Unfit("not an object", where)
        return {key: load(arguments[1], one, f"{where}.{key}".lstrip(".")) for key, one in value.items()}
    if dataclasses.is_dataclass(kind):
        return _object(typing.cast(type, kind), value, where)
    if kind is float and type(value) is int:
        return float(value)
    if kind in SIMPLE and type(value) is not kind:
        raise Unfit(f"not {'an' if SIMPLE[kind][0] in 'aio' else 'a'} {SIMPLE[kind]}", where)
    if kind is float and value - value != 0:
        raise Unfit("not a finite number", where)
    return value


def _object(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise Unfit("not an object", where)
    known = hints(kind)
    for key in value:
        if key not in known:
            raise Unfit(f"unknown property {key}", where)
    given = {key: load(known[key], one, f"{where}.{key}".lstrip(".")) for key, one in value.items()}
    for one in dataclasses.fields(kind):
        if one.name not in given and one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise Unfit(f"{one.name} is missing", where)
    try:
        return kind(**given)
    except ValueError as fault:
        raise Unfit(str(fault), where) from None


def _union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    if len(others) > 1 and isinstance(value, dict):         # told apart by `kind`
        for kind in others:
            if value.get("kind") == kind.kind:
                return load(kind, value, where)
        raise Unfit(f"kind is none of {', '.join(kind.kind for kind in others)}", where)
    return load(others[0], value, where)


def schema(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a type; those of dataclasses go into `found` by name, and are referred to."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return {}
    if origin in (Union, types.UnionType):
        kinds = [{"type": "null"} if one is type(None) else schema(one, found) for one in arguments]
        return {"anyOf": kinds}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple or origin is list:
        return {"type": "array", "items": schema(arguments[0], found)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema(arguments[1], found)}
    if dataclasses.is_dataclass(kind):
        name = typing.cast(type, kind).__name__
        if name not in found:
            found[name] = {}
            found[name].update(_schema(typing.cast(type, kind), found))
        return {"$ref": f"#/components/schemas/{name}"}
    return {"type": SIMPLE.get(kind, "string")}


def _schema(kind: type, found: dict[str, Any]) -> dict[str, Any]:
    fields = dataclasses.fields(kind)
    needed = [one.name for one in fields
              if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING]
    made: dict[str, Any] = {"type": "object", "additionalProperties": False,
                            "description": (kind.__doc__ or "").strip(),
                            "properties": {one.name: schema(hints(kind)[one.name], found) for one in fields}}
    return {**made, "required": needed} if needed else made
