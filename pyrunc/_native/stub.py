"""Writes _native.pyi, what mypy knows of the compiled module, from native.h: python -m pyrunc._native.stub

Numbers are int; a pointer argument takes C data, or bytes where it is constant; a pointer result is C data.
"""
from __future__ import annotations

import re
import textwrap
from pathlib import Path

from .build import CONSTANTS, declared

HERE = Path(__file__).resolve().parent
HEAD = '''# Written by stub.py from native.h.
from typing import Any, NoReturn

class CData:
    """A C value or array; the members of a struct are its attributes."""
    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: object) -> None: ...
    def __getitem__(self, index: int) -> Any: ...
    def __setitem__(self, index: int, value: object) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Any: ...

class FFI:
    NULL: CData
    errno: int
    def new(self, kind: str, value: object = ...) -> CData: ...
    def cast(self, kind: str, value: CData) -> int: ...
    def string(self, text: CData, limit: int = ...) -> bytes: ...
    def buffer(self, data: CData, size: int = ...) -> bytes: ...
    def from_buffer(self, data: object) -> CData: ...
    def sizeof(self, kind: str) -> int: ...
    def fields(self, kind: str) -> dict[str, tuple[int, int | None]]: ...

class Lib:
'''


def annotation(declaration: str) -> str:
    return "CData | bytes" if "*" in declaration or "[" in declaration else "int"


def function(result: str, name: str, arguments: str) -> str:
    """One method of Lib."""
    given = "CData" if "*" in result else "None" if "void" in result else "int"
    if name == "pr_last_stage":
        given = "NoReturn"
    taken = ["self"]
    for argument in arguments.split(","):
        if argument.strip() != "void":
            parameter = re.findall(r"\w+", argument.replace("[]", ""))[-1]
            taken.append(f"{parameter}: {annotation(argument)}")
    return textwrap.fill(f"def {name}({', '.join(taken)}, /)", 110, initial_indent=" " * 4,
                         subsequent_indent=" " * 8) + f" -> {given}: ...\n"


def stub() -> str:
    """The text of _native.pyi."""
    text = declared()
    values = [name for body in re.findall(r"enum \{(.*?)\}", text, re.S) for name in re.findall(r"\b([A-Z]\w+)", body)]
    lines = [f"    {name}: int\n" for name in [*values, *CONSTANTS.split()]]
    lines += [function(*found) for found in re.findall(r"^([\w ]+?[ *]+)(pr_\w+)\(([^;]*?)\);", text, re.M | re.S)]
    return HEAD + "".join(lines) + "\nffi: FFI\nlib: Lib\n"


if __name__ == "__main__":
    (HERE / "_native.pyi").write_text(stub())
