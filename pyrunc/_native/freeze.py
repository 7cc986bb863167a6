"""Freezes pyrunc into the launcher: a C file with the marshalled code of every module that commands run.

A frozen module costs no look-up in the file system (60 modules: 3 ms), cannot be swapped under the runtime's feet,
and its code names no file that exists: `co_filename` is "<pyrunc>/plan.py", so that no traceback ever opens a
source by path (in a container's root that file would be the container's). What only a reader needs is left out:
docstrings, annotations, `if TYPE_CHECKING`, columns in tracebacks; that halves the time to load it. What the
longest commands import is there a second time, in one piece: read together, equal strings of modules are made once.
`python -m pyrunc` runs the sources.

    python -X no_debug_ranges pyrunc/_native/freeze.py OUT.c [--checked] [--commit=TEXT] EXTENSION...

EXTENSION   an extension module that is linked into the launcher, dotted
--checked   the launcher shall compare each source with what was frozen (for a checkout that is being worked on)
"""
from __future__ import annotations
import __future__

import ast
import encodings
import importlib
import importlib.util
import marshal
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType
    from typing import TypeVar
    Documented = TypeVar("Documented", ast.Module, ast.ClassDef, ast.FunctionDef)

TREE = Path(__file__).resolve().parent.parent
#: Not frozen: what builds pyrunc, and what only `python -m pyrunc` uses. All else is, so that no list goes stale.
LEFT_OUT = ("__main__.py", "_native/bind.py", "_native/build.py", "_native/build_launcher.py",
            "_native/build_seccomp.py", "_native/freeze.py", "_native/install.py", "_native/lay_out.py",
            "_native/requirements.py", "_native/try_snapshot.py", "config/generate.py", "ttrpc/generate.py")
#: With these modules, whose commands import the most, comes in one piece all that they import, and what their functions
#: import in any case; but for what every command has imported by then.
#: plan.py imports the steps of a plan when it makes one (engine/lazy.py): those that are always there are named here.
BOTH = tuple(f"pyrunc.steps.{name}" for name in (
    "capabilities", "cgroup", "identity", "keyring", "namespaces", "process", "root", "scheduling", "state", "terminal",
    "user"))
CREATE = (*BOTH, *(f"pyrunc.steps.{name}" for name in ("devices", "mounts", "network", "paths", "sd_notify", "uts")))
TOGETHER = {"pyrunc.cli.create": CREATE, "pyrunc.cli.run": (*CREATE, "pyrunc.cli.foreground"),
            "pyrunc.cli.exec": (*BOTH, "pyrunc.steps.join")}
EARLIER = "pyrunc.cli.main"
#: What a snapshot of the started program has: these commands, and what they import. What cli/warm.py imports comes
#: before it: how often memory is taken there differs by a few, and the layout knows objects by that number.
SNAPSHOT = (*TOGETHER, *CREATE, "pyrunc.steps.join", "pyrunc.cli.foreground", "pyrunc.cli.start", "pyrunc.cli.state",
            "pyrunc.cli.kill", "pyrunc.cli.delete", "pyrunc.cli.list", "pyrunc.cli.output",
            "pyrunc.cli.version", "pyrunc.cli.features", "pyrunc.cli.checkpoint", "pyrunc.cgroups.systemd.unit",
            "pyrunc.steps.intel_rdt", "pyrunc.formats.json_text", "pyrunc.cli.tracing", "pyrunc.engine.trace",
            "pyrunc.kernel.waiting", "pyrunc.rootfs.mounts", "pyrunc.cgroups.devices_bpf", "pyrunc.steps.init",
            "pyrunc.steps.start", "pyrunc.cli.keeping", "pyrunc.checks.failures", "pyrunc.cli.warm")
#: What CPython itself imports from files when it completes its start.
STDLIB = ("__init__.py", "aliases.py", "utf_8.py")


