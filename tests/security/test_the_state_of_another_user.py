"""A state root, or a part of one, that another user could have written: every command that reads it refuses."""
from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrunc.cli.bundle import keep_runtime_directory
from pyrunc.cli.main import main, trace_file
from pyrunc.state import store
from tests import bundles, runtimes
from tests.state.made import World

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

USER = 12345
COMMANDS = [["state", "c"], ["list"], ["list", "--quiet"], ["ps", "c"], ["kill", "c", "0"],
            ["kill", "--regex", "c", "0"], ["start", "c"],
            ["exec", "c", "true"], ["pause", "c"], ["resume", "c"], ["events", "--stats", "c"],
            ["update", "--pids-limit", "5", "c"], ["checkpoint", "c"], ["delete", "c"], ["delete", "--force", "c"],
            ["delete", "--regex", "--force", "c"]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state")


def group(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o020)


def others(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


def given_away(path: Path) -> None:
    os.chown(path, USER, -1)


def call(words: list[str], world: World, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main(["--root", str(world.root), *words])
    return status, capfd.readouterr().err


@pytest.mark.parametrize("make", [group, others, given_away])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_root_that_others_can_write(words: list[str], make: Callable[[Path], None], world: World, tmp_path: Path,
                                      capfd: pytest.CaptureFixture[str]) -> None:
    """A member of the group made a state with a poststop hook, and root ran it at `delete --force`."""
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    world.stopped("c", hooks={"poststop": [{"path": str(hook)}]})
    make(world.root)
    status, error = call(words, world, capfd)
    assert status in (1, 255) and f"state root {world.root} can be written by others: owner" in error
    assert not (tmp_path / "ran").exists() and (world.root / "c/state.json").exists()


@pytest.mark.parametrize("make", [group, others, given_away])
@pytest.mark.parametrize("place", ["c", "c/state.json"])
@pytest.mark.parametrize("words", COMMANDS[:-3], ids=" ".join)
def test_a_container_that_others_can_write(words: list[str], place: str, make: Callable[[Path], None], world: World,
                                           capfd: pytest.CaptureFixture[str]) -> None:
    world.stopped("c")
    world.stopped("good")
    make(world.root / place)
    status, error = call(words, world, capfd)
    if words[0] == "list":
        assert status == 0
    elif "--regex" in words:
        assert status == 0                 # those that do not run are passed over
        return
    else:
        assert status in (1, 255)
    assert f"{world.root}/{place} can be written by others: owner" in error


@pytest.mark.parametrize("make", [group, others, given_away])
def test_each_file_that_is_believed(make: Callable[[Path], None], world: World,
                                    capfd: pytest.CaptureFixture[str]) -> None:
    directory = world.running("c")
    make(directory / store.CONFIG)
    for words in (["exec", "c", "true"], ["update", "--pids-limit", "5", "c"], ["checkpoint", "c"]):
        assert f"{directory}/config.json can be written by others: owner" in call(words, world, capfd)[1]
    make(world.intent("creating") / store.INTENT)
    for words in (["state", "creating"], ["kill", "creating"], ["delete", "creating"]):
        assert "creating/intent.json can be written by others: owner" in call(words, world, capfd)[1]
    # What says how many hooks have run is not believed either: they run again.
    done = world.stopped("stopped", hooks={"poststop": [{"path": "/bin/false"}]})
    (done / "poststop").write_text("1")
    make(done / "poststop")
    assert "poststop hook" in call(["delete", "stopped"], world, capfd)[1]


@pytest.mark.parametrize("make", [group, others, given_away])
def test_the_switch_of_the_trace(make: Callable[[Path], None], world: World) -> None:
    """Where the trace is written, a link could lie that leads to any file."""
    (world.root / "@trace").touch()
    assert trace_file({}, str(world.root)) == f"{world.root}/@trace.jsonl"
    make(world.root)
    assert trace_file({}, str(world.root)) == ""


@pytest.mark.parametrize("kind", ["fifo", "directory", "link"])
def test_a_switch_that_is_no_file(kind: str, world: World) -> None:
    path = world.root / "@trace"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    assert trace_file({}, str(world.root)) == ""


def test_the_runtime_directory_is_kept_and_nothing_else(tmp_path: Path) -> None:
    """The state root below $XDG_RUNTIME_DIR gets the sticky bit; it was set, with 0700, through a link as well."""
    other = tmp_path / "other"
    other.mkdir(0o755)
    other.chmod(0o755)
    (tmp_path / "link").symlink_to(other)
    keep_runtime_directory(str(tmp_path / "link"))
    assert other.stat().st_mode & 0o7777 == 0o755
    foreign = tmp_path / "foreign"
    foreign.mkdir(0o755)
    os.chown(foreign, USER, USER)
    keep_runtime_directory(str(foreign))
    assert foreign.stat().st_mode & 0o7777 == 0o755
    for mode in (0o700, 0o711):
        own = tmp_path / f"own{mode}"
        own.mkdir()
        own.chmod(mode)
        keep_runtime_directory(str(own))
        assert own.stat().st_mode & 0o7777 == 0o1000 | mode
    keep_runtime_directory(str(tmp_path / "new"))
    assert (tmp_path / "new").stat().st_mode & 0o7777 == 0o1700
    file = tmp_path / "file"
    file.touch(0o644)
    keep_runtime_directory(str(file))
    assert file.stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("words", [["create"], ["run"]], ids=" ".join)
@pytest.mark.parametrize("make", [group, others, given_away])
def test_nothing_is_created_there(make: Callable[[Path], None], words: list[str], place: Path) -> None:
    bundle = bundles.bundle(place / "bundle", bundles.minimal())
    root = place / "state"
    root.mkdir(0o700)
    make(root)
    done = subprocess.run([runtimes.find(), "--root", root, *words, "--bundle", bundle, "c"], capture_output=True,
                          text=True)
    assert done.returncode == 1 and f"state root {root} can be written by others: owner" in done.stderr
    assert not list(root.iterdir())


def test_a_state_that_the_root_of_a_user_namespace_made(world: World, place: Path) -> None:
    """As rootless Podman calls its runtime: the user's files are root's in there, and everything else is nobody's."""
    home = place / "home"
    home.mkdir()
    os.chown(home, 1000, 1000)
    pyrunc = runtimes.for_anyone(runtimes.find())

    def as_user(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "unshare", "--user",
                               "--map-root-user", "--mount", pyrunc, *words], capture_output=True, text=True,
                              env={"XDG_RUNTIME_DIR": str(home), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})
    assert as_user("list").returncode == 0
    made = World(home / "pyrunc")
    made.stopped("c")
    for path in (made.root, *made.root.rglob("*")):
        os.chown(path, 1000, 1000)
    told = as_user("list", "--format", "json")
    assert [found["id"] for found in json.loads(told.stdout)] == ["c"], told.stderr
    assert as_user("state", "c").returncode == 0
    assert as_user("delete", "c").returncode == 0
    assert not list(made.root.iterdir())
    # Root of the host does not take that user's word.
    made.stopped("c")
    os.chown(made.root, 1000, 1000)
    done = subprocess.run([pyrunc, "--root", made.root, "list"], capture_output=True, text=True)
    assert done.returncode == 1 and "can be written by others: owner 1000" in done.stderr
