"""The interpreter inside the launcher: a quick start that nobody notices but the clock, and a defined end."""
from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Launcher

pytestmark = pytest.mark.timeout(600)       # launchers are built here

#: What a complete start of CPython imports, here and now, of those that a start of its core does not.
COMPLETE = {"encodings", "codecs", "io", "abc", "_frozen_importlib_external"} & set(subprocess.run(
    [sys.executable, "-I", "-S", "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True,
    check=True).stdout.split())


def quick(toy: Launcher) -> bool:
    """Whether this launcher starts the core only: every static one has to, on all that pyrunc supports."""
    return toy.kind in ("snapshot", "static")


def test_what_is_complete_is_known() -> None:
    assert {"encodings", "codecs", "_frozen_importlib_external"} <= COMPLETE    # io and abc: until CPython 3.13


def test_the_start_is_told(toy: Launcher) -> None:
    assert toy("start").stdout == {
        "snapshot": "snapshot\n", "static": "quick, 2 ms longer: built without a snapshot\n",
        "shared": "whole, 3 ms longer: no static libpython could be linked\n",
        "exec": "of the interpreter, 5 ms longer: no libpython could be linked\n"}[toy.kind]


def test_commands_start_with_the_core_only(toy: Launcher) -> None:
    held = set(toy("modules").stdout.split())
    assert held & COMPLETE == (set() if quick(toy) else COMPLETE)
    assert "site" not in held
    done = toy("held_after_ordinary_work").stdout.split("\n")
    assert done[0].startswith("ü False 2 ")
    assert set(done[1].split()) & COMPLETE == (set() if quick(toy) else COMPLETE)
    done = toy("extension").stdout.split("\n")
    assert done[0].startswith('4 "x" ') and (done[0].endswith("built-in") or not quick(toy))
    assert set(done[1].split()) & COMPLETE == (set() if quick(toy) else COMPLETE)


def test_a_core_start_opens_no_file_of_python(toy: Launcher) -> None:
    opened = toy.traced("echo", "x", calls="open,openat,openat2,stat,newfstatat,access")
    assert (f"/lib/python{sys.version_info.major}" in opened) == (toy.kind == "exec")
    assert "pyvenv.cfg" not in opened or not quick(toy)


def test_a_whole_start_believes_no_file_around_the_interpreter(toy: Launcher) -> None:
    """CPython 3.14 looks for a pyvenv.cfg around the executable that it is told of, whatever else it is told."""
    opened = toy.traced("whole", calls="open,openat,openat2")
    asked = {line.split('"')[1] for line in opened.splitlines() if "pyvenv.cfg" in line}
    assert not asked or toy.kind == "exec" or asked <= {"/proc/pyrunc/pyvenv.cfg", "/proc/pyrunc/bin/pyvenv.cfg"}
    assert toy("interpreter").stdout == f"{Path(sys.executable).resolve()}\n"


def test_hash_functions(toy: Launcher) -> None:
    """Debian's libpython.a of CPython 3.13 and later lacks some: OpenSSL has them, and nobody complains."""
    done = toy("hashes")
    assert done.stdout.split()[:-1] == ["ba7816bf8f01cfea", "900150983cd24fb0", "a9993e364706816a", "ddaf35a193617aba"]
    assert float(done.stdout.split()[-1]) == random.Random("a word").random()       # seeded by SHA-512
    assert done.stderr == ""


#: What is left of math is made of these, or needs no library.
MATHEMATICS = ("acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "erfc", "exp", "expm1",
               "floor", "log", "log10", "log1p", "log2", "sin", "sinh", "sqrt", "tan", "tanh", "gamma", "lgamma",
               "trunc", "atan2", "fmod", "hypot", "pow", "ldexp", "copysign", "remainder", "nextafter", "cbrt", "exp2")


def test_mathematics_is_loaded_when_it_is_called(toy: Launcher) -> None:
    """No command needs it at once (libm.c); when it is asked for it is the C library's, to the last bit."""
    names = [name for name in MATHEMATICS if hasattr(math, name)]
    script = f"import runpy; runpy.run_path({str(Path(__file__).parent / 'toy/main.py')!r})['mathematics'](*{names})"
    here = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert toy("mathematics", *names).stdout == here
    assert len(here.splitlines()) == len(names) * 16 + 1
    assert ("libm.so" in toy.traced("echo", "x", calls="open,openat")) != quick(toy)
    assert "libm.so" in toy.traced("mathematics", "pow", calls="open,openat")


def test_nothing_is_loaded_for_a_container(toy: Launcher) -> None:
    """A process that was cloned for one ends instead; what converts times is there."""
    done = toy("cloned")
    if quick(toy):
        assert done.stdout == "slept\n1\n"
        assert done.stderr == "pyrunc: pow() is needed where no library may be loaded\n"
    else:
        assert (done.stdout, done.stderr) == ("slept\nTrue\n0\n", "")


def test_what_the_core_lacks_comes_when_asked_for(toy: Launcher) -> None:
    done = toy("whole", stdin="ü")
    assert json.loads(done.stdout) == {"in": "ü", "idna": "xn--bcher-kva", "os": True}, done.stderr
    assert toy("opened", "/proc/self/comm").stdout.startswith("python3" if toy.kind == "exec" else "pyrunc")
    assert toy("of_sys").stdout == "of_sys pyrunc False none\n"


def test_text_that_is_none(toy: Launcher) -> None:
    done = toy("undecodable")
    assert done.stderr == "" and done.returncode == 0
    *said, held, by_codec, unknown = done.stdout.splitlines()
    assert said == [
        "decode UnicodeDecodeError", "encode UnicodeEncodeError", "escape '\\udcff'", "escape back b'\\xff'",
        "replace '\\ufffd'", "ascii b'\\\\xfc'", "pass b'\\xed\\xb3\\xbf'", "digits ValueError",
        "no handler LookupError"]
    assert held == ("" if sys.version_info >= (3, 13) and quick(toy) else "codecs encodings")
    assert by_codec == "b'xn--bcher-kva' b'\\xfc' True"
    assert unknown == "unknown encoding: nonsense"


def test_imports_do_what_they_do_elsewhere(toy: Launcher) -> None:
    assert toy("imports").stdout.split("\n") == [
        "3 3 True True True", "2.0 True", "not today False", "not today False", "True ModuleNotFoundError", ""]


def test_arguments_are_bytes(toy: Launcher) -> None:
    words: list[bytes] = ["ü".encode(), b"\xff\xfe", b"", b"a b"]
    for locale in ({}, {"LC_ALL": "C"}, {"LANG": "C.UTF-8"}, {"LC_ALL": "nonsense"}):
        done = subprocess.run([toy.path, b"echo", *words], env=locale, capture_output=True, check=True)
        assert done.stdout == b"\0".join(words), locale


def test_the_environment_is_the_callers(toy: Launcher) -> None:
    env = {"HOME": "/nowhere", "PYTHONHOME": "/nowhere", "X": "y"}
    seen = dict(line.split("=", 1) for line in toy("environment", env=env).stdout.split("\n"))
    if toy.kind == "exec":
        del env["PYTHONHOME"]           # dropped, so that it cannot matter
        seen.pop("LC_CTYPE", None)      # CPython's program puts it there before it looks at any option
    assert seen == env


def test_exit_statuses(toy: Launcher) -> None:
    assert [toy("status", str(code)).returncode for code in (0, 1, 7, 255)] == [0, 1, 7, 255]


def test_an_exception_that_main_lets_through_is_told(toy: Launcher) -> None:
    done = toy("failed")
    assert done.returncode == 1 and "RuntimeError: as planned" in done.stderr


def test_output_that_cannot_be_written_is_a_failure(toy: Launcher) -> None:
    for case in ("modules", "whole"):
        with open("/dev/full", "w") as full:
            done = subprocess.run([toy.path, case], env={}, stdin=subprocess.DEVNULL, stdout=full,
                                  stderr=subprocess.PIPE, check=False)
        assert done.returncode != 0, case


def test_signals(toy: Launcher) -> None:
    assert toy("handled").stdout == "True True\n"
    # The runtime waits for its children, so it must not inherit that somebody ignored SIGCHLD.
    ignoring = ["python3", "-c", "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
                "os.execv(sys.argv[1], sys.argv[1:])", str(toy.path), "dispositions"]
    ignored = int(subprocess.run(ignoring, capture_output=True, text=True, check=True).stdout.split()[-1], 16)
    assert not ignored & 1 << 16        # SIGCHLD is 17


# CVE-2016-9962: nobody in a container may trace, or read the memory of, the runtime that is about to enter it.
def test_root_cannot_be_dumped(toy: Launcher) -> None:
    assert os.geteuid() == 0
    assert toy("dumpable").stdout == "0\n"


def test_a_forked_child_imports_nothing_from_files(toy: Launcher) -> None:
    # In the other kinds it is the engine's audit hook that sees to it.
    assert toy("forked").returncode == (3 if quick(toy) else 1)


def test_memory_comes_in_huge_pages(toy: Launcher) -> None:
    """From a snapshot, of a command that may make a container: what it writes to."""
    allowed = "[never]" not in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    if toy.kind != "exec":          # there it is the interpreter's own malloc
        assert (int(toy("huge_pages").stdout) >= 2048) == allowed


def test_code_names_no_file_that_exists(toy: Launcher) -> None:
    name, file, doc = toy("where").stdout.rstrip().split(" ", 2)
    if toy.kind != "exec":
        assert (name, doc) == ("<pyrunc>/cli/main.py", "None")
    assert file == str(toy.path.parent.parent / "lib/pyrunc/pyrunc/cli/main.py")    # data files lie beside it


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]], ids=str)
def test_closed_standard_descriptors_become_dev_null(toy: Launcher, closed: list[int]) -> None:
    close = "import os, sys\nfor fd in eval(sys.argv[1]): os.close(fd)\nos.execv(sys.argv[2], sys.argv[2:])"
    report, out = os.pipe()
    subprocess.run(["python3", "-c", close, repr(closed), toy.path, "descriptors", str(out)], pass_fds=[out],
                   stdin=subprocess.PIPE, capture_output=True, check=True)
    os.close(out)
    with open(report) as text:
        seen = text.read().split()
    assert ["/dev/null" if fd in closed else "pipe" for fd in range(3)] == [name.split(":")[0] for name in seen]
