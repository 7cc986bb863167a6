"""What the specification says, row by row, in the order of its documents; the cases name the rows that they hold.

Written as text, one document a module:

    == chapter                          config.md#root
    property = what it is, in a few words; properties of nested objects with dots
    * a demand, in a few words          every MUST, and each SHOULD that can be looked at
      > the words of the specification that make it one

What is for Windows, Solaris, FreeBSD, z/OS and virtual machines only has no row.
"""
from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from . import bundle_md, config_linux_md, config_md, features_md, runtime_md

DOCUMENTS = (bundle_md, config_md, config_linux_md, runtime_md, features_md)
SOURCE = "https://github.com/opencontainers/runtime-spec/blob/v1.3.0/"


@dataclass
class Row:
    """chapter and name are its key; text is what a property is, or the quotation that makes a demand."""
    chapter: str
    name: str
    text: str
    demand: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.chapter, self.name

    @property
    def must(self) -> bool:
        """Whether the specification leaves the runtime no choice."""
        return self.demand and ("MUST" in self.text or "REQUIRED" in self.text)

    @property
    def url(self) -> str:
        return SOURCE + self.chapter


def parse(text: str) -> Iterator[Row]:
    """The rows of one document. ValueError for a line that is none of the kinds above."""
    chapter, row = "", None
    for line in text.strip().splitlines():
        if line.startswith("  > ") and row is not None:
            row.text = f"{row.text} {line[4:]}".strip()
        elif row is not None and line.strip():
            yield row
            row = None
        if line.startswith("== "):
            chapter = line[3:]
        elif line.startswith("* "):
            row = Row(chapter, line[2:], "", demand=True)
        elif line.strip() and not line.startswith("  "):
            name, equals, words = line.partition(" = ")
            if not equals:
                raise ValueError(f"no row: {line}")
            row = Row(chapter, name, words, demand=False)
    if row is not None:
        yield row


@functools.cache
def rows() -> dict[tuple[str, str], Row]:
    """All of them by (chapter, name). ValueError when nothing is said about a row, or it stands twice."""
    found: dict[tuple[str, str], Row] = {}
    for row in (row for document in DOCUMENTS for row in parse(document.TEXT)):
        if not row.text or row.key in found:
            raise ValueError(f"{row.chapter}: {row.name}: {'twice' if row.text else 'nothing is said about it'}")
        found[row.key] = row
    return found
