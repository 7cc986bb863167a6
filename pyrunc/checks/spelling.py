"""Names that nobody knows, and the known ones they look like: properties, values, capabilities, mount options."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..config import near
from ..config.schema import Schemas
from ..config.where import at, quoted
from ..rootfs.known_options import FILE_SYSTEM_OPTIONS
from ..rootfs.mount_options import NAMES as MOUNT_OPTIONS
from .findings import DOCUMENT, Finding, warning


def likely(name: str, known: Iterable[str]) -> str:
    """"did you mean X?" for the known name that looks most like this one, "" when none does, or it is itself known."""
    found = near.likely(name, known)
    return f"did you mean {quoted(found)}?" if found else ""


def near_miss(config: dict[str, Any], schemas: Schemas, path: tuple[str | int, ...]) -> str:
    """For a faulty value at a path: the value of its schema's enumeration that looks like it."""
    along = schemas.along(DOCUMENT, path)
    if len(along) <= len(path):
        return ""
    value: Any = config
    try:
        for key in path:
            value = value[key]
    except (LookupError, TypeError):
        return ""
    return likely(value, along[-1].get("enum", ())) if isinstance(value, str) else ""


def misspelt(config: dict[str, Any], schemas: Schemas) -> Iterator[Finding]:
    """Unknown names that the spec demands to be ignored, or that only some other file system knows."""
    yield from _unknown(config, *schemas.resolve({"$ref": DOCUMENT}, DOCUMENT), "", schemas)
    mounts = config.get("mounts")
    for index, mount in enumerate(mounts if isinstance(mounts, list) else ()):
        if isinstance(mount, dict):
            yield from _options(mount, f"mounts[{index}]")


def _unknown(value: Any, schema: dict[str, Any], home: str, where: str, schemas: Schemas) -> Iterator[Finding]:
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for key, member in value.items():
            inner = schemas.inner(schema, home, key)
            if inner:
                yield from _unknown(member, *inner, at(where, key), schemas)
            elif properties and not any(name.lower() == key.lower() for name in properties):
                yield warning(at(where, key), "unknown property, ignored",
                              likely(key, properties.keys() - value.keys()))
    elif isinstance(value, list):
        inner = schemas.inner(schema, home, 0) or (schema, home)
        for index, item in enumerate(value):
            yield from _unknown(item, *inner, at(where, index), schemas)
    elif isinstance(value, str) and value not in schema.get("x-known", (value,)):
        yield warning(where, f"unknown capability {quoted(value)}, ignored", likely(value, schema["x-known"]))


def _options(mount: dict[str, Any], where: str) -> Iterator[Finding]:
    """Options that neither mount(8) nor the file system is known to have."""
    options, kind = mount.get("options", []), mount.get("type")
    if not isinstance(options, list):            # which the schema has said already
        return
    bind = "bind" in options or "rbind" in options
    if not bind and not (isinstance(kind, str) and kind in FILE_SYSTEM_OPTIONS):
        return
    known = {*MOUNT_OPTIONS, *(() if bind else FILE_SYSTEM_OPTIONS[str(kind)])}
    for index, option in enumerate(options):
        name, equals, _ = option.partition("=") if isinstance(option, str) else ("rw", "", "")
        if name not in known:
            what = "a bind mount has no options of a file system" if bind else f"{kind} does not know it"
            yield warning(f"{where}.options[{index}]", f"unknown option {quoted(option)}: {what}",
                          "" if bind and equals else likely(name, known))
