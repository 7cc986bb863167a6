"""The rows of docs/properties.md, in the order of the specification's documents.

Written as text, one document a module:

    == chapter                          config.md#root
    property = what it is, in a few words; properties of nested objects with dots
    * a demand, in a few words          every MUST, and each SHOULD that a test can hold
      > the words of the specification that make it one
      ! how it was checked where no test can, or what pyrunc does instead

A test says which rows it holds with the marker `spec(chapter, row, …)`, where row is the property's name or the demand.
What is for Windows, Solaris, FreeBSD, z/OS and virtual machines only has no row.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import config_linux_md, config_md, features_md, runtime_md

DOCUMENTS = (config_md, config_linux_md, runtime_md, features_md)


@dataclass
class Row:
    """chapter and name are what a marker says; text is what a property is, or the quotation that makes a demand."""
    chapter: str
    name: str
    text: str
    demand: bool
    note: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.chapter, self.name


def parse(text: str) -> Iterator[Row]:
    """The rows of one document. ValueError for a line that is none of the kinds above."""
    chapter, row = "", None
    for line in text.strip().splitlines():
        if line.startswith("  > ") and row is not None:
            row.text = f"{row.text} {line[4:]}".strip()
        elif line.startswith("  ! ") and row is not None:
            row.note = f"{row.note} {line[4:]}".strip()
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


def rows() -> list[Row]:
    """All of them. ValueError when a demand has no quotation, or a row stands twice."""
    found = [row for document in DOCUMENTS for row in parse(document.TEXT)]
    seen = set()
    for row in found:
        if not row.text or row.key in seen:
            raise ValueError(f"{row.chapter}: {row.name}: {'twice' if row.text else 'nothing is said about it'}")
        seen.add(row.key)
    return found
