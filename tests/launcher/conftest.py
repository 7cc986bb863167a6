"""Launchers of each kind: around pyrunc, and around a toy package that shows what the interpreter inside can do."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent.parent
KINDS = ("snapshot", "static", "shared", "exec")


@dataclass(frozen=True)
class Launcher:
    """A program to be run with an environment of the test's choice, empty by default."""
    path: Path
    kind: str

    def __call__(self, *argv: str | bytes, env: dict[str, str] | None = None, cwd: Path | str = "/",
                 stdin: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.path, *argv], env=env or {}, cwd=cwd, input=stdin, capture_output=True, text=True,
                              errors="surrogateescape", timeout=timeout, check=False)

    def traced(self, *argv: str, calls: str) -> str:
        """The system calls of a run (strace -f), its output dropped."""
        with tempfile.NamedTemporaryFile("r") as log:
            strace: list[str | Path] = ["strace", "-f", "-qq", "-s", "256", "-e", f"trace={calls}", "-o", log.name]
            subprocess.run([*strace, self.path, *argv], cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
                           check=False)
            return log.read()


def build(tree: Path, program: Path, work: Path, kind: str) -> Launcher:
    subprocess.run([sys.executable, "pyrunc/_native/build_launcher.py", program, work, "--kind", kind], cwd=tree,
                   check=True, stdout=subprocess.DEVNULL)
    return Launcher(program, kind)


@pytest.fixture(scope="session", params=KINDS)
def launcher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """A launcher of pyrunc, with this environment's libraries."""
    place = tmp_path_factory.mktemp(request.param)
    (place / "lib").mkdir()
    (place / "lib/pyrunc").symlink_to(sysconfig.get_path("platlib"))
    return build(TREE, place / "bin/pyrunc", TREE / "build/launcher", request.param)


def toy_package(place: Path) -> Path:
    """pyrunc's package below place, with the toy in place of the command line."""
    package = place / "lib/pyrunc/pyrunc"
    package.mkdir(parents=True)
    for name in ("__init__.py", "__main__.py", "_native"):
        copy = shutil.copytree if name == "_native" else shutil.copy
        copy(TREE / "pyrunc" / name, package / name)
    shutil.copytree(Path(__file__).with_name("toy"), package / "cli")
    return package


@pytest.fixture(scope="session", params=KINDS)
def toy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """A launcher of the toy in place of pyrunc's command line."""
    place = tmp_path_factory.mktemp(f"toy-{request.param}")
    package = toy_package(place)
    backend = f"_cffi_backend{sysconfig.get_config_var('EXT_SUFFIX')}"
    os.symlink(Path(sysconfig.get_path("platlib"), backend), package.parent / backend)
    return build(package.parent, place / "bin/pyrunc", place / "work", request.param)
