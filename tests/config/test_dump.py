"""dump.py writes what json.dumps and Go's MarshalIndent write."""
from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.formats.json_text import dumps
from tests.config.test_load import VALUES


@given(VALUES)
def test_compact_as_json_dumps(value: Any) -> None:
    assert dumps(value) == json.dumps(value, separators=(",", ":"))


@given(VALUES, st.sampled_from([2, 4, "\t"]))
def test_indented_as_json_dumps(value: Any, indent: int | str) -> None:
    assert dumps(value, indent) == json.dumps(value, indent=indent)


def test_tuples_are_arrays() -> None:
    assert dumps({"a": (1, ("b",), ())}) == '{"a":[1,["b"],[]]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", {"a": {1, 2}}, object()])
@pytest.mark.parametrize("indent", [None, 2])
def test_what_json_has_no_words_for_is_refused(value: Any, indent: int | None) -> None:
    with pytest.raises((TypeError, ValueError)):
        dumps(value, indent)
