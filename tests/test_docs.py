"""What the documents point at is there: links between them, and the files that docs/architecture.md names."""
from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

TOP = Path(__file__).parent.parent
DOCUMENTS = sorted([*TOP.glob("*.md"), *TOP.glob("docs/*.md")])
#: In docs/architecture.md: `pyrunc/...` from the top, or a path below pyrunc/. One with <> is not of this repository.
PATH = re.compile(r"`([a-z_]+/[^`<> ]*|[a-z_]+\.(?:py|c|md))`")


def anchors(document: Path) -> set[str]:
    """The names that links give to headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        file, _, heading = target.partition("#")
        to = document.parent / file if file else document
        if "://" not in target and not (to.exists() and (not heading or heading in anchors(to))):
            missing.append(target)
    assert not missing


def test_files_of_the_architecture_are_there() -> None:
    named = PATH.findall((TOP / "docs/architecture.md").read_text())
    assert len(named) > 50
    missing = [path for path in named
               if not any(list(base.glob(path)) for base in (TOP, TOP / "pyrunc")) and Path(path).suffix != ".json"]
    assert not missing


def test_names_in_the_walks_are_there() -> None:
    """`file.py` `name` in docs/architecture.md: the file has a class or a function of that name."""
    named = re.findall(r"`([a-z_/]+\.py)` `([A-Za-z_.]+)`", (TOP / "docs/architecture.md").read_text())
    assert len(named) > 10
    for path, name in named:
        source = next(base / path for base in (TOP, TOP / "pyrunc") if (base / path).exists()).read_text()
        for part in name.split("."):
            assert re.search(rf"^ *(?:def|class) {part}\b", source, re.MULTILINE), f"{path} has no {part}"


def test_the_picture_is_described() -> None:
    """A reader who does not see it gets its title and description; the page has a text in its place."""
    picture = ElementTree.parse(TOP / "docs/architecture.svg").getroot()
    texts = {element.get("id"): element.text for element in picture if element.get("id")}
    assert all(texts[name] for name in (picture.get("aria-labelledby") or "").split())
    shown = re.search(r"!\[([^]]+)\]\(architecture\.svg\)", (TOP / "docs/architecture.md").read_text())
    assert shown and len(shown[1]) > 200


def test_the_picture_on_the_first_page_is_the_plan() -> None:
    from tests import zones
    assert zones.PICTURE.read_text() == zones.picture(), "python -m tests.zones"
    shown = re.search(r"!\[([^]]+)\]\(docs/zones\.svg\)", (TOP / "README.md").read_text())
    assert shown and len(shown[1]) > 200
