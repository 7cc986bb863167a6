"""The hot world: what a command may import, so that it starts as quickly as it does (docs: two worlds)."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .. import bundles
from ..state.made import World

#: Built into the interpreter, or small extension modules of it; everything else of the standard library is slow.
ALLOWED = {"_cffi_backend", "_signal", "_socket", "_struct", "errno", "fcntl", "gc", "marshal", "posix",
           "select", "time"}
#: What CPython itself has imported before, and __future__, which the program's frozen modules do not import.
STARTED = {"__future__", "__main__", "_abc", "_codecs", "_frozen_importlib", "_frozen_importlib_external", "_imp",
           "_io", "_thread", "_warnings", "_weakref", "abc", "builtins", "codecs", "encodings", "io", "sys",
           "zipimport"} | ({"linecache"} if sys.version_info >= (3, 13) else set())      # for -c, to quote its source

#: Whatever directory an earlier test has gone to.
TREE = Path(__file__).parents[2]

RUN = """
import sys
sys.path[:] = [sys.argv[1], *sys.path, sys.argv[2]]
from pyrunc.cli.main import main
import posix
out = posix.dup(1)
posix.dup2(posix.open("/dev/null", posix.O_RDWR), 1)
status = main(sys.argv[3:])
loaded = list(sys.modules)
import json
posix.write(out, json.dumps([status, loaded]).encode())
"""


def imported(*words: str) -> set[str]:
    """The modules that a successful command has loaded."""
    backend = subprocess.run([sys.executable, "-c", "import _cffi_backend; print(_cffi_backend.__file__)"],
                             capture_output=True, text=True, check=True).stdout.strip()
    done = subprocess.run([sys.executable, "-I", "-S", "-c", RUN, str(TREE), str(Path(backend).parent), *words],
                          capture_output=True, text=True)
    status, names = json.loads(done.stdout)
    assert status == 0, done.stderr
    return {name for name in names if not name.startswith("encodings.")}


def foreign(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] != "pyrunc"} - ALLOWED - STARTED


def own(names: set[str]) -> set[str]:
    """The project's modules; a package's own file is empty."""
    packages = {name.rpartition(".")[0] for name in names}
    return {name for name in names if name.startswith("pyrunc") and name not in packages}


@pytest.fixture
def root(made: World) -> list[str]:
    return ["--root", str(made.root)]


def test_state_and_kill_are_the_leanest(made: World, root: list[str]) -> None:
    made.created("c")
    for words in (["state", "c"], ["kill", "c", "0"]):
        names = imported(*root, *words)
        assert not foreign(names)
        assert not {"select", "pyrunc.engine.run", "pyrunc.kernel.posix", "pyrunc._native"} & names
        assert len(own(names)) <= 20


def test_start_and_delete_need_no_native_module(made: World, root: list[str]) -> None:
    made.created("c")
    for words in (["start", "c"], ["delete", "--force", "c"]):
        names = imported(*root, *words)
        assert not foreign(names)
        assert not {"pyrunc._native", "pyrunc.kernel.linux", "pyrunc.engine.trace", "pyrunc.engine.hints"} & names
        assert len(own(names)) <= 29


def test_explain_imports_what_create_does(root: list[str], tmp_path: Path) -> None:
    bundle = bundles.bundle(tmp_path / "bundle", bundles.docker_like(process={"args": ["true"]}))
    for form in ("--no-check", "--format=lines"):
        assert not foreign(imported(*root, "explain", form, "--bundle", str(bundle))) - {"pwd"}


@pytest.mark.parametrize("words", [["list", "--quiet"], ["--version"], ["features"], ["--help"]])
def test_the_rest_is_not_slow_either(root: list[str], words: list[str]) -> None:
    assert not foreign(imported(*root, *words)) - {"pwd"}
