"""The JSON Schemas as `pyrunc check` and the tests use them (comfortable world: jsonschema, 0.1 s to import)."""
from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

if TYPE_CHECKING:
    from collections.abc import Sequence

    Schema = dict[str, Any]
    Path = Sequence[str | int]

FOLDER = pathlib.Path(__file__).parent / "schemas"


class Schemas:
    """All files of schemas/, by name."""

    def __init__(self, folder: pathlib.Path = FOLDER) -> None:
        self.documents: dict[str, Schema] = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
        self._registry: Registry[Any] = Registry().with_resources(
            (name, Resource.from_contents(document, default_specification=DRAFT202012))
            for name, document in self.documents.items())

    def validator(self, name: str) -> Draft202012Validator:
        """The validator of config.json, state.json or features.json."""
        return Draft202012Validator({"$ref": name}, registry=self._registry)

    def along(self, name: str, path: Path) -> list[Schema]:
        """The schemas of the document and of every value down to the path; it ends early where none is known."""
        found = [self.resolve({"$ref": name}, name)]
        for key in path:
            inner = self.inner(*found[-1], key)
            if not inner:
                break
            found.append(inner)
        return [schema for schema, _ in found]

    def inner(self, schema: Schema, home: str, key: str | int) -> tuple[Schema, str] | None:
        """Of a member of what a schema in a file is for: its schema, and its file; None where none is known."""
        inner = schema.get("items") if isinstance(key, int) else schema.get("properties", {}).get(
            key, schema.get("additionalProperties"))
        return self.resolve(inner, home) if isinstance(inner, dict) else None

    def chapter(self, name: str, path: Path) -> str:
        """The chapter of the spec that describes what is at the path."""
        return next((str(schema["x-spec"]) for schema in reversed(self.along(name, path)) if "x-spec" in schema), "")

    def resolve(self, schema: Schema, home: str) -> tuple[Schema, str]:
        """What a schema refers to, under its own keywords, and the file that is in."""
        merged = dict(schema)
        while "$ref" in schema:
            file, _, pointer = schema["$ref"].partition("#")
            home = file or home
            schema = self.documents[home]
            for part in pointer.split("/")[1:]:
                schema = schema[part]
            merged = {**schema, **{key: value for key, value in merged.items() if key != "$ref"}}
        merged.pop("$ref", None)
        return merged, home


def without_nulls(value: Any) -> Any:
    """A copy in which members that are null are absent, as check.py takes them."""
    if isinstance(value, dict):
        return {key: without_nulls(member) for key, member in value.items() if member is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
