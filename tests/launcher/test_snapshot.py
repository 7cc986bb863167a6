"""A start from a snapshot: it is taken where it fits, is left where it does not, and holds nothing of who made it."""
from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyrunc._native.build_launcher import HUGE_PAGE, WRITES, write_snapshot
from pyrunc._native.lay_out import HEADER, TOUCHED, like_an_engines
from pyrunc._native.try_snapshot import Program
from tests import bundles
from tests.bench import private
from tests.bundles import docker_like
from tests.runtimes import Runtime

from .conftest import TREE, Launcher, build, toy_package

pytestmark = pytest.mark.timeout(600)       # launchers are built here
SECRET = "a-secret-of-the-build-2718281828"


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Launcher, Path]:
    """A toy with a snapshot, built amid secrets, and the same program without."""
    place = tmp_path_factory.mktemp("snapshot")
    package = toy_package(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", SECRET)
        toy = build(package.parent, place / "bin/pyrunc", place / "work", "snapshot")
    return toy, place / "work/static/plain"


@pytest.fixture
def toy(toys: tuple[Launcher, Path]) -> Launcher:
    return toys[0]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    place = tmp_path_factory.mktemp("ours")
    (place / "lib").mkdir()
    (place / "lib/pyrunc").symlink_to(sysconfig.get_path("platlib"))
    return build(TREE, place / "bin/pyrunc", TREE / "build/launcher", "snapshot")


def beside(program: Launcher, name: str) -> Launcher:
    """A copy that finds the same library."""
    path = program.path.with_name(name)
    shutil.copy2(program.path, path)
    return Launcher(path, program.kind)


def preloaded(directory: Path, constructor: str) -> dict[str, str]:
    """An environment in which code runs in the process before main."""
    source, library = directory / "early.c", directory / "early.so"
    source.write_text("#define _GNU_SOURCE\n#include <pthread.h>\n#include <sys/mman.h>\n"
                      f"__attribute__((constructor)) static void early(void) {{ {constructor} }}\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}


OCCUPIED = "mmap((void *)0x1000000000, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);"
KEYS = "pthread_key_t key; pthread_key_create(&key, 0);"


def longer(program: Launcher) -> None:
    with program.path.open("ab") as file:
        file.write(b"x")


def stripped(program: Launcher) -> None:
    subprocess.run(["strip", program.path], check=True)


@pytest.mark.parametrize(("change", "constructor", "why"), [
    (longer, "", "the program's file is not as it was built"),
    (stripped, "", "the program's file is not as it was built"),
    (None, OCCUPIED, "there is no room at its address"),
    (None, KEYS, "the C library has begun otherwise"),
], ids=["longer", "stripped", "occupied", "keys"])
def test_where_it_does_not_fit_the_start_is_made_anew(
        change: Callable[[Launcher], None] | None, constructor: str, why: str, toy: Launcher, tmp_path: Path) -> None:
    program = beside(toy, "changed")
    if change:
        change(program)
    env = preloaded(tmp_path, constructor) if constructor else {}
    done = program("start", env=env)
    assert done.stdout == f"quick, 2 ms longer: the snapshot does not fit: {why}\n", done.stderr
    assert json.loads(program("whole", stdin="ü", env=env).stdout)["in"] == "ü"
    assert program("start", env=env).stdout != toy("start").stdout == "snapshot\n"


@pytest.mark.parametrize("personality", ["--addr-no-randomize", "--addr-compat-layout", "--read-implies-exec"])
def test_it_fits_whatever_the_layout_of_memory(personality: str, toy: Launcher) -> None:
    done = subprocess.run(["setarch", personality, toy.path, "start"], capture_output=True, text=True, check=True)
    assert done.stdout == "snapshot\n"


def test_a_limit_of_memory_that_leaves_no_room(toy: Launcher) -> None:
    """It fits, or the start is made anew, or that cannot be done either: never half a snapshot."""
    seen = set()
    for size in range(4 << 20, 40 << 20, 1 << 20):
        limit = lambda size=size: resource.setrlimit(resource.RLIMIT_AS, (size, size))  # noqa: E731
        done = subprocess.run([toy.path, "start"], capture_output=True, text=True, preexec_fn=limit, check=False)
        seen.add(done.stdout)
        assert done.stdout or done.returncode in (1, 127) or done.returncode < 0, done
    assert "snapshot\n" in seen


def test_a_container_lives_without_its_snapshot_as_well(ours: Launcher, private_world: None, place: Path,
                                                        name: str) -> None:
    changed = beside(ours, "changed")
    longer(changed)
    for program in (ours, changed):
        runtime = Runtime(str(program.path), place / "state")
        assert ("start: snapshot\n" in runtime.ok("--version").stdout) == (program is ours)
        bundle = bundles.bundle(place / program.path.name, docker_like(process={"args": ["sh", "-c", "exit 3"]}))
        assert runtime.run(name, bundle).status == 3


def written(out: Path, *command: str | Path, rest: Sequence[str | Path] = (), **more: Any) -> None:
    """Let a program write itself down to out. Now and then it refuses, so it is asked as often as by the build."""
    for _ in range(WRITES):
        out.unlink(missing_ok=True)
        done = subprocess.run([*command, "--make-snapshot", out, *rest], capture_output=True, text=True, check=False,
                              **more)
        if not done.returncode:
            return
    raise AssertionError(done.stderr)


def test_it_holds_nothing_of_who_made_it(toys: tuple[Launcher, Path], tmp_path: Path) -> None:
    toy, plain = toys
    again = tmp_path / "again"
    env = {"SECRET": SECRET, "HOME": f"/{SECRET}", "TZ": SECRET, "LANG": SECRET}
    (tmp_path / SECRET).mkdir()
    named = ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', SECRET]       # this machine's may be short
    written(again, *named, plain, env={**env, "PATH": os.environ["PATH"]}, cwd=tmp_path / SECRET)
    size = plain.stat().st_size
    for path in (toy.path, again):
        held = path.read_bytes()
        assert len(held) > size + (1 << 20)
        assert SECRET.encode() not in held
        for word in (b"/proc/self/maps\n", str(plain.parent).encode()):
            assert word not in held[size:], word


def test_each_has_a_hash_secret_of_its_own(toys: tuple[Launcher, Path], tmp_path: Path) -> None:
    toy, plain = toys
    again = toy.path.with_name("again")
    written(again, plain)
    hashes = [Launcher(path, "snapshot")("hashed").stdout for path in (toy.path, toy.path, again)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_is_of_the_process_is_made_anew(toy: Launcher) -> None:
    ignoring = ["python3", "-c", "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
                "signal.signal(signal.SIGINT, signal.SIG_DFL); "    # a shell's background job ignores it
                "os.execve(sys.argv[1], sys.argv[1:], {'TZ': 'XYZ-3', 'B': '1', 'A': '2'})",
                str(toy.path), "of_process"]
    done = subprocess.run(ignoring, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "True True [True, False, True] ('XYZ', 'XYZ') -10800 ['of_process'] ['of_process'] [b'A', b'B', b'TZ']",
        "from a thread"]


def test_nothing_is_mapped_or_read_but_the_program_itself(toy: Launcher) -> None:
    calls = toy.traced("start", calls="openat,open,pread64,mmap")
    assert calls.count('"/proc/self/exe"') == 1
    assert "0x1000000000" in calls


def copied_pages(program: Path, *words: str) -> int:
    """The fewest page faults of ten runs."""
    faults = []
    for _ in range(10):
        process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        faults.append(os.wait4(process.pid, 0)[2].ru_minflt)
        process.returncode = 0
    return min(faults)


def test_what_commands_write_to_or_read_lies_together(ours: Launcher, tmp_path: Path) -> None:
    apart = beside(ours, "apart").path
    apart.unlink()
    written(apart, TREE / "build/launcher/static/plain")
    # 75 pages fewer were seen, of some 330 of which most are the program's own in any layout, and of `list` 114: all of
    # that is known, also what it only reads (79 with CPython 3.14). No layout knows of failures.
    of_list = 85 if sys.version_info < (3, 14) else 60
    for words, fewer in ((["state", "none"], 30), (["delete", "none"], 30), (["list"], of_list)):
        words = ["--root", str(tmp_path), *words]
        assert copied_pages(ours.path, *words) <= copied_pages(apart, *words) - fewer


@pytest.mark.parametrize("name", ["_PyRuntime", "PyDict_Type", "snapshot_hot"])
def test_one_huge_page_has_what_commands_write_to(name: str, ours: Launcher) -> None:
    listing = subprocess.run(["nm", "-S", ours.path], capture_output=True, text=True, check=True).stdout
    symbols = {words[-1]: [int(word, 16) for word in words[:2]] for words in map(str.split, listing.splitlines())
               if len(words) == 4}
    page = (sum(symbols["snapshot_hot"]) - 1) // HUGE_PAGE
    assert symbols[name][0] // HUGE_PAGE == (sum(symbols[name]) - 1) // HUGE_PAGE == page
    ends = {words[-1]: int(words[0], 16) for words in map(str.split, listing.splitlines()) if len(words) == 3}
    assert ends["__data_start"] <= page * HUGE_PAGE and (page + 1) * HUGE_PAGE <= ends["_end"]     # the program's own


def test_what_commands_and_an_init_that_waits_have_to_themselves(ours: Launcher, private_world: None, place: Path,
                                                                 name: str) -> None:
    """In KiB, at the end of a command. Of a create, 2048 are the huge page."""
    runtime = Runtime(str(ours.path), place / "state")
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    words = ["create", "--pid-file", str(place / "pid"), "--bundle", str(bundle), name]
    null = os.open(os.devnull, os.O_RDWR)
    try:
        assert 100 < private.at_end(runtime.argv(*words), null) <= 3 << 10
        init = (place / "pid").read_text()
        assert 0 < private.of(init) <= 450
        # A word that the last stage writes to would be 2 MiB.
        assert " hg" not in re.sub(r"(?m)^(?!VmFlags).*$", "", Path(f"/proc/{init}/smaps").read_text())
        assert 100 < private.at_end(runtime.argv("state", name), null) <= 1 << 10
    finally:
        os.close(null)
        runtime("delete", "--force", name)


def test_the_container_that_a_layout_is_learnt_from_lives(ours: Launcher, private_world: None, place: Path) -> None:
    """One of an engine's kind, with a filter. What fails in a build tells of fewer objects, and of nothing else."""
    program = Program(ours.path, place / "engine", like_an_engines)
    bundle = str(program.bundle)
    try:
        assert program("create", "--bundle", bundle, "made") == (0, "")
        assert program("start", "made") == (0, "")
        assert program("exec", "made", "/bin/sh", "-c", "exit 3") == (3, "")
    finally:
        assert program("delete", "--force", "made") == (0, "")
    assert program("run", "--bundle", bundle, "--config", str(program.short()), "run") == (3, "")


@contextmanager
def changed_source(program: Launcher) -> Iterator[None]:
    """A source of the toy is not as it was frozen."""
    source = program.path.parent.parent / "lib/pyrunc/pyrunc/cli/main.py"
    now = source.stat()
    os.utime(source, ns=(now.st_atime_ns, now.st_mtime_ns + 1))
    try:
        yield
    finally:
        os.utime(source, ns=(now.st_atime_ns, now.st_mtime_ns))


def test_sources_that_have_changed_are_taken_and_told_of(toy: Launcher) -> None:
    with changed_source(toy):
        assert toy("start").stdout == "quick, 40 ms longer: a source has changed since it was built\n"
    assert toy("start").stdout == "snapshot\n"


def test_a_spread_program_without_its_snapshot_tells_no_layout(toys: tuple[Launcher, Path], toy: Launcher,
                                                               tmp_path: Path) -> None:
    """It was a segmentation fault: what it would look at is not there."""
    spread = Launcher(toy.path.with_name("spread"), "snapshot")
    written(spread.path, toys[1], rest=["--spread"])

    def told() -> tuple[int, str, int]:
        script = f'exec {TOUCHED}>"$1"; exec "$0" start'
        done = subprocess.run(["bash", "-c", script, spread.path, tmp_path / "told"], env={}, capture_output=True,
                              text=True, check=False)
        return done.returncode, done.stderr, (tmp_path / "told").stat().st_size
    status, said, size = told()
    assert (status, said) == (0, "") and size
    nothing = (1, "pyrunc: which of its objects a command writes to cannot be told: "
                  "it has not started from the snapshot\n", 0)
    with changed_source(spread):
        assert told() == nothing
    longer(spread)
    assert told() == nothing
    assert spread("start").returncode == 0          # whom nobody asks


def test_a_layout_of_other_sources_costs_time_only(toys: tuple[Launcher, Path], toy: Launcher, tmp_path: Path) -> None:
    zones = len(HEADER.unpack(bytes(HEADER.size)))
    for layout in (b"", b"short", HEADER.pack(*[4096] * zones) + bytes(n % 256 for n in range(100_000))):
        (tmp_path / "layout").write_bytes(layout)
        other = toy.path.with_name("other")
        if len(layout) < HEADER.size:
            done = subprocess.run([toys[1], "--make-snapshot", other, tmp_path / "layout"], capture_output=True,
                                  text=True, check=False)
            assert done.returncode == 1 and str(tmp_path) in done.stderr
        else:
            written(other, toys[1], rest=[tmp_path / "layout"])
            assert Launcher(other, "snapshot")("start").stdout == "snapshot\n"


@pytest.mark.parametrize("fails", [1, WRITES - 1, WRITES])
def test_what_only_looks_like_an_address_is_no_reason_to_have_none(
        fails: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the words that a program writes down one looks like an address of its stack in one of some hundred runs."""
    program, out, runs = tmp_path / "plain", tmp_path / "snapshot", tmp_path / "runs"
    program.write_text(f"""#!/bin/sh
        echo run >>{runs}
        cat >"$2"                       # the secret
        test $(wc -l <{runs}) -gt {fails} || {{ echo "holds an address of this process" >&2; exit 1; }}
        echo " $1 $3" >>"$2"
        """)
    program.chmod(0o700)
    if fails < WRITES:
        write_snapshot(program, out, "layout", b"secret")
        assert out.read_text() == "secret --make-snapshot layout\n"
        assert capsys.readouterr().err == ""
    else:
        with pytest.raises(subprocess.CalledProcessError):
            write_snapshot(program, out, "layout", b"secret")
        assert capsys.readouterr().err == "holds an address of this process\n"
    assert len(runs.read_text().splitlines()) == min(fails + 1, WRITES)


def test_only_a_program_without_one_can_make_one(toy: Launcher, tmp_path: Path) -> None:
    done = toy("--make-snapshot", str(tmp_path / "more"))
    assert done.returncode == 1 and "of a program without one only" in done.stderr
    assert not (tmp_path / "more").exists()
