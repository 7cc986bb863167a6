"""Writes types.py (TypedDicts) and shape.py (what check.py walks) from the JSON Schemas in schemas/.

    python3 -m pyrunc.config.generate

A tool of the comfortable world; tests/config/test_generate.py holds the committed files in step. It knows the part of
JSON Schema that the schemas use for structure and refuses the rest; rules between properties, and patterns beyond
"absolute path", are written by hand in the rules_*.py files, and a test holds them against the schemas too.
"""
from __future__ import annotations

import json
import keyword
import pathlib
import re
import textwrap
from typing import Any

HERE = pathlib.Path(__file__).parent
SCHEMAS = HERE / "schemas"
FILES = ("defs.json", "config-linux.json", "config.json")
#: Patterns of schemas/ that the walker knows by itself, and what shape.py calls them.
PATTERNS = {"^/": "/", "^(/|$)": "/?"}
#: What may stand in a schema without consequence for the generated files.
SILENT = {"description", "x-spec", "x-known", "dependentRequired", "anyOf", "if", "then", "propertyNames"}
WIDTH = 120

Schema = dict[str, Any]


class Generator:
    """Definitions are visited depth first from Config, so that each stands after what it uses."""

    def __init__(self) -> None:
        self.documents: dict[str, Schema] = {name: json.loads((SCHEMAS / name).read_text()) for name in FILES}
        self.shapes: dict[str, str] = {}         # constant -> its source
        self.types: dict[str, str] = {}          # alias or class -> its source
        self.config = self.shape({"$ref": "#/$defs/Config"}, "config.json")
        self.type({"$ref": "#/$defs/Config"}, "config.json", "Config")

    def resolve(self, reference: str, document: str) -> tuple[str, Schema, str]:
        """(name, definition, document it is in) of a $ref."""
        file, _, name = reference.partition("#/$defs/")
        return name, self.documents[file or document]["$defs"][name], file or document

    # ---- shape.py ---------------------------------------------------------------------------------------
    def shape(self, schema: Schema, document: str) -> str:
        """The source of the node for a schema: the name of a constant, or an expression."""
        if "$ref" in schema and not schema.keys() - {"$ref"} - SILENT:
            name, definition, home = self.resolve(schema["$ref"], document)
            constant = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).upper()
            if constant not in self.shapes:
                source = self.shape(definition, home)
                self.shapes[constant] = source
            return constant
        if "$ref" in schema:                     # a reference with an x-fault of its own
            name, definition, home = self.resolve(schema["$ref"], document)
            return self.shape({**definition, **{k: v for k, v in schema.items() if k != "$ref"}}, home)
        build = getattr(self, f"shape_{schema['type']}")
        source, known = build(schema, document)
        if unknown := schema.keys() - known - SILENT - {"type"}:
            raise SystemExit(f"{document}: {unknown} in {schema}")
        return str(source)

    def shape_boolean(self, schema: Schema, document: str) -> tuple[str, set[str]]:
        return "(bool,)", set()

    def shape_integer(self, schema: Schema, document: str) -> tuple[str, set[str]]:
        return f"(int, {schema['minimum']}, {schema['maximum']})", {"minimum", "maximum"}

    def shape_string(self, schema: Schema, document: str) -> tuple[str, set[str]]:
        check = "+" if schema.get("minLength") else PATTERNS.get(schema.get("pattern", ""))
        allowed = tuple(schema["enum"]) if "enum" in schema else check
        return (f"(str, {quoted(allowed)}, {quoted(schema.get('x-fault', ''))})",
                {"minLength", "pattern", "enum", "x-fault"})

    def shape_array(self, schema: Schema, document: str) -> tuple[str, set[str]]:
        item = self.shape(schema["items"], document)
        return (f"(list, {item}, {schema.get('minItems', 0)}, {quoted(schema.get('x-fault', ''))})",
                {"items", "minItems", "x-fault"})

    def shape_object(self, schema: Schema, document: str) -> tuple[str, set[str]]:
        members = ", ".join(f"{quoted(name)}: {self.shape(member, document)}"
                            for name, member in schema.get("properties", {}).items())
        more = schema.get("additionalProperties", None)
        value = self.shape(more, document) if isinstance(more, dict) else str(more)
        return (f"(dict, {{{members}}}, {quoted(tuple(schema.get('required', ())))}, {value})",
                {"properties", "required", "additionalProperties"})

    # ---- types.py ---------------------------------------------------------------------------------------
    def type(self, schema: Schema, document: str, hint: str) -> str:
        """The source of the annotation for a schema; hint names what has no name of its own."""
        if "$ref" in schema:
            name, definition, home = self.resolve(schema["$ref"], document)
            return self.type(definition, home, name[0].upper() + name[1:])
        match schema["type"]:
            case "boolean": return "bool"
            case "integer": return "int"
            case "string" if "enum" in schema:
                self.types[hint] = f"{hint} = Literal[{', '.join(map(quoted, schema['enum']))}]"
                return hint
            case "string": return "str"
            case "array": return f"list[{self.type(schema['items'], document, hint.removesuffix('s'))}]"
        if "properties" in schema:
            self.types.setdefault(hint, "")      # keeps its place behind what it uses
            self.types[hint] = self.typed_dict(schema, document, hint)
            return hint
        more = schema.get("additionalProperties")
        return f"dict[str, {self.type(more, document, hint) if isinstance(more, dict) else 'Any'}]"

    def typed_dict(self, schema: Schema, document: str, name: str) -> str:
        required = schema.get("required", ())
        members = {}
        for key, member in schema["properties"].items():
            annotation = self.type(member, document, name + key[0].upper() + key[1:])
            members[key] = annotation if key in required else f"NotRequired[{annotation}]"
        doc = f"{schema['description']} {schema['x-spec']}"
        if any(map(keyword.iskeyword, members)):
            body = "".join(f"    {quoted(key)}: {annotation},\n" for key, annotation in members.items())
            return f"#: {doc}\n{name} = TypedDict({quoted(name)}, {{\n{body}}})"
        lines = [f"class {name}(TypedDict):", f'    """{doc}"""']
        for key, annotation in members.items():
            member = schema["properties"][key]
            while "description" not in member and "$ref" in member:
                _, member, _ = self.resolve(member["$ref"], document)
            note = member.get("description", "")
            line = f"    {key}: {annotation}"
            lines += [f"{line}  # {note}"] if len(line + note) + 4 <= WIDTH and note else (
                textwrap.wrap(note, WIDTH, initial_indent="    # ", subsequent_indent="    # ") + [line])
        return "\n".join(lines)

    # ---- files ------------------------------------------------------------------------------------------
    def shape_py(self) -> str:
        constants = "\n".join(wrapped(f"{name}: Node = {source}") for name, source in self.shapes.items())
        return f'''{HEAD}
A node is a tuple that begins with the type of the value:
    (bool,)
    (int, least, most)
    (str, None | "+" not empty | "/" absolute path | "/?" absolute path or empty | (names), fault)
    (list, node of its items, least number of them, fault)
    (dict, {{name: node}}, (required names), None others are ignored | False others are refused | node of the others)
fault, when not empty, is the text of runc that the message begins with.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Node = tuple[Any, ...]

{constants}
'''

    def types_py(self) -> str:
        blocks = {name: wrapped(source) if " = Literal[" in source else source for name, source in self.types.items()}
        aliases = "\n".join(source for name, source in sorted(blocks.items()) if " = Literal[" in source)
        classes = "\n\n\n".join(source for source in blocks.values() if " = Literal[" not in source)
        return f'''{HEAD}
The dict that config.json is, for type checkers: import these names under TYPE_CHECKING only.
"""
from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

{aliases}


{classes}
'''


HEAD = '"""Generated from schemas/ by `python3 -m pyrunc.config.generate`; a test holds it in step.\n'


def quoted(value: object) -> str:
    """repr() with double quotes."""
    if isinstance(value, tuple):
        inner = ", ".join(map(quoted, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return json.dumps(value) if isinstance(value, str) else repr(value)


def wrapped(source: str) -> str:
    """Long source broken at spaces that are neither in a string nor behind a colon; later lines indented."""
    lines, words = [""], re.findall(r'(?:(?:[^\s"]|"[^"]*")+(?<=:) )?(?:[^\s"]|"[^"]*")+', source)
    for word in words:
        if len(lines[-1]) + 1 + len(word) > WIDTH:
            lines.append("   ")
        lines[-1] += f" {word}"
    return "\n".join(lines)[1:]


def main() -> None:
    generator = Generator()
    (HERE / "shape.py").write_text(generator.shape_py())
    (HERE / "types.py").write_text(generator.types_py())


if __name__ == "__main__":
    main()
