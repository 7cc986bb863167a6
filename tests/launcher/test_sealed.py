"""/proc/<init>/exe of a container leads to nothing that could be written: CVE-2019-5736, security.md 0.4."""
from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import bundles, world
from tests.bundles import docker_like
from tests.runtimes import Runtime

from .conftest import KINDS, TREE, Launcher, build

pytestmark = pytest.mark.timeout(600)       # launchers are built here

MS_RDONLY = 1
SEALS = 0xf     # F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE


@pytest.fixture(scope="module", params=["overlay", "memfd"])
def how(request: pytest.FixtureRequest) -> str:
    """overlayfs separates layers by colons: the path of a program that has one can only be copied to memory."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="module", params=KINDS)
def program(request: pytest.FixtureRequest, how: str, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    place = tmp_path_factory.mktemp(f"sealed-{request.param}")
    if how == "memfd":
        (place := place / "a:b").mkdir()
    (place / "lib").mkdir()
    (place / "lib/pyrunc").symlink_to(sysconfig.get_path("platlib"))
    return build(TREE, place / "bin/pyrunc", TREE / "build/launcher", request.param)


@pytest.fixture
def driven(program: Launcher, private_world: None, place: Path) -> Iterator[Runtime]:
    runtime = Runtime(str(program.path), place / "state")
    yield runtime
    for left in runtime.root.iterdir():
        runtime("delete", "--force", left.name)


def reached(program: Launcher) -> Path:
    """The file of the host that a container must not reach: in the exec kind it is the interpreter's."""
    return Path(sys.executable).resolve() if program.kind == "exec" else program.path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_exe_of_init_is_neither_the_hosts_file_nor_writable(
        program: Launcher, how: str, driven: Runtime, place: Path, name: str) -> None:
    host = reached(program)
    before = digest(host)
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    init = driven.create(name, bundle)
    exe = f"/proc/{init.pid}/exe"
    # A process of the container keeps it open until nobody executes it any more, then opens it for writing.
    kept = os.open(exe, os.O_RDONLY)
    if how == "memfd" and program.kind != "exec":
        assert fcntl.fcntl(kept, fcntl.F_GET_SEALS) & SEALS == SEALS
    else:
        assert os.readlink(exe) == f"/{host.name}"                  # of a mount that has no path
        assert os.fstatvfs(kept).f_flag & os.ST_RDONLY
    parts = [part for part in Path(f"/proc/{init.pid}/map_files").iterdir() if os.readlink(part).endswith(host.name)]
    assert parts or how == "memfd"
    for part in parts:                                              # what is mapped is no other way to the host's file
        with pytest.raises(OSError):
            os.open(part, os.O_RDWR)
    driven.ok("kill", name, "KILL")
    init.wait()
    driven.ok("delete", name)
    for attack in (lambda: os.pwrite(os.open(f"/proc/self/fd/{kept}", os.O_RDWR), b"overwritten", 0),
                   lambda: os.truncate(f"/proc/self/fd/{kept}", 0)):
        with pytest.raises(OSError):
            attack()
    os.close(kept)
    assert digest(host) == before


PYRUNC = Launcher(Path(sys.prefix, "bin/pyrunc"), "")
#: The image is executed, or the process makes it its own program.
SEALED = r" execveat\(.* = 0|PR_SET_MM_MAP, .* = 0"
SEALING = [line.split() for line in """
    create x
    run x
    exec x id
    restore x
    unheard-of
    --unheard-of state
    --root state run
    --root=state run
    -root /r --debug -log /dev/null create
    --log-format json --systemd-cgroup exec
    --trace=/dev/null --rootless auto run
    --cgroup-manager disabled create
    --debug=true run
    -- run
    - state
""".strip().split("\n")]
NOT_SEALING = [line.split() for line in """
    --version
    -v
    --help
    --root
    state run
    --root run state x
    -root=run start run
    --log /dev/null --debug kill x
    --trace /dev/null --rootless=true --cgroup-manager systemd explain
    delete x
    list
    features
    spec -h
""".strip().split("\n")]


