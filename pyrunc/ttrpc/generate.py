"""Writes messages/*.py from proto/*.proto, by protoc of grpcio-tools.

    python3 -m pyrunc.ttrpc.generate

A tool of the comfortable world; tests/ttrpc/test_generate.py holds the committed files in step. A message becomes a
class (pyrunc/formats/protobuf.py), an enum a class of integers, a service a dictionary {method: (request, response)}.
"""
from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROTO = HERE / "proto"
MESSAGES = HERE / "messages"
WIDTH = 120
#: google.protobuf's own files that the others import -> the module for all of them.
WELL_KNOWN = ("google/protobuf/any.proto", "google/protobuf/empty.proto", "google/protobuf/timestamp.proto")
#: FieldDescriptorProto.Type -> (kind in pyrunc/formats/protobuf.py, Python's type, default)
SCALARS = {1: ("DOUBLE", "float", "0.0"), 3: ("INT64", "int", "0"), 4: ("UINT64", "int", "0"), 5: ("INT32", "int", "0"),
           8: ("BOOL", "bool", "False"), 9: ("STRING", "str", '""'), 12: ("BYTES", "bytes", 'b""'),
           13: ("UINT32", "int", "0"), 14: ("INT32", "int", "0")}
REPEATED, MESSAGE = 3, 11


def descriptors() -> list[Any]:
    """A FileDescriptorProto for each file, imported ones first."""
    import grpc_tools
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from grpc_tools import _protoc_compiler
    included = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "set")
        arguments = ["protoc", f"-I{PROTO}", f"-I{included}", "--include_imports", f"--descriptor_set_out={out}",
                     *sorted(path.name for path in PROTO.glob("*.proto"))]
        if _protoc_compiler.run_main([argument.encode() for argument in arguments]):
            raise SystemExit("protoc failed")
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def module_of(file: str) -> str:
    """The module in messages/ for a .proto file."""
    return "well_known" if file in WELL_KNOWN else file.removesuffix(".proto")


def modules() -> dict[str, str]:
    """{file name in messages/: its source}"""
    files = descriptors()
    homes = {f".{file.package}.{message.name}": module_of(file.name) for file in files for message in file.message_type}
    grouped: dict[str, list[Any]] = {}
    for file in files:
        grouped.setdefault(module_of(file.name), []).append(file)
    return {f"{name}.py": Module(name, group, homes).source() for name, group in grouped.items()}


class Module:
    """One file of messages/."""

    def __init__(self, name: str, files: list[Any], homes: dict[str, str]) -> None:
        self.name, self.files, self.homes = name, files, homes
        self.kinds: set[str] = set()                       # names to import from protobuf.py
        self.others: dict[str, set[str]] = {}              # module -> names to import from it
        self.collections: set[str] = set()                 # names to import from collections.abc

    def source(self) -> str:
        """The whole file, ready to be committed."""
        parts = [self.enum(enum) for file in self.files for enum in file.enum_type]
        parts += [self.message(message, file.package) for file in self.files for message in self.ordered(file)]
        parts += [self.service(service, file.package) for file in self.files for service in file.service]
        origin = ", ".join(file.name.removeprefix("google/protobuf/") for file in self.files)
        imports = "".join(f"from .{module} import {', '.join(sorted(names))}\n"
                          for module, names in sorted(self.others.items()))
        kinds = ", ".join([*sorted(self.kinds), "Message"])
        checking = ""
        if self.collections:
            checking = ("\nTYPE_CHECKING = False\nif TYPE_CHECKING:\n"
                        f"    from collections.abc import {', '.join(sorted(self.collections))}\n")
        return (f'"""{origin}: written by ttrpc/generate.py; do not edit."""\nfrom __future__ import annotations\n\n'
                f"from ...formats.protobuf import {kinds}\n{imports}{checking}\n\n" + "\n\n".join(parts))

    def ordered(self, file: Any) -> list[Any]:
        """The messages of a file, each after those it uses."""
        by_name = {f".{file.package}.{message.name}": message for message in file.message_type}
        done: list[Any] = []

        def visit(message: Any) -> None:
            for field in message.field:
                if field.type == MESSAGE and field.type_name in by_name:
                    visit(by_name[field.type_name])
            if message not in done:
                done.append(message)
        for message in file.message_type:
            visit(message)
        return done

    def enum(self, enum: Any) -> str:
        return f"class {enum.name}:\n" + "".join(f"    {value.name} = {value.number}\n" for value in enum.value)

    def message(self, message: Any, package: str) -> str:
        nested = {f".{package}.{message.name}.{entry.name}": entry for entry in message.nested_type}
        fields = [self.field(field, nested) for field in message.field]
        lines = [f"class {message.name}(Message):", f'    TYPE = "{package}.{message.name}"']
        lines += [f"    {name}: {annotation} = {default}" for _, name, _, annotation, default in fields]
        if fields:
            lines.append("    FIELDS = {")
            lines += [f'        {number}: ("{name}", {kind}),' for number, name, kind, _, _ in fields]
            lines.append("    }")
        return "\n".join(lines) + "\n"

    def field(self, field: Any, nested: dict[str, Any]) -> tuple[int, str, str, str, str]:
        """(number, name, kind, annotation, default)"""
        kind, annotation, default = self.type(field, nested)
        if field.label == REPEATED and not (field.type == MESSAGE and field.type_name in nested):
            self.collections.add("Sequence")
            kind, annotation, default = f"[{kind}]", f"Sequence[{annotation.removesuffix(' | None')}]", "()"
        elif field.proto3_optional:
            kind, annotation, default = f"({kind},)", f"{annotation} | None", "None"
        return field.number, field.name, kind, annotation, default

    def type(self, field: Any, nested: dict[str, Any]) -> tuple[str, str, str]:
        """(kind, annotation, default) of one value of a field."""
        if field.type in SCALARS:
            kind = SCALARS[field.type]
            self.kinds.add(kind[0])
            return kind
        if field.type != MESSAGE:
            raise SystemExit(f"{field.name}: a type that protobuf.py does not know")
        if field.type_name in nested:
            key, value = (self.type(part, {}) for part in nested[field.type_name].field)
            self.collections.add("Mapping")
            return f"{{{key[0]}: {value[0]}}}", f"Mapping[{key[1]}, {value[1].removesuffix(' | None')}]", "{}"
        return self.reference(field.type_name), f"{self.reference(field.type_name)} | None", "None"

    def reference(self, full: str) -> str:
        """The class of a message, imported if it is another module's."""
        home, name = self.homes[full], full.rpartition(".")[2]
        if home != self.name:
            self.others.setdefault(home, set()).add(name)
        return name

    def service(self, service: Any, package: str) -> str:
        rows = ""
        for method in service.method:
            request, response = self.reference(method.input_type), self.reference(method.output_type)
            rows += f'    "{method.name}": ({request}, {response}),\n'
        constant = service.name.upper()
        return (f'{constant}_SERVICE = "{package}.{service.name}"\n'
                f"#: method -> (request, response)\n{constant} = {{\n{rows}}}\n")


def main() -> None:
    """Write every file of messages/ anew."""
    for name, source in modules().items():
        (MESSAGES / name).write_text(source)


if __name__ == "__main__":
    main()
