"""/proc/<init>/exe of a container leads to nothing that could be written: CVE-2019-5736, security.md 0.4."""
from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sys
import sysconfig
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
    driven.ok("kill", name, "KILL")
    init.wait()
    driven.ok("delete", name)
    for attack in (lambda: os.pwrite(os.open(f"/proc/self/fd/{kept}", os.O_RDWR), b"overwritten", 0),
                   lambda: os.truncate(f"/proc/self/fd/{kept}", 0)):
        with pytest.raises(OSError):
            attack()
    os.close(kept)
    assert digest(host) == before


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
    calls = Launcher(Path(sys.prefix, "bin/pyrunc"), "").traced(*argv, calls="execve,execveat")
    assert len(re.findall(r" execve\(", calls)) == 1
    assert len(re.findall(r" execveat\(.* = 0", calls)) == (argv in SEALING)


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
                "-c", BY_DESCRIPTOR, str(path), "run", calls="execveat")
            assert len(re.findall(r" execveat\(", calls)) == 2, calls
    finally:
        world.unmount(merged)