@pytest.mark.parametrize("argv", SEALING + NOT_SEALING, ids=" ".join)
def test_commands_that_make_a_process_of_a_container_are_sealed(argv: list[str]) -> None:
    calls = PYRUNC.traced(*argv, calls="execve,execveat,prctl")
    assert len(re.findall(r" execve\(", calls)) == 1
    assert len(re.findall(SEALED, calls)) == (argv in SEALING)
    assert ('PR_SET_NAME, "pyrunc"' in calls) == (argv in SEALING)      # whatever it is called
    # Nobody may look at it from before it is sealed; an execve makes it dumpable again.
    assert re.search(r"PR_SET_DUMPABLE, SUID_DUMP_DISABLE\) = 0(.|\n)*(" + SEALED + ")", calls) or argv in NOT_SEALING
    assert "DUMPABLE" in calls.rpartition(" execveat(")[2] and "SUID_DUMP_USER" not in calls


def install_below(folder: Path) -> Path:
    """A copy of the program in its bin/, beside the package."""
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").mkdir()
    (folder / "lib/pyrunc").symlink_to(sysconfig.get_path("platlib"))
    return Path(shutil.copy(PYRUNC.path, folder / "bin/pyrunc"))


def calls_of_sealing(*inject: str) -> tuple[list[str], str]:
    """The system calls of a command that is sealed, and what it said in the end."""
    with tempfile.NamedTemporaryFile("r") as log:
        words: list[str | Path] = ["strace", "-qq", "-o", log.name, *inject, PYRUNC.path, "unheard-of"]
        done = subprocess.run(words, env={}, capture_output=True, text=True, check=False)
        return log.read().splitlines(), re.sub(r'time="[^"]*"', "", done.stderr)


def test_whatever_fails_nothing_is_done_unsealed() -> None:
    """Each system call of the sealing fails in turn, and then the image is executed, or it is over."""
    calls, said = calls_of_sealing()
    in_place = "start: snapshot" in PYRUNC("--version").stdout
    assert "unheard-of" in said and in_place == any(re.search(r"PR_SET_MM_MAP, .* = 0", call) for call in calls)
    counts: dict[str, int] = {}
    over: dict[tuple[str, int], str] = {}
    faults: list[tuple[str, int]] = []
    sealing = False
    for call in calls:
        name = call.partition("(")[0]
        counts[name] = counts.get(name, 0) + 1
        sealing |= "SUID_DUMP_DISABLE" in call
        source = '.py"' in call                     # of each it is asked whether it is what was frozen: one will do
        if sealing and name not in ("close", "munmap", "brk") and not (source and "source" in counts):
            faults.append((name, counts[name]))
        if source:
            counts["source"] = 1
        if 'PR_SET_NAME, "pyrunc"' in call or name == "execveat":
            break
    assert len(faults) > (20 if in_place else 6)
    for name, number in faults:
        for error in ("EPERM", "ENOMEM"):
            calls, then = calls_of_sealing("-e", f"inject={name}:error={error}:when={number}")
            assert any("(INJECTED)" in call for call in calls), (name, number)
            if then == said:
                assert any(re.search(f"^execveat.* = 0|{SEALED}", call) for call in calls), (name, number, error)
            else:
                over[name, number] = then
    assert set(over.values()) <= {f"pyrunc: {what}: {why}\n" for what in (
        "cannot start from a sealed image of this program (CVE-2019-5736)", "cannot keep others from its memory")
        for why in ("Operation not permitted", "Cannot allocate memory")}, over
    assert len(over) <= 2                   # the rest goes another way


