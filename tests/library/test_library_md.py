"""docs/library.md runs as it is printed: the program as root and as an ordinary user, the examples as doctests."""
from __future__ import annotations

import doctest
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pyrunc
from tests import bundles, runtimes

PAGE = Path(__file__).parent.parent.parent / "docs/library.md"
UID = 1000


def program(rootfs: Path) -> str:
    """The first program of the page, for this root file system."""
    first = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert first is not None
    return first[1].replace("= ROOT\n", f"= {str(rootfs)!r}\n")


def printed() -> str:
    """What the page says that it prints."""
    found = re.search(r"It prints:\n\n((?:    .*\n)+)", PAGE.read_text())
    assert found is not None
    return found[1].replace("    ", "")


def test_the_program_has_ten_lines() -> None:
    lines = [line for line in program(Path("/r")).splitlines() if line]
    assert len(lines) <= 10


@pytest.mark.parametrize("uid", [0, UID])
def test_the_program(private_world: None, place: Path, uid: int) -> None:
    installed = runtimes.for_anyone(runtimes.find())
    library = Path(installed).parent.parent / "lib/pyrunc"
    if not library.exists():                               # a checkout that anyone may read
        library = Path(pyrunc.__file__).parent.parent
    rootfs = bundles.busybox_root(place / "rootfs")
    run = place / "run"
    run.mkdir()
    os.chown(run, uid, uid)
    done = subprocess.run(
        ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", sys.executable if uid == 0 else
         "/usr/bin/python3", "-c", program(rootfs)], capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(library), "PYRUNC": installed, "XDG_RUNTIME_DIR": str(run)})
    assert (done.returncode, done.stdout, done.stderr) == (0, printed(), "")


def test_the_examples() -> None:
    outcome = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert outcome.attempted >= 6 and not outcome.failed


def test_every_public_name_is_there_and_on_the_page() -> None:
    for name in pyrunc.__all__:
        assert getattr(pyrunc, name) is not None
        assert name in PAGE.read_text() or name == "PIPE"
    assert set(pyrunc.__all__) == {name for names in pyrunc._PUBLIC.values() for name in names} | {"plan"}
    with pytest.raises(AttributeError):
        pyrunc.no_such_name  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("kind", [pyrunc.Runtime, pyrunc.Container, pyrunc.Process])
def test_docstrings_say_units_and_errors(kind: type) -> None:
    assert kind.__doc__
    for name, method in vars(kind).items():
        if name.startswith("_"):
            continue
        text = inspect.getdoc(method) or ""
        assert text, name
        if callable(method) and "timeout" in inspect.signature(method).parameters:
            assert "seconds" in text, name
        if name not in ("close", "ended", "containers", "call", "made"):      # these raise nothing of their own
            assert "Error" in text or name == "pid", name


@pytest.mark.parametrize("first", ["import pyrunc", "from pyrunc import plan", "import pyrunc.plan",
                                   "import pyrunc; pyrunc.spec()", "from pyrunc.plan import create"])
def test_the_name_plan_is_a_module_and_a_function(first: str) -> None:
    script = (f"{first}; import pyrunc; config = pyrunc.spec(); made = pyrunc.plan(config, bundle='/b'); "
              "print(made.command, len(made) > 50, made.ids == pyrunc.explain(config, '/b').ids, pyrunc.plan.__name__, "
              "callable(pyrunc.plan.create))")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "create True True pyrunc.plan True\n"


def test_importing_it_imports_nothing_else() -> None:
    """The command line must not pay for the library."""
    script = "import sys; import pyrunc; print(sorted(name for name in sys.modules if name.startswith('pyrunc')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "['pyrunc']\n"
