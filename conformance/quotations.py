"""Whether the rows quote the specification word by word, and whether each of its demands is in one of them.

    git clone --branch v1.3.0 https://github.com/opencontainers/runtime-spec
    python -m conformance quotations runtime-spec
    python -m conformance quotations runtime-spec --list      # each demand, and where it is held
"""
from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .rows import Row, rows
from .rows.left_out import LEFT_OUT

DOCUMENTS = ("bundle", "config", "config-linux", "runtime", "runtime-linux", "features", "features-linux", "glossary")
KEYWORDS = re.compile(r"\b(?:MUST NOT|MUST|REQUIRED|SHALL NOT|SHALL|SHOULD NOT|SHOULD)\b")
LINK = re.compile(r"\[([^\]\[]+)\](?:\[[^\]]*\]|\([^)]*\))?")
#: A property in a list, and an option in the table of mount options, with the words that say whether it is needed.
PROPERTY = re.compile(r"\s*\* \*\*`([^`]+)`\*\* \*?\(([^)]*)\)")
OPTION = re.compile(r"\s*`(\w+) *`\s*\|\s*(MUST|SHOULD)\s*\|")
QUOTED, OF_A_PROPERTY, LEFT, IN_NO_ROW = "quoted", "of a property", "left out, with the reason", "in no row"


@dataclass
class Document:
    """text: without markup and line breaks. chapters: anchor -> where its text begins and ends, chapters below it
    included. properties: (name, beginning, end) of what says whether a property is needed."""
    text: str = ""
    chapters: dict[str, tuple[int, int]] = field(default_factory=dict)
    properties: list[tuple[str, int, int]] = field(default_factory=list)

    def chapters_at(self, place: int) -> list[str]:
        return [anchor for anchor, (begin, end) in self.chapters.items() if begin <= place < end]


def plain(text: str) -> str:
    """Without links, emphasis, marks of lists and line breaks. Brackets in code stay."""
    text = re.sub(r"<a [^>]*>|</a>", "", text)
    text = re.sub(r"`[^`]*`", lambda code: code[0].replace("[", "\1").replace("]", "\2"), text)
    text = LINK.sub(r"\1", text)
    text = re.sub(r"^\s*(?:[*-]|\d+\.|\|)\s+", "", text)
    return " ".join(re.sub("[*`]", "", text).replace("\1", "[").replace("\2", "]").split())


def anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w -]", "", plain(heading).lower()).replace(" ", "-")


def read(text: str) -> Document:
    """A document of the specification."""
    found, fenced = Document(), False
    open_: list[tuple[int, str]] = []

    def close(level: int) -> None:
        while open_ and open_[-1][0] >= level:
            name = open_.pop()[1]
            found.chapters[name] = (found.chapters[name][0], len(found.text))
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else re.match(r"(#+) (.*)", line)
        if heading:
            close(len(heading[1]))
            name, number = anchor(heading[2]), 0
            while (unique := name + (f"-{number}" if number else "")) in found.chapters:
                number += 1
            found.chapters[unique] = (len(found.text), len(found.text))
            open_.append((len(heading[1]), unique))
        elif not fenced:
            begin, words = len(found.text), plain(line)
            found.text += words + " " if words else ""
            for pattern in (PROPERTY, OPTION):
                if kind := pattern.match(line):
                    found.properties.append((kind[1], begin, begin + len(plain(kind[0])) + 1))
    close(0)
    return found


def places(document: Document, row: Row) -> list[tuple[int, int]]:
    """Where the row's words are, also where they stand once more; the pieces of a quotation follow each other. Empty
    when one of them is not there."""
    name = row.chapter.partition("#")[2]
    if name not in document.chapters:
        return []
    begin, end = document.chapters[name]
    pieces = [plain(piece) for piece in row.text.split("…")]
    found: list[tuple[int, int]] = []
    while True:
        once = []
        for piece in pieces:
            at = document.text.find(piece, begin, end)
            if at < 0:
                return found
            once.append((at, begin := at + len(piece)))
        found += once


def named(document: str, name: str, chapters: Sequence[str]) -> bool:
    """Whether a property has a row in one of these chapters: by its name, or as a part of another one."""
    return any(row.chapter in {f"{document}.md#{chapter}" for chapter in chapters} and not row.demand
               and (row.name == name or row.name.endswith(f".{name}") or name in row.name.split(", "))
               for row in rows().values())


#: Where something is in a document's text, from and to, and what it is.
Place = tuple[int, int, str]


