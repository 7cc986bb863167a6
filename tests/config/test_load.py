"""load.py reads strictly, and diagnosis.py finds the place of whatever it refuses."""
from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.config import load as loading
from pyrunc.config.diagnosis import diagnose
from pyrunc.config.load import load, loads
from pyrunc.errors import ConfigError

ROOT = pathlib.Path(__file__).parent.parent.parent

REFUSED = [
    # (text, JSON path, what the one line says)
    (b"", "", "the file ends where a value is expected: line 1, column 1"),
    (b'{"a": 1,\n  "b": [1, 2', "b", 'the file ends where "," or "]" is expected: line 2, column 13'),
    (b'{"a" 1}', "a", 'expected ":": line 1, column 6'),
    (b'{"a": {"b": tru}}', "a.b", 'expected a value: line 1, column 13 near "tru}}"'),
    (b"{'a': 1}", "", "a string as the name of a member"),
    (b'{"a": 1,}', "", 'a comma before "}": line 1, column 9'),
    (b"[1, 2,]", "[2]", 'a comma before "]"'),
    (b'// c\n{"a": # d\n1}', "", "a comment, which JSON does not have: line 1, column 1"),
    (b"[1] 2", "", "something follows the value: line 1, column 5"),
    (b'{"a": "b', "a", "a string has no end: line 1, column 7"),
    (b'{"a": "b\nc"}', "a", "the control character U+000A stands in a string"),
    (b'{"a": "\\x41"}', "a", "an escape that JSON does not have"),
    (b'{"a": "\\u00g0"}', "a", "an escape that JSON does not have"),
    (b"\xef\xbb\xbf{}", "", "it begins with a byte order mark"),
    ("{}".encode("utf-16"), "", "it is UTF-16 or UTF-32"),
    ("{}".encode("utf-16-be"), "", "it is UTF-16 or UTF-32"),
    ("{}".encode("utf-32-le"), "", "it is UTF-16 or UTF-32"),
    (b'{"a":\n"\xff"}', "", "byte 0xff is not UTF-8: line 2, column 2"),
    (b'"\xed\xa0\x80"', "", "byte 0xed is not UTF-8"),
    (b'{"args": ["a", "b\\u0000c"]}', "args[1]", "NUL stands in a string"),
    (b'{"a\\u0000": 1}', "", "NUL stands in a string"),
    (b'["\\ud800"]', "[0]", "half of a surrogate pair"),
    (b'["\\udc00"]', "[0]", "half of a surrogate pair"),
    (b'["\\ud800\\u0041"]', "[0]", "half of a surrogate pair"),
    (b'{"a": {"b": 1, "b": 1}}', "a.b", 'the member "b" is listed twice: line 1, column 16'),
    (b'{"a": 1, "\\u0061": 2}', "a", 'the member "a" is listed twice'),
    (b'{"a": NaN}', "a", "expected a value"),
    (b'{"a": Infinity}', "a", "expected a value"),
    (b'{"a": -Infinity}', "a", "expected a digit"),
    (b'{"a": 01}', "a", "a number begins with 0"),
    (b'{"a": +1}', "a", "expected a value"),
    (b'{"a": 1.}', "a", "expected a digit"),
    (b'{"a": 1e}', "a", "expected a digit"),
    (b'{"a": ' + b"9" * 4301 + b"}", "a", "a number has 4301 digits"),
    (b"[" * 65 + b"]" * 65, "[0]" * 64, "nested more than 64 deep"),
    (b"[" * 200000, "[0]" * 64, "nested more than 64 deep"),
    (b'{"a":' * 100000, "a" + ".a" * 63, "nested more than 64 deep"),
    (b'{"m": {%s}}' % b",".join(b'"%d": 0' % number for number in range(8193)), 'm["8192"]',
     "an object has more than 8192 members"),
    (b"[1\0]", "", 'expected "," or "]"'),
    (b"1\0", "", "it is UTF-16"),
    (b'["\\', "[0]", "an escape that JSON does not have"),
    (b'["\\ud83d\\', "[0]", "half of a surrogate pair"),
    (b" " * (16 << 20) + b"1", "", "more than 16 MiB"),
]


@pytest.mark.spec("glossary.md#json", "config.json is UTF-8", "no name stands twice in an object")
@pytest.mark.parametrize(("text", "where", "what"), REFUSED, ids=[f"{text[:24]!r}" for text, _, _ in REFUSED])
def test_refused_with_line_column_and_path(text: bytes, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text)
    assert caught.value.where == where
    assert what in str(caught.value)
    assert "\n" not in str(caught.value) and str(caught.value).isascii()