def test_a_copy_whose_pages_are_in_use_is_sealed_a_moment_later(tmp_path: Path) -> None:
    """The kernel refuses to seal a memfd against writing while it moves one of its pages, say."""
    program = install_below(tmp_path / "a:b")           # no overlayfs: the copy is the only way

    def sealed(*inject: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
        log = tmp_path / "calls"
        done = subprocess.run(["strace", "-qq", "-o", log, "-e", "trace=fcntl", *inject, program, "unheard-of"],
                              env={}, capture_output=True, text=True, check=False)
        done.stderr = re.sub(r'time="[^"]*"', "", done.stderr)      # (the next may say it a second later)
        return log.read_text().splitlines(), done
    calls, unhindered = sealed()
    [number] = [index for index, call in enumerate(calls, 1) if "F_ADD_SEALS" in call]
    for last in ("", f"..{number + 2}"):
        calls, done = sealed("-e", f"inject=fcntl:error=EBUSY:when={number}{last}")
        assert done.stderr == unhindered.stderr and "unheard-of" in done.stderr
        assert sum("F_ADD_SEALS" in call for call in calls) == (4 if last else 2)
    calls, done = sealed("-e", f"inject=fcntl:error=EBUSY:when={number}+")
    assert done.returncode
    assert done.stderr == ("pyrunc: cannot start from a sealed image of this program (CVE-2019-5736): "
                           "Device or resource busy\n")


@pytest.mark.parametrize("environment", [{}, {"A": "b", "C": "d" * 1000}], ids=["without", "with"])
def test_its_words_and_environment_lie_where_they_did(environment: dict[str, str], private_world: None, place: Path,
                                                      name: str) -> None:
    """The kernel is told of them when a process makes the image its own program; ps(1) shows what lies there."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    runtime = Runtime(str(PYRUNC.path), place / "state")
    running = runtime.popen("run", "--bundle", bundle, name, env=environment)
    try:
        while not (runtime.root / name / "state.json").exists():
            assert running.poll() is None
            time.sleep(0.01)
        words = Path(f"/proc/{running.pid}/cmdline").read_bytes().split(b"\0")[1:-1]
        assert words == [word.encode() for word in runtime.argv("run", "--bundle", bundle, name)[1:]]
        found = Path(f"/proc/{running.pid}/environ").read_bytes()
        assert found == b"".join(f"{key}={value}\0".encode() for key, value in environment.items())
    finally:
        runtime("delete", "--force", name)
        running.wait()


GONE = "import os, sys; fd = os.open(sys.argv[1], os.O_RDONLY); os.unlink(sys.argv[1]); os.execve(fd, sys.argv[1:], {})"


def test_another_program_in_its_place_is_executed_and_not_mapped(tmp_path: Path) -> None:
    """What lies at its path may be another one by then. Parts of that in the one that runs would be a crash."""
    running = install_below(tmp_path)
    shutil.copy(running, running.with_name("pyrunc (deleted)"))        # so the kernel names a file that is gone
    calls = Launcher(Path(sys.executable).resolve(), "").traced("-c", GONE, str(running), "run", calls="execveat,prctl")
    assert len(re.findall(r" execveat\(.* = 0", calls)) == 2 and "PR_SET_MM_MAP" not in calls, calls


BY_DESCRIPTOR = "import os, sys; os.execve(os.open(sys.argv[1], os.O_RDONLY), sys.argv[1:], {})"


def test_a_start_by_descriptor_does_not_pass_for_a_seal(private_world: None, tmp_path: Path) -> None:
    """It looks as our own second start does, but the file is the host's, or in an overlay that may be written below."""
    program = Path(sys.prefix, "bin/pyrunc")
    merged = tmp_path / "bin"
    merged.mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/pyrunc").symlink_to(sysconfig.get_path("platlib"))
    world.mount("overlay", merged, "overlay", MS_RDONLY, f"lowerdir={program.parent}:/dev")
    try:
        for path in (program, merged / "pyrunc"):
            calls = Launcher(Path(sys.executable).resolve(), "").traced(
                "-c", BY_DESCRIPTOR, str(path), "run", calls="execveat,prctl")
            assert len(re.findall(SEALED, calls)) == 2, calls
    finally:
        world.unmount(merged)
