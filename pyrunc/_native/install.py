"""Copies what `make build` built to where engines find it: PREFIX/bin/pyrunc and PREFIX/lib/pyrunc, and the manual.

PREFIX/bin/runciter beside it is a script of this Python. What it needs besides (aiohttp, prometheus-client) is for that
Python to have.

    python pyrunc/_native/install.py PREFIX [DESTDIR]

The program there needs no checkout, virtual environment, working directory, PATH, HOME or locale: it looks for its
library beside itself, and that has every dependency of pyproject.toml with it, from this environment. What was
there before is replaced in one step each, so that an engine never meets half an installation.
"""
from __future__ import annotations

import compileall
import py_compile
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = Path(__file__).resolve().parent.parent.parent
#: The same program by the name that containerd looks for.
SHIM = "containerd-shim-pyrunc-v2"
#: cffi and pycparser build modules; of them, only this is used at run time.
BACKEND = "_cffi_backend"


def needed(requirements: list[str]) -> dict[str, Distribution]:
    """The distributions and all that they require here, by normalised name. PackageNotFoundError."""
    found: dict[str, Distribution] = {}
    while requirements:
        requirement = requirements.pop()
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")
        if name in found or "extra ==" in requirement:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            if ";" not in requirement:      # otherwise it is for another Python or system
                raise
        else:
            requirements += found[name].requires or []
    return found


def files(dist: Distribution) -> Iterator[Path]:
    """The files of a distribution, from the directory it is installed in."""
    if dist.read_text("RECORD"):
        yield from map(Path, dist.files or ())
    else:                                       # as setup.py installed it, without a wheel
        for line in (dist.read_text("installed-files.txt") or "").split("\n"):
            if line.startswith("../"):          # from its .egg-info
                yield Path(line[3:])


def copy_library(library: Path) -> None:
    """pyrunc with its native modules, and what it depends on, without programs and tests."""
    unused = shutil.ignore_patterns("__pycache__", "*.c", "*.h", "*.o")
    shutil.copytree(TREE / "pyrunc", library / "pyrunc", ignore=unused)
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    for name, dist in needed(list(project["dependencies"])).items():
        for file in files(dist):
            if file.parts[0] != ".." and not {"__pycache__", "tests"} & set(file.parts) and (
                    name not in ("cffi", "pycparser") or file.name.startswith(BACKEND)):
                (library / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(dist.locate_file(file)), library / file)
    subprocess.run(["strip", "--strip-debug", *(library / "pyrunc").rglob("*.so")], check=True)


def script(library: Path) -> str:
    """runciter: isolated from the caller's environment and directory, as whoever runs it is root."""
    return (f"#!{Path(sys._base_executable).resolve()} -I\n"  # type: ignore[attr-defined]
            f"import sys\nsys.path.insert(0, {str(library)!r})\n"
            "from pyrunc.serve.command import main\nsys.exit(main())\n")


def write_commit(package: Path) -> str:
    """pyrunc/built.py, from which --version tells the commit: as git describes it, when this is a checkout. The commit
    is frozen into the program, too."""
    try:
        told = subprocess.run(["git", "-C", TREE, "describe", "--always", "--dirty", "--long"], capture_output=True,
                              text=True, check=True).stdout.strip() if (TREE / ".git").exists() else ""
    except (OSError, subprocess.CalledProcessError):
        told = ""
    if told:
        (package / "built.py").write_text(f'"""Written when it was installed."""\nCOMMIT = "{told}"\n')
    return told


def install(prefix: Path, destination: Path) -> None:
    """Install for use at prefix, staged below destination ("/" for none)."""
    root = destination / prefix.relative_to("/")
    library, fresh = root / "lib/pyrunc", root / "lib/.pyrunc.new"
    old = root / "lib/.pyrunc.old"
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    copy_library(fresh)
    commit = write_commit(fresh / "pyrunc")
    # Never compared with the sources again: nobody edits them here, and it saves a look at each.
    compileall.compile_dir(fresh, quiet=1, stripdir=fresh, prependdir=prefix / "lib/pyrunc",
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    if library.exists():
        library.rename(old)
    fresh.rename(library)
    shutil.rmtree(old, ignore_errors=True)
    launcher = runpy.run_path(str(TREE / "pyrunc/_native/build_launcher.py"))
    kind = launcher["build"](root / "bin/pyrunc", TREE / "build/launcher-installed", commit=commit)
    shim = root / "bin" / SHIM
    staged = shim.with_name(f".{SHIM}.new")
    staged.unlink(missing_ok=True)
    staged.hardlink_to(root / "bin/pyrunc")
    staged.replace(shim)
    runciter = root / "bin/.runciter.new"
    runciter.write_text(script(prefix / "lib/pyrunc"))
    runciter.chmod(0o755)
    runciter.replace(root / "bin/runciter")
    manual = root / "share/man/man8"
    manual.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(TREE / "docs/pyrunc.8", manual / "pyrunc.8")
    print(f"installed {root / 'bin/pyrunc'} ({kind}; start: {launcher['start_of'](kind)}) and {library}")


if __name__ == "__main__":
    install(Path(sys.argv[1]), Path(sys.argv[2] if sys.argv[2:] else "/"))
