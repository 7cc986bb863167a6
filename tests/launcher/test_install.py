"""`make install` and `pip install .`: a program that works from anywhere, with nothing around it."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc import __version__
from tests import bundles
from tests.bundles import docker_like
from tests.runtimes import Runtime

from .conftest import TREE, Launcher

pytestmark = pytest.mark.timeout(600)       # what builds takes its time on a busy machine


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix that `make install` has filled, moved to where it was not staged for, without the checkout's owner."""
    destination = tmp_path_factory.mktemp("staged")
    for _ in range(2):          # the second replaces the first
        subprocess.run(["make", "install", "PREFIX=/opt/engine", f"DESTDIR={destination}"], cwd=TREE, check=True,
                       capture_output=True)
    moved = tmp_path_factory.mktemp("moved") / "else where"
    (destination / "opt/engine").rename(moved)
    return moved


@pytest.fixture
def installed(staged: Path, private_world: None, place: Path) -> Iterator[Runtime]:
    runtime = Runtime(str(staged / "bin/pyrunc"), place / "state")
    yield runtime
    for left in runtime.root.iterdir():
        runtime("delete", "--force", left.name)


def test_make_install_leaves_two_programs_one_by_two_names_a_library_and_a_page(staged: Path) -> None:
    assert {path.relative_to(staged).as_posix() for path in staged.glob("*/*")} == {
        "bin/pyrunc", "bin/containerd-shim-pyrunc-v2", "bin/runciter", "lib/pyrunc", "share/man"}
    assert (staged / "bin/pyrunc").samefile(staged / "bin/containerd-shim-pyrunc-v2")
    done = subprocess.run([staged / "bin/containerd-shim-pyrunc-v2", "-v"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("containerd-shim-pyrunc-v2:")
    assert (staged / "share/man/man8/pyrunc.8").read_text().startswith(".TH PYRUNC 8")
    names = {path.name for path in (staged / "lib/pyrunc").iterdir()}
    assert {"pyrunc", "jsonschema", "pyroute2", "prctl.py"} <= names and not names & {"cffi", "pycparser"}
    for path in staged.rglob("*"):
        assert not path.is_symlink(), path
        assert not path.stat().st_mode & 0o022 and path.stat().st_uid == os.geteuid(), path
        assert path.suffix not in (".c", ".h", ".o"), path


def test_the_commit_is_told(staged: Path) -> None:
    told = subprocess.run([staged / "bin/pyrunc", "--version"], capture_output=True, text=True, check=True).stdout
    [commit] = [line.removeprefix("commit: ") for line in told.splitlines() if line.startswith("commit: ")]
    if (TREE / ".git").exists():
        found = commit.removesuffix("-dirty").rpartition("-g")[2]
        subprocess.run(["git", "rev-parse", "--verify", f"{found}^{{commit}}"], cwd=TREE, check=True)
    else:
        assert commit == f"v{__version__}"


def test_nothing_installed_names_the_checkout(staged: Path) -> None:
    for path in staged.rglob("*"):
        if path.is_file():
            assert str(TREE).encode() not in path.read_bytes(), path


@pytest.mark.parametrize("command", [["--version"], ["features"], ["--help"], ["state", "x"]], ids=" ".join)
def test_commands_open_nothing_elsewhere(staged: Path, command: list[str]) -> None:
    calls = Launcher(staged / "bin/pyrunc", "static").traced(*command, calls="open,openat,openat2,execve,execveat")
    assert calls and str(TREE) not in calls and sys.prefix not in calls


def test_a_container_runs_from_anywhere_with_an_empty_environment(installed: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sh", "-c", "echo here; exit 3"]}))
    outcome = installed.run(name, bundle, cwd=Path("/"), env={})
    assert (outcome.status, outcome.stdout) == (3, "here\n"), outcome.stderr


def test_tools_find_their_libraries_and_data(staged: Path, place: Path) -> None:
    """check takes jsonschema and the schemas: neither is frozen, both come from PREFIX/lib/pyrunc."""
    bundle = bundles.bundle(place / "bundle", docker_like(hostname=7))
    done = Launcher(staged / "bin/pyrunc", "static")("check", "--bundle", str(bundle))
    assert done.returncode == 1 and "hostname" in done.stdout + done.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment after `pip install .` of a clone, without network: what it would fetch is here already."""
    place = tmp_path_factory.mktemp("pip")
    clone = place / "clone"
    shutil.copytree(TREE, clone, ignore=shutil.ignore_patterns(".venv", ".git", "build", "*.so", "__pycache__", "demo"),
                    symlinks=True)
    base = Path(sys.executable).resolve()
    subprocess.run([base, "-m", "venv", place / "venv"], check=True)
    site = Path(sysconfig.get_path("platlib", vars={"base": str(place / "venv"), "platbase": str(place / "venv")}))
    (site / "here.pth").write_text(sysconfig.get_path("platlib") + "\n")
    subprocess.run([place / "venv/bin/python", "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-index",
                    "--no-deps", clone], check=True)
    shutil.rmtree(clone)
    for backend in Path(sysconfig.get_path("platlib")).glob("_cffi_backend*.so"):
        shutil.copy(backend, site)      # a dependency, which pip would have installed
    return place / "venv"


def test_pip_install_puts_a_working_program_on_the_path(
        environment: Path, private_world: None, place: Path, name: str) -> None:
    done = subprocess.run(["pyrunc", "--version"], env={"PATH": str(environment / "bin")}, cwd="/", capture_output=True,
                          text=True, check=True)
    assert done.stdout.startswith("runc version ")
    runtime = Runtime(str(environment / "bin/pyrunc"), place / "state")
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sh", "-c", "echo here; exit 3"]}))
    outcome = runtime.run(name, bundle, cwd=Path("/"), env={})
    assert (outcome.status, outcome.stdout) == (3, "here\n"), outcome.stderr


def test_pip_installs_what_check_reads(environment: Path) -> None:
    found = {path.name for path in environment.rglob("pyrunc/config/schemas/*.json")}
    assert found == {path.name for path in (TREE / "schemas").glob("*.json")} != set()


def test_python_m_pyrunc_is_the_same_command_line(place: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pyrunc", "--root", place, "state", "x"], cwd="/", capture_output=True,
                          text=True, check=False)
    program = Launcher(Path(sys.prefix, "bin/pyrunc"), "")("--root", str(place), "state", "x")
    assert done.returncode == program.returncode == 1
    assert done.stderr.partition(" level=")[2] == program.stderr.partition(" level=")[2] != ""


def test_python_m_pyrunc_imports_nothing_from_the_working_directory(tmp_path: Path) -> None:
    bundles.bundle(tmp_path, docker_like(hostname=7))
    argv = [sys.executable, "-m", "pyrunc", "check"]
    expected = subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False)
    assert b"hostname" in expected.stdout + expected.stderr
    (tmp_path / "jsonschema.py").write_text("raise SystemExit(99)")
    found = subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (expected.returncode, expected.stdout, expected.stderr)
