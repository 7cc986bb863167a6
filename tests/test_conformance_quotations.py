"""conformance/quotations.py: words that are not the specification's, and demands in no row, are told."""
from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conformance import quotations
from conformance.quotations import IN_NO_ROW, LEFT, OF_A_PROPERTY, QUOTED
from conformance.rows import Row, rows
from conformance.rows.left_out import LEFT_OUT

CHECKOUT = Path(__file__).resolve().parents[1]
#: What `python -m conformance quotations DIR --list` prints of the specification's tag v1.3.0: a line for each of its
#: words that demand something.
DEMANDS = (CHECKOUT / "tests/spec/demands-1.3.0.txt").read_text().splitlines()
TEXT = """\
# Bundle

## <a name="containerFormat" />Container *Format*

This REQUIRED file
MUST [reside][x] in the [root](#root). Of `syscalls[].action` and `syscalls[]` it SHOULD NOT speak.
On Windows it MUST be elsewhere, and SHOULD be large.

* **`first`** (string, REQUIRED) is the first one.
* **`second`** (string, REQUIRED) has no row.

| Option | |
--- | --- |
 `ro ` | MUST | read-only

```
This MUST NOT be read.
```

### Example

It MUST be new.
"""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> quotations.Comparison:
    chapter = "bundle.md#container-format"
    found = [Row(chapter, "a", "This REQUIRED file MUST reside in the root.", True),
             Row(chapter, "b", "Of `syscalls[].action` … it SHOULD NOT speak", True),
             Row(chapter, "c", "it MUST reside", True), Row(chapter, "d", "it SHOULD NOT … Of", True),
             Row(chapter, "x.first", "the first one", False), Row(chapter, "ro", "MUST", False)]
    monkeypatch.setattr(quotations, "rows", lambda: {row.key: row for row in found})
    monkeypatch.setattr(quotations, "LEFT_OUT", ((chapter, "On Windows it MUST be elsewhere", "is for Windows"),
                                                 (chapter, "On Solaris it MUST", "is for Solaris")))
    return quotations.compare({"bundle": TEXT})


def test_what_is_quoted_and_what_is_not(told: quotations.Comparison) -> None:
    assert told.quotations == 4 and [words.split(": ")[1] for words in told.wrong] == ["c", "d"]
    assert ["On Solaris" in words for words in told.stale] == [True]
    assert dict(told.demands) == {
        ("REQUIRED", QUOTED): 1, ("MUST", QUOTED): 1, ("SHOULD NOT", QUOTED): 1, ("MUST", LEFT): 1,
        ("REQUIRED", OF_A_PROPERTY): 1, ("MUST", OF_A_PROPERTY): 1, ("REQUIRED", IN_NO_ROW): 1,
        ("SHOULD", IN_NO_ROW): 1, ("MUST", IN_NO_ROW): 1}
    assert [words.partition(": ")[0] for words in told.open] == [
        "bundle.md#container-format", "bundle.md#container-format", "bundle.md#example"]
    assert told.listed[1:4] == ["MUST: quoted: bundle.md#container-format: a",
                                "SHOULD NOT: quoted: bundle.md#container-format: b",
                                "MUST: left out, with the reason: bundle.md#container-format: is for Windows"]
    text = quotations.text(told)
    assert "quotations: 4, word by word in the text: 2" in text and "It MUST be new" in text


def test_a_document_is_read() -> None:
    found = quotations.read(TEXT)
    assert set(found.chapters) == {"bundle", "container-format", "example"}
    assert found.chapters_at(found.text.index("It MUST be new")) == ["bundle", "container-format", "example"]
    assert "NOT be read" not in found.text


def test_no_specification_is_an_error(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "conformance", "quotations", tmp_path], cwd=CHECKOUT, check=False,
                          capture_output=True, text=True)
    assert done.returncode == 2 and "bundle.md" in done.stderr


def test_every_reason_is_about_a_chapter_that_there_is() -> None:
    chapters = {row.chapter for row in rows().values()}
    assert {chapter for chapter, _, _ in LEFT_OUT} <= chapters
    assert all(quotations.KEYWORDS.search(words) and why for _, words, why in LEFT_OUT)


def test_each_demand_of_the_specification_is_in_a_row_or_left_out() -> None:
    """Those of its text, as they were counted there; a row that goes, or loses such a word, is missed."""
    demands = [line.split(": ", 2) for line in DEMANDS]
    assert Counter(keyword for keyword, _, _ in demands) == {
        "MUST": 250, "MUST NOT": 25, "REQUIRED": 58, "SHOULD": 50, "SHOULD NOT": 12}
    quoted: Counter[tuple[str, str, str]] = Counter()
    for keyword, kind, held in demands:
        chapter, name = held.split(": ", 1)
        if kind == QUOTED:
            for row in held.split(" | "):
                where, row_name = row.split(": ", 1)
                quoted[where, row_name, keyword] += 1
        elif kind == OF_A_PROPERTY:
            document, _, anchor = chapter.partition("#")
            above = {row.chapter.partition("#")[2] for row in rows().values() if row.chapter.startswith(document)}
            assert quotations.named(document.removesuffix(".md"), name, [anchor, *above]), held
        else:
            assert kind == LEFT and any(chapter == where and why == name and keyword in words
                                        for where, words, why in LEFT_OUT), held
    for where, name, keyword in quoted:
        assert keyword in rows()[where, name].text, (where, name)
    for one in rows().values():
        words = Counter(quotations.KEYWORDS.findall(one.text) if one.demand else ())
        assert all(quoted[one.chapter, one.name, keyword] >= count for keyword, count in words.items()), one.key
