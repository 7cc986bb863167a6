"""messages/ is what generate.py makes of proto/."""
from __future__ import annotations

from pathlib import Path

from pyrunc.ttrpc import generate


def test_generated_files_are_in_step_with_the_descriptions() -> None:
    made = generate.modules()
    committed = {path.name: path.read_text() for path in Path(generate.MESSAGES).glob("*.py")}
    del committed["__init__.py"]
    assert committed == made, "run python3 -m pyrunc.ttrpc.generate"
