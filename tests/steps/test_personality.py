"""personality(2). From inside a container: tests/container/test_properties.py."""
from __future__ import annotations

import pytest

from pyrunc.kernel.last_stage import OP_PERSONALITY
from pyrunc.steps import personality

from .planned import config, done, plan, story


# config-linux.md#personality: "domain (string, REQUIRED) - the execution domain."
@pytest.mark.parametrize("wanted, text, persona", [
    ({"domain": "LINUX"}, "LINUX", 0),
    ({"domain": "LINUX32"}, "LINUX32", 8),
    ({"domain": "LINUX32", "flags": ["ADDR_NO_RANDOMIZE", "UNAME26"]}, "LINUX32 | ADDR_NO_RANDOMIZE | UNAME26",
     0x0060008)])
def test_domain_and_flags(wanted: dict[str, object], text: str, persona: int) -> None:
    whole = config(linux={"personality": wanted})
    assert story(plan(personality.all, whole)) == [("personality.set", "linux.personality", f"set personality {text}")]
    assert done(personality.all, whole) == [("last", OP_PERSONALITY, persona, 0, 0, b"")]


def test_without_it_the_personality_is_left_alone() -> None:
    assert plan(personality.all, config()) == []
