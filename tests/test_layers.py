"""The layers of pyrunc/: a module imports what is below it, so that a reader can begin at the bottom."""
from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "pyrunc"
#: From the bottom up. What stands in one line knows nothing of the others in it.
LAYERS = (
    ("_native", "built", "errors", "paths", "programs"),
    ("formats", "version"),
    ("kernel",),
    ("engine", "log"),
    ("options",),
    ("config",),
    ("cgroups", "rootfs", "seccomp"),
    ("host",),
    ("request",),
    ("state",),
    ("criu", "ttrpc"),
    ("steps",),
    ("plan",),
    ("runtime",),
    ("checks", "planview", "traceview"),
    ("keeper",),
    ("library",),
    ("manager",),
    ("serve", "shim"),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
#: The face of the library names what is in it (PEP 562), and `python -m pyrunc` is the command line.
FACES = {"__init__", "__main__"}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(what below pyrunc, line) of each import at run time, also in functions; annotations need none."""
    tree = ast.parse(path.read_text())
    only_types = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.If)
                  and ast.unparse(node.test).endswith("TYPE_CHECKING") for inner in ast.walk(node)}
    package = ["pyrunc", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in only_types:
            continue
        base = package[:len(package) - node.level + 1] if node.level else []
        module = [*base, *(node.module.split(".") if node.module else [])]
        if module[:1] == ["pyrunc"]:
            for name in [module[1]] if len(module) > 1 else [alias.name for alias in node.names]:
                yield name, node.lineno


def test_every_room_has_a_layer() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - FACES == LEVEL.keys() - {"built"}              # built.py is written by an installation


def test_imports_point_down() -> None:
    up = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in FACES:
            continue
        for name, line in imports(path):
            if name != room and name in LEVEL and LEVEL[name] >= LEVEL[room]:
                up.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert not up


def test_few_modules_are_loose() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 12