class Reader(ast.NodeTransformer):
    """Takes out of a module what only its reader needs."""
    read = False              # the class that is visited reads its annotations

    def _without_docstring(self, node: Documented) -> Documented:
        self.generic_visit(node)
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node

    def visit_Module(self, node: ast.Module) -> ast.Module:
        body: list[ast.stmt] = []
        for statement in self._without_docstring(node).body:
            if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
                body += statement.orelse
            elif not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
                body.append(statement)          # (that import is done, if it is in the source, when the code runs)
        node.body = body
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        outer, self.read = self.read, bool(node.decorator_list)      # @dataclass makes its fields of annotations
        node = self._without_docstring(node)
        self.read = outer
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        return self._without_docstring(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        self.generic_visit(node)
        if self.read:
            return node
        plain = ast.Assign([node.target], node.value) if node.value else ast.Pass()
        return ast.copy_location(plain, node)


def code(source: Path, shown: str) -> tuple[ast.Module, CodeType]:
    """A module whose file is to be called shown: what is left of it, and that compiled."""
    tree: ast.Module = ast.fix_missing_locations(Reader().visit(ast.parse(source.read_bytes(), shown)))
    return tree, compile(tree, shown, "exec", __future__.annotations.compiler_flag, True, 0)


def imported(name: str, trees: dict[str, ast.Module], packages: set[str]) -> Iterator[str]:
    """What importing a module imports of trees by statements outside functions; may name some more than once."""
    package = name if name in packages else name.rpartition(".")[0]
    yield package
    for statement in trees[name].body:
        if isinstance(statement, ast.ImportFrom):
            source = importlib.util.resolve_name("." * statement.level + (statement.module or ""), package)
            yield from (module for module in (source, *(f"{source}.{alias.name}" for alias in statement.names))
                        if module in trees)


def together(names: Sequence[str], trees: dict[str, ast.Module], packages: set[str]) -> list[str]:
    """Modules, all that they import, and so on."""
    found = list(names)
    for name in found:                                  # (grows)
        found += [module for module in dict.fromkeys(imported(name, trees, packages)) if module not in found]
    return found


def modules() -> Iterator[tuple[str, bool, Path, str]]:
    """(dotted name, is a package, source, the file name that its code shall carry): pyrunc's, then CPython's."""
    for source in sorted(TREE.rglob("*.py")):
        path = source.relative_to(TREE).as_posix()
        if not source.with_name("__init__.py").exists():
            raise SystemExit(f"freeze: {source.parent}: __init__.py is missing")
        if path not in LEFT_OUT:
            parts = ["pyrunc", *path[:-3].split("/")]
            package = parts[-1] == "__init__"
            yield ".".join(parts[:-1] if package else parts), package, source, f"<pyrunc>/{path}"
    for file in STDLIB:
        name = "encodings" if file == "__init__.py" else f"encodings.{file[:-3]}"
        yield name, file == "__init__.py", Path(encodings.__file__).parent / file, f"<frozen {name}>"


def array(symbol: str, data: bytes) -> str:
    return f"static const unsigned char {symbol}[] = {{{','.join(map(str, data))}}};\n"


def libseccomp() -> tuple[str, int, int, str, list[str]] | None:
    """What pyrunc.seccomp.library tells of it without loading it, and by which file's size and time it is known again.

    None where it, or pyrunc's module for it, is not to be had.
    """
    sys.path.insert(0, str(TREE.parent))
    sys.dont_write_bytecode = True
    try:
        version, architectures = importlib.import_module("pyrunc.seccomp.library").facts()
    except ImportError:
        return None
    lines = Path("/proc/self/maps").read_text().splitlines()
    path = Path(next(line for line in lines if "/libseccomp." in line).split(maxsplit=5)[5]).resolve()
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns, version, list(architectures)


def freeze(extensions: Sequence[str], checked: bool, commit: str) -> str:
    """The C file (frozen.h says what is in it). commit: what --version tells of it, "" for the release's name."""
    arrays, table, sources, groups = [], [], [], []
    trees, codes, packages = {}, {}, set()
    for name, package, source, shown in modules():
        status = source.stat()
        trees[name], codes[name] = code(source, shown)
        packages |= {name} if package else set()
        data, symbol = marshal.dumps(codes[name]), f"code_{name.replace('.', '_')}"
        arrays.append(array(symbol, data))
        table.append(f'    {{ .name = "{name}", .code = {symbol}, .size = {len(data)}, .is_package = {package:d} }},\n')
        if shown.startswith("<pyrunc>"):
            sources.append(f'    {{ "{source}", {status.st_size}, {status.st_mtime_ns} }},\n')
    built = f"COMMIT = {commit!r}\nLIBSECCOMP = {libseccomp()!r}"          # install.py writes the first, too
    data = marshal.dumps(compile(built, "<pyrunc>/built.py", "exec"))
    arrays.append(array("code_pyrunc_built", data))
    table.insert(0, f'    {{ .name = "pyrunc.built", .code = code_pyrunc_built, .size = {len(data)} }},\n')
    earlier = together([EARLIER], trees, packages)
    for name, others in TOGETHER.items():
        found = together([name, *others], trees, packages) if name in trees else []
        members = [member for member in found if member not in earlier]
        data, symbol = marshal.dumps({member: codes[member] for member in members}), f"group_{name.replace('.', '_')}"
        arrays.append(array(symbol, data))
        groups.append(f'    {{ "{name}", {symbol}, {len(data)} }},\n')
    snapshot = [name for name in (EARLIER, *SNAPSHOT) if name in trees] + ["pyrunc.built"]
    inits = [(name, f"PyInit_{name.rpartition('.')[2]}") for name in extensions]
    return "".join([
        f"/* Made by freeze.py with Python {sys.version.split()[0]}. */\n",
        "#include <Python.h>\n", '#include "frozen.h"\n', *arrays,
        f"const int frozen_own = {len(sources) + 1};\n",
        "const struct _frozen frozen_modules[] = {\n", *table, "    { 0 }\n};\n",
        "const struct frozen_group frozen_groups[] = {\n", *groups, "    { 0 }\n};\n",
        "const struct frozen_source frozen_sources[] = {\n", *(sources if checked else ()), "    { 0 }\n};\n",
        "const char *const snapshot_modules[] = {\n", *(f'    "{name}",\n' for name in snapshot), "    0\n};\n",
        *(f"PyMODINIT_FUNC {init}(void);\n" for _, init in inits),
        "struct _inittab built_in_modules[] = {\n",
        *(f'    {{ "{name}", {init} }},\n' for name, init in inits), "    { 0 }\n};\n"])


if __name__ == "__main__":
    out, *words = sys.argv[1:]
    options = [word for word in words if word.startswith("--")]
    commits = [word.removeprefix("--commit=") for word in options if word.startswith("--commit=")]
    text = freeze([word for word in words if word not in options], "--checked" in options, "".join(commits))
    if not Path(out).exists() or Path(out).read_text() != text:     # unchanged: nothing to compile again
        Path(out).write_text(text)