@dataclass
class Comparison:
    """quotations: how many there are. wrong: those that are not the specification's words. stale: reasons that are
    about nothing. demands: keyword and where it is -> how often; the latter is one of the four words above. open:
    those in no row, with the words around them. listed: each demand in the order of the text, as
    `keyword: where it is: row, property or reason`; rows are separated by ` | `."""
    quotations: int = 0
    wrong: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    demands: Counter[tuple[str, str]] = field(default_factory=Counter)
    open: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)


def compare(texts: dict[str, str]) -> Comparison:
    """The rows and the documents of the specification, by name without `.md`."""
    result = Comparison()
    for name, text in texts.items():
        document = read(text)
        quoted: list[Place] = []
        for row in rows().values():
            if row.demand and row.chapter.startswith(f"{name}.md#"):
                result.quotations += 1
                found = places(document, row)
                quoted += ((begin, end, f"{row.chapter}: {row.name}") for begin, end in found)
                if not found:
                    result.wrong.append(f"{row.chapter}: {row.name}: “{row.text}” is not there")
        excused = list(_excused(name, document, result))
        for keyword in KEYWORDS.finditer(document.text):
            kind, held = _held(name, document, keyword.start(), quoted, excused)
            result.demands[keyword[0], kind] += 1
            result.listed.append(f"{keyword[0]}: {kind}: {held}")
            if kind == IN_NO_ROW:
                around = document.text[max(0, keyword.start() - 90):keyword.end() + 90]
                result.open.append(f"{name}.md#{(document.chapters_at(keyword.start()) or [''])[-1]}: …{around}…")
    return result


def _excused(name: str, document: Document, result: Comparison) -> Iterator[Place]:
    for chapter, words, why in LEFT_OUT:
        if chapter.partition("#")[0] == f"{name}.md":
            begin, end = document.chapters.get(chapter.partition("#")[2], (0, 0))
            found = list(re.compile(re.escape(plain(words))).finditer(document.text, begin, end))
            if not found:
                result.stale.append(f"left_out.py: {chapter}: “{words}” is not there")
            yield from ((place.start(), place.end(), f"{chapter}: {why}") for place in found)


def _held(name: str, document: Document, at: int, quoted: Sequence[Place],
          excused: Sequence[Place]) -> tuple[str, str]:
    """One of the four words, and the rows, the property or the reason."""
    if rows_ := dict.fromkeys(row for begin, end, row in quoted if begin <= at < end):
        return QUOTED, " | ".join(rows_)
    inside = document.chapters_at(at) or [""]
    for property_, begin, end in document.properties:
        if begin <= at < end and named(name, property_, inside):
            return OF_A_PROPERTY, f"{name}.md#{inside[-1]}: {property_}"
    why = next((why for begin, end, why in excused if begin <= at < end), "")
    return (LEFT, why) if why else (IN_NO_ROW, f"{name}.md#{inside[-1]}")


def text(result: Comparison) -> str:
    """The figures, and what is wrong."""
    lines = [f"quotations: {result.quotations}, word by word in the text: {result.quotations - len(result.wrong)}"]
    for keyword in sorted({word for word, _ in result.demands}):
        kinds = {kind: result.demands[keyword, kind] for kind in (QUOTED, OF_A_PROPERTY, LEFT, IN_NO_ROW)}
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        lines.append(f"{keyword}: {sum(kinds.values())}: {told}")
    reasons = Counter(why for _, _, why in LEFT_OUT)
    lines += ["", "left out:", *(f"  {why}: {count}" for why, count in reasons.items())]
    lines += ["", *result.wrong, *result.stale] if result.wrong or result.stale else []
    lines += ["", "in no row:", *(f"  {words}" for words in result.open)] if result.open else []
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 when a quotation is not the specification's, or a demand is in no row."""
    parser = argparse.ArgumentParser(prog="python -m conformance quotations",
                                     description="Compare the rows with the text of the specification.")
    parser.add_argument("folder", type=Path, help="a checkout of opencontainers/runtime-spec, of the tag v1.3.0")
    parser.add_argument("--list", action="store_true", help="print each demand, and the row that it is in")
    options = parser.parse_args(argv)
    folder = options.folder
    try:
        texts = {name: (folder / f"{name}.md").read_text() for name in DOCUMENTS}
    except OSError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    result = compare(texts)
    print("".join(f"{line}\n" for line in result.listed) if options.list else text(result), end="")
    return int(bool(result.wrong or result.stale or result.open))