@pytest.mark.parametrize("text", [
    b" \t\r\n{} \n", b"[" * 64 + b"]" * 64, b'"\\ud83d\\ude00"', b'"\\\\u0000 \\\\ud800"', b'"\\u003c\\/"', b"-0",
    b"1e400", b"[1.5E-3]", b"9" * 4300, b"-" + b"9" * 18, b"9" * 19, b'"\\uD83D\\uDE00\\u00FF\\u07ff\\uffff"',
    b'{%s}' % b",".join(b'"%d": 0' % number for number in range(8192)),
    '"é\u2028"'.encode(), b'{"":{"":[]}}', b'"\x7f"',
])
def test_accepted_as_json_has_it(text: bytes) -> None:
    assert loads(text) == json.loads(text)


def accepted(data: bytes) -> bool:
    try:
        loads(data)
    except ConfigError:
        return False
    return True


def sound(data: bytes) -> bool:
    try:
        diagnose(data, "x")
    except ConfigError:
        return False
    return True


FRAGMENTS = ["{", "}", "[", "]", ",", ":", '"', '"a"', '"b"', "\\", "\\u0000", "\\ud800", "\\udc00", "\\u00e9", "0",
             "1", "-", ".", "e", "E+", "true", "false", "null", "nul", "NaN", "Infinity", " ", "\n", "\t", "\r", "\x0b",
             "\0", "\ufeff", "é", "\u2028", "x", "/", "00"]


# hypothesis: the fast reader and the slow one are two programs; what one accepts the other must not refuse
@given(st.one_of(st.lists(st.sampled_from(FRAGMENTS), max_size=14).map(lambda parts: "".join(parts).encode()),
                 st.binary(max_size=12)))
def test_the_two_readers_agree(data: bytes) -> None:
    assert accepted(data) == sound(data)


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
                      | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
                      lambda inner: (st.lists(inner, max_size=4)
                                     | st.dictionaries(st.text("aAbé\"\\ ", max_size=3), inner)))


@given(VALUES, st.booleans())
def test_every_value_that_json_writes_is_read(value: Any, escaped: bool) -> None:
    data = json.dumps(value, ensure_ascii=escaped).encode()
    assert loads(data) == value
    diagnose(data, "x")


@given(VALUES, st.data())
def test_a_damaged_document_is_a_config_error(value: Any, data: st.DataObject) -> None:
    text = bytearray(json.dumps(value).encode())
    i = data.draw(st.integers(0, len(text) - 1))
    text[i] = data.draw(st.integers(0, 255))
    assert accepted(bytes(text)) == sound(bytes(text))


def test_messages_carry_no_long_excerpt() -> None:
    with pytest.raises(ConfigError) as caught:
        loads(b'{"' + b"k" * 9000 + b'": ["' + b"v" * 9000)
    assert len(str(caught.value)) < 250


def test_missing_file_in_the_words_of_runc(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(str(tmp_path))
    assert str(caught.value) == f"JSON specification file config.json not found in {tmp_path}"


@pytest.mark.parametrize(("text", "kind"), [("null", "null"), ("[]", "an array"), ("3", "an integer"),
                                            ("1.0", "a number with a fraction or an exponent")])
def test_the_document_is_an_object(tmp_path: pathlib.Path, text: str, kind: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=f"^must be an object, not {kind}: in config.json$"):
        load(str(tmp_path))


def test_another_file_is_named_in_the_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "other.json").write_text('{"a": }')
    with pytest.raises(ConfigError, match=r"at a in other\.json"):
        load(str(tmp_path), "other.json")
    (tmp_path / "other.json").write_text('{"a": 1}')
    assert dict(load("/nowhere", f"{tmp_path}/other.json")) == {"a": 1}


def test_a_huge_file_is_not_read_to_its_end(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigError, match="more than 16 MiB"):
        load(str(tmp_path))


def test_reading_a_sound_config_imports_nothing_of_the_comfortable_world(tmp_path: pathlib.Path) -> None:
    (tmp_path / "config.json").write_text('{"ociVersion": "1.0.0", "root": {"path": "rootfs"}}')
    code = (f"import sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules)\n"
            "from pyrunc.config.load import load; from pyrunc.config.check import check\n"
            f"check(load({str(tmp_path)!r}))\n"
            "print(*sorted(m for m in set(sys.modules) - before if not m.startswith('pyrunc')))")
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) <= {"__future__"}


def test_limits_are_those_of_the_documentation() -> None:
    assert (loading.MAX_SIZE, loading.MAX_DEPTH) == (16 * 1024 * 1024, 64)


def test_the_reader_does_without_the_json_package(tmp_path: pathlib.Path) -> None:
    """The launcher's interpreter may have no way to it, and what is wrong is told without it."""
    texts = [(text, where) for text, where, _ in REFUSED if len(text) < 1000]
    code = (f"import sys, __future__; sys.path = [{str(ROOT)!r}]; sys.meta_path = sys.meta_path[-1:]\n"
            "from pyrunc.config.load import loads; from pyrunc.errors import ConfigError\n"
            f"for text, where in {texts!r}:\n"
            "    try: loads(text)\n"
            "    except ConfigError as fault: assert fault.where == where, fault\n"
            "    else: raise AssertionError(text)\n"
            "assert 'json' not in sys.modules")
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
