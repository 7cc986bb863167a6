"""docs/properties.md has every row, each row has its tests, and it is what the markers of the tests say."""
from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.rows import rows

from .generate import CHECKOUT, TABLE


@pytest.mark.timeout(300)
def test_every_row_has_a_test_and_the_document_is_up_to_date(tmp_path: Path) -> None:
    script = ("import sys; from pathlib import Path; from tests.spec import generate; "
              "generate.TABLE = Path(sys.argv[1]); sys.exit(generate.main())")
    # A process of its own: collecting imports every test module once more.
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "table"], cwd=CHECKOUT, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert TABLE.read_text() == (tmp_path / "table").read_text(), "run `python -m tests.spec.generate`"


def test_every_chapter_that_a_step_names_is_one() -> None:
    chapters = {row.chapter for row in rows().values()} | {"runtime-linux.md#linux-runtime"}
    named = {chapter for path in (CHECKOUT / "pyrunc").rglob("*.py") for chapter in
             re.findall(r"\b(?:config|config-linux|runtime|runtime-linux|features|features-linux)\.md#[\w-]+",
                        path.read_text())}
    assert len(named) > 40 and named <= chapters


def properties(file: str) -> set[tuple[str, str]]:
    """(document, property) of every property that a schema of that file describes."""
    found = set()

    def walk(schema: dict[str, Any], place: str) -> None:
        for name, part in schema.get("properties", {}).items():
            found.add((part.get("x-spec", schema.get("x-spec", place)).partition("#")[0], name))
            walk(part, place)
        for part in schema.get("$defs", {}).values():
            walk(part, place)

    walk(json.loads((CHECKOUT / "schemas" / file).read_text()), "config-linux.md")
    return found


@pytest.mark.parametrize("file", ["config.json", "config-linux.json", "features.json", "state.json"])
def test_every_property_of_the_schemas_has_a_row(file: str) -> None:
    names: set[tuple[str, str]] = set()
    for row in rows().values():
        if not row.demand:
            document = row.chapter.partition("#")[0]
            names |= {(document, part) for word in row.name.split(", ") for part in (word, word.rpartition(".")[2])}
    described = properties(file)
    missing = described - names
    assert described and not missing
