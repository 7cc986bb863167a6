"""What surrounds the program decides nothing: not the environment, the working directory, HOME, PATH or the locale."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Launcher

pytestmark = pytest.mark.timeout(600)       # launchers are built here

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
#: A command that needs the interpreter's core only, and two that complete its start.
COMMANDS = (["state", "no-such-container"], ["--version"], ["--help"])
#: Every variable that CPython 3.11 to 3.14 knows; %s is a directory full of traps. Some values stop an
#: interpreter that reads them.
VARIABLES = {
    "PYTHONASYNCIODEBUG": "1", "PYTHONBREAKPOINT": "trap.fire", "PYTHONCASEOK": "1", "PYTHONCOERCECLOCALE": "warn",
    "PYTHONCPUCOUNT": "nonsense", "PYTHONDEBUG": "3", "PYTHONDEVMODE": "1", "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONDUMPREFS": "1", "PYTHONEXECUTABLE": "%s/bin/python", "PYTHONFAULTHANDLER": "1", "PYTHONFROZENMODULES": "off",
    "PYTHONHASHSEED": "nonsense", "PYTHONHOME": "%s", "PYTHONINSPECT": "1", "PYTHONINTMAXSTRDIGITS": "nonsense",
    "PYTHONIOENCODING": "nonsense", "PYTHONLEGACYWINDOWSSTDIO": "1", "PYTHONMALLOC": "nonsense",
    "PYTHONMALLOCSTATS": "1", "PYTHONNODEBUGRANGES": "1", "PYTHONNOUSERSITE": "", "PYTHONOPTIMIZE": "2",
    "PYTHONPATH": "%s", "PYTHONPERFSUPPORT": "1", "PYTHONPLATLIBDIR": "%s", "PYTHONPROFILEIMPORTTIME": "1",
    "PYTHONPYCACHEPREFIX": "%s", "PYTHONSAFEPATH": "", "PYTHONSTARTUP": "%s/trap.py", "PYTHONTRACEMALLOC": "nonsense",
    "PYTHONUNBUFFERED": "1", "PYTHONUSERBASE": "%s", "PYTHONUTF8": "nonsense", "PYTHONVERBOSE": "3",
    "PYTHONWARNDEFAULTENCODING": "1", "PYTHONWARNINGS": "error", "PYTHON_GIL": "nonsense",
    "__PYVENV_LAUNCHER__": "%s/python",
}
#: Modules that the program, or CPython when it starts, imports.
TRAPPED = ("_cffi_backend", "_collections_abc", "_json", "abc", "codecs", "encodings/__init__", "encodings/utf_8", "io",
           "json", "os", "posixpath", "pyrunc/__init__", "pyrunc/cli/main", "site", "sitecustomize", "stat", "trap",
           "usercustomize")


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose modules, when imported, leave the file `fired` in it and end the process with status 99."""
    place = tmp_path_factory.mktemp("traps")
    code = f"import posix; posix.open({str(place / 'fired')!r}, posix.O_CREAT | posix.O_WRONLY); posix._exit(99)\n"
    for root in (place, place / f"lib/{VERSION}", place / f"lib/{VERSION}/site-packages",
                 place / f".local/lib/{VERSION}/site-packages"):
        for name in TRAPPED:
            module = root / f"{name}.py"
            module.parent.mkdir(parents=True, exist_ok=True)
            module.write_text(code)
        (root / "trap.pth").write_text("import trap\n")
    (place / "pyvenv.cfg").write_text(f"home = {place}\ninclude-system-site-packages = true\n")
    (place / f"{VERSION.replace('.', '')}._pth").write_text(f"{place}\nimport site\n")
    return place


def outcome(launcher: Launcher, command: list[str], env: dict[str, str], cwd: Path) -> tuple[int, str, str]:
    """Status, output and error record without its time."""
    done = launcher("--root", "/run/pyrunc-no-such-root", *command, env=env, cwd=cwd)
    return done.returncode, done.stdout, done.stderr.partition(" level=")[2] or done.stderr


@pytest.fixture(scope="module", params=COMMANDS, ids=" ".join)
def command(request: pytest.FixtureRequest) -> list[str]:
    words: list[str] = request.param
    return words


def test_no_variable_and_no_file_decides_anything(launcher: Launcher, traps: Path, command: list[str]) -> None:
    expected = outcome(launcher, command, {}, Path("/"))
    assert expected[0] == (command[0] == "state") and expected[1] + expected[2]
    everything = {name: value.replace("%s", str(traps)) for name, value in VARIABLES.items()} | {"HOME": str(traps)}
    for env in ({}, everything, *({name: value} for name, value in everything.items() if "nonsense" in value)):
        assert outcome(launcher, command, env, traps) == expected, env
        assert not (traps / "fired").exists(), env


def test_traps_are_traps(traps: Path) -> None:
    for env, argv in (({"PYTHONPATH": str(traps)}, ["-c", "import json"]), ({"HOME": str(traps)}, ["-c", "pass"])):
        interpreter = Path(sys.executable).resolve()        # not that of a virtual environment
        assert subprocess.run([interpreter, *argv], env=env, check=False).returncode == 99
        (traps / "fired").unlink()


@pytest.mark.parametrize("env", [
    {"PATH": ""}, {"PATH": "/nonexistent"}, {"LANG": ""}, {"LC_ALL": "C"}, {"LC_ALL": "tr_TR.UTF-8"},
    {"LC_ALL": "C.ISO-8859-1"}, {"LANG": "nonsense"}, {"TZ": "../../etc/passwd"}, {"HOME": ""}, {"HOME": "/root"},
], ids=str)
def test_path_home_and_locale(launcher: Launcher, command: list[str], env: dict[str, str]) -> None:
    expected = outcome(launcher, command, {}, Path("/"))
    assert outcome(launcher, command, env, Path("/proc")) == expected


def test_a_removed_working_directory(launcher: Launcher, command: list[str], tmp_path: Path) -> None:
    expected = outcome(launcher, command, {}, Path("/"))
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    argv = ["sh", "-c", script, "sh", str(gone), str(launcher.path), "--root", "/run/pyrunc-no-such-root", *command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.partition(" level=")[2] or done.stderr) == expected


def test_it_may_have_any_name_and_be_linked_to(launcher: Launcher, command: list[str], tmp_path: Path) -> None:
    expected = outcome(launcher, command, {}, Path("/"))
    link = tmp_path / "runc"
    link.symlink_to(launcher.path)
    assert outcome(Launcher(link, launcher.kind), command, {}, Path("/")) == expected
