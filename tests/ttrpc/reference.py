"""The same messages by the protobuf package, which is the reference, and values for them."""
from __future__ import annotations

import importlib
import math
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from hypothesis import strategies as st

from pyrunc.formats import protobuf
from pyrunc.formats.protobuf import Message
from pyrunc.ttrpc import generate

INTEGERS = {protobuf.UINT32: (0, (1 << 32) - 1), protobuf.UINT64: (0, (1 << 64) - 1),
            protobuf.INT32: (-1 << 31, (1 << 31) - 1), protobuf.INT64: (-1 << 63, (1 << 63) - 1)}


def messages() -> list[type[Message]]:
    """Every class in ttrpc/messages/."""
    found: list[type[Message]] = []
    for path in sorted(generate.MESSAGES.glob("[a-z]*.py")):
        module = importlib.import_module(f"pyrunc.ttrpc.messages.{path.stem}")
        found += [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Message)
                  and value.__module__ == module.__name__]
    return found


@cache
def pool() -> Any:
    """The descriptions in proto/, as protobuf holds them."""
    held = descriptor_pool.DescriptorPool()
    for file in generate.descriptors():
        held.Add(file)
    return held


@cache
def reference(name: str) -> Any:
    """protobuf's class for the message of ours with this TYPE."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


def texts() -> st.SearchStrategy[str]:
    return st.text(max_size=20)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field of this kind, as Message takes them."""
    if isinstance(kind, list):
        return st.lists(values(kind[0]), max_size=3)
    if isinstance(kind, dict):
        (key, value), = kind.items()
        return st.dictionaries(values(key), values(value), max_size=3)
    if isinstance(kind, tuple):
        return st.none() | values(kind[0])
    if kind in INTEGERS:
        return st.integers(*INTEGERS[kind]) | st.sampled_from([0, *INTEGERS[kind]])
    simple: dict[Any, st.SearchStrategy[Any]] = {
        protobuf.BOOL: st.booleans(), protobuf.STRING: texts(), protobuf.BYTES: st.binary(max_size=20),
        protobuf.DOUBLE: st.floats(allow_nan=False)}
    return simple[kind] if kind in simple else filled(kind)


def filled(message: type[Message]) -> st.SearchStrategy[Message]:
    """Messages with any of their fields given."""
    return st.fixed_dictionaries({}, optional={name: values(kind) for name, kind in message.FIELDS.values()}).map(
        lambda given: message(**given))


def plain(message: Any) -> dict[str, Any]:
    """One of ours or of protobuf's as a dictionary of all that is not the default."""
    if isinstance(message, Message):
        rows = {name: getattr(message, name) for name, _ in message.FIELDS.values()}
        kinds = dict(message.FIELDS.values())
    else:
        kinds = {}
        rows = {}
        for field, value in message.ListFields():
            entry = field.message_type is not None and field.message_type.GetOptions().map_entry
            rows[field.name] = dict(value) if entry else list(value) if field.is_repeated else value
            kinds[field.name] = (field.name,) if field.has_presence and field.message_type is None else None
    return {name: shown(value) for name, value in rows.items() if value is not None and (
        isinstance(kinds[name], tuple) or hasattr(value, "ListFields") or isinstance(value, Message)
        or (isinstance(value, float) and math.copysign(1, value) < 0) or value)}


def shown(value: Any) -> Any:
    if isinstance(value, Message) or hasattr(value, "ListFields"):
        return plain(value)
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, float):
        return repr(value)                       # -0.0 and nan can be told apart
    return value
