"""docs/security.md names the tests that try each attack: they exist, and no hole that code speaks of is left out."""
from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/security.md").read_text()
LINK = re.compile(r"\[(\w+)\]\(\.\./(tests/[\w/]+\.py)\)")
NAME = re.compile(r"CVE-\d{4}-\d+|GHSA(?:-\w{4}){3}")


def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", [line for line in DOCUMENT.splitlines() if "](../tests/" in line and line[0] == "|"])
def test_each_row_names_tests_that_exist(row: str) -> None:
    hole, shut, tried = row.strip("|").split(" | ")
    links = LINK.findall(tried)
    assert hole.strip() and shut.strip() and links
    assert LINK.sub("", tried).strip(" ,") == ""
    for name, path in links:
        assert f"test_{name}" in functions_of(ROOT / path), f"{path} has no test_{name}"


def test_every_attack_is_in_the_table() -> None:
    linked = set(LINK.findall(DOCUMENT))
    for path in (ROOT / "tests/security").glob("test_*.py"):
        if path.name != Path(__file__).name:
            names = {name.removeprefix("test_") for name in functions_of(path) if name.startswith("test_")}
            here = {name for name, file in linked if file == str(path.relative_to(ROOT))}
            assert names - here <= {"lines", "visible"}, path.name


def test_every_hole_that_code_and_tests_speak_of_is_in_it() -> None:
    spoken_of = {name for folder in ("pyrunc", "tests") for pattern in ("*.py", "*.c")
                 for path in (ROOT / folder).rglob(pattern) for name in NAME.findall(path.read_text())}
    assert spoken_of - set(NAME.findall(DOCUMENT)) == set()
