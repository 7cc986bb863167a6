"""types.py and shape.py are what generate.py makes of schemas/."""
from __future__ import annotations

from typing import Any

import pytest

from pyrunc.config import generate


def test_generated_files_are_in_step_with_the_schemas() -> None:
    generator = generate.Generator()
    for name, source in (("shape.py", generator.shape_py()), ("types.py", generator.types_py())):
        assert (generate.HERE / name).read_text() == source, f"run python3 -m pyrunc.config.generate ({name})"


@pytest.mark.parametrize("schema", [
    {"type": "integer", "minimum": 0, "maximum": 9, "multipleOf": 3},
    {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    {"type": "object", "properties": {}, "maxProperties": 3},
])
def test_a_keyword_it_does_not_know_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match=r"multipleOf|uniqueItems|maxProperties"):
        generate.Generator().shape(schema, "config.json")
