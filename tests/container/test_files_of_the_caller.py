"""Files that are written where the caller says: nothing that is not ours is removed or replaced, what cannot be written
is said before the first step, and what fails later does not undo what succeeded."""
from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests import bundles, runtimes, world
from tests.bundles import minimal
from tests.runtimes import Runtime


@pytest.fixture
def bundle(place: Path) -> Path:
    return bundles.bundle(place / "bundle", minimal(process={"args": ["sleep", "1000"]}))


def traced(runtime: Runtime, trace: Path | str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A command with --trace; its output is a file's, for a container would keep a pipe open."""
    argv = runtime.argv(*words)
    files = runtime.root.parent / "state-traced"
    with files.open("w+") as both:
        done = subprocess.run([argv[0], "--trace", str(trace), *argv[1:]], stdin=subprocess.DEVNULL, stdout=both,
                              stderr=both, timeout=60, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, files.read_text(), "")


# ---- the pid file -------------------------------------------------------------------------------------------------
COMMANDS = ["create", "run", "exec"]


def beside(place: Path) -> list[str]:
    """What is there besides the bundle and the state."""
    return [path for path in world.below(place) if not path.startswith((f"{place}/state", f"{place}/bundle"))]


def command(runtime: Runtime, words: str, bundle: Path, pid_file: Path | str, name: str) -> runtimes.Outcome:
    """create, run or exec with a pid file; for exec there is a container already."""
    if words == "exec":
        runtime.create(name, bundle)
        runtime.ok("start", name)
        return runtime("exec", "--detach", "--pid-file", pid_file, name, "sleep", "1000")
    return runtime(words, *(["--detach"] if words == "run" else []), "--pid-file", pid_file, "--bundle", bundle, name)


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("long", [False, True], ids=["", "long"])
def test_what_lies_beside_the_pid_file_stays(long: bool, words: str, runtime: Runtime, bundle: Path, place: Path,
                                             name: str) -> None:
    """DIR/.name was removed: it was taken for the half of a pid file."""
    pid_file = place / ("pid" if not long else "p" * 255)
    (place / ".pid").write_text("mine")
    pid_file.write_text("an old one")
    before = beside(place)
    outcome = command(runtime, words, bundle, pid_file, name)
    assert outcome.status == 0, outcome.stderr
    assert int(pid_file.read_text()) > 0 and (place / ".pid").read_text() == "mine"
    assert beside(place) == before


@pytest.mark.parametrize("words", COMMANDS)
def test_a_pid_file_that_is_a_link(words: str, runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    """It is replaced, as by runc: what it leads to is not ours to write."""
    (place / "other").write_text("mine")
    (place / "pid").symlink_to("other")
    outcome = command(runtime, words, bundle, place / "pid", name)
    assert outcome.status == 0, outcome.stderr
    assert (place / "other").read_text() == "mine"
    assert not (place / "pid").is_symlink() and int((place / "pid").read_text()) > 0


@pytest.mark.parametrize("words", COMMANDS)
def test_a_pid_file_that_is_a_fifo(words: str, runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    os.mkfifo(place / "pid")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((place / "pid").read_text()))
    reader.start()
    while command(runtime, words, bundle, place / "pid", name).status:     # until the reader has opened it
        runtime("delete", "--force", name)
    reader.join()
    assert int(read[0]) > 0 and (place / "pid").is_fifo()


def test_a_pid_file_at_the_end_of_a_link_of_roots(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    """As /dev/stdout is one."""
    os.mkfifo(place / "fifo")
    (place / "stdout").symlink_to("fifo")
    reader = os.open(place / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    runtime.ok("run", "--detach", "--pid-file", place / "stdout", "--bundle", bundle, name)
    assert int(os.read(reader, 99)) > 0 and (place / "stdout").is_symlink()
    os.close(reader)


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("device", ["null", "full"])
def test_a_pid_file_that_is_a_device(device: str, words: str, runtime: Runtime, bundle: Path, place: Path,
                                     name: str) -> None:
    """/dev/full became a file. What cannot be written at the end undoes the whole: engines wait for the file."""
    number = {"null": 3, "full": 7}[device]
    os.mknod(place / "device", 0o020666, os.makedev(1, number))
    outcome = command(runtime, words, bundle, place / "device", name)
    assert (place / "device").is_char_device()
    assert outcome.status == 0 if device == "null" else outcome.status != 0
    if device == "full":
        assert f"write the pid file {place}/device" in outcome.stderr and "no space left on device" in outcome.stderr
        assert words == "exec" or not list(runtime.root.iterdir())


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(("kind", "error"), [
    ("missing/pid", "no such file or directory"), ("file/pid", "not a directory"), ("directory", "is a directory"),
    ("socket", "file exists"), ("fifo", "no such device or address"), ("read-only/pid", "read-only file system"),
    ("x" * 256, "file name too long")])
def test_a_pid_file_that_cannot_be(kind: str, error: str, words: str, runtime: Runtime, bundle: Path, place: Path,
                                   name: str) -> None:
    """It is said before anything is made, and nothing that lies there is touched."""
    import socket
    (place / "file").write_text("mine")
    (place / "directory").mkdir()
    (place / "directory/inner").touch()
    os.mkfifo(place / "fifo")
    (place / "read-only").mkdir()
    world.mount("none", place / "read-only", "tmpfs", 1)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.fspath(place / "socket"))
    before = beside(place)
    try:
        outcome = command(runtime, words, bundle, place / kind, name)
        assert outcome.status != 0 and error in outcome.stderr and "step state.pid_place" in outcome.stderr
        assert beside(place) == before
        assert words == "exec" or not list(runtime.root.iterdir())
    finally:
        world.unmount(place / "read-only")


# ---- the trace ----------------------------------------------------------------------------------------------------
def test_a_trace_that_cannot_be_opened(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    """Every command says so before its first step."""
    os.mkfifo(place / "fifo")
    for trace, error in ((place / "none/x", "no such file or directory"), (place, "is a directory"),
                         (place / "fifo", "no such device or address")):
        for making in ("create", "run"):
            done = traced(runtime, trace, making, "--bundle", bundle, name)
            assert done.returncode == 1 and f"open the trace {trace}: {error}" in done.stdout
            assert not list(runtime.root.iterdir())
    runtime.create(name, bundle)
    commands: list[list[str]] = [["start", name], ["delete", "--force", name], ["kill", name], ["pause", name]]
    for words in commands:
        done = traced(runtime, place / "none/x", *words)
        assert done.returncode == 1 and "open the trace" in done.stdout and runtime.status(name) == "created"
    runtime.ok("start", name)
    done = traced(runtime, place / "none/x", "exec", name, "touch", "/ran")
    assert done.returncode == 255 and not (bundle / "rootfs/ran").exists()
    assert json.loads(traced(runtime, place / "none/x", "state", name).stdout)["status"] == "running"


def test_a_trace_that_is_full(runtime: Runtime, bundle: Path, name: str) -> None:
    """What was done is done: a warning, and the status is the command's."""
    for words in (["create", "--bundle", bundle, name], ["start", name], ["exec", name, "true"], ["pause", name],
                  ["resume", name], ["kill", name, "KILL"]):
        done = traced(runtime, "/dev/full", *words)
        assert done.returncode == 0, done.stdout
        if words[0] not in ("create", "exec"):           # whose standard error is the container's
            assert "level=warning" in done.stdout and "no space left on device" in done.stdout
    runtime.wait_for(name, "stopped")
    assert traced(runtime, "/dev/full", "delete", name).returncode == 0
    assert not list(runtime.root.iterdir())


def test_a_fifo_whose_reader_does_not_read(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    os.mkfifo(place / "fifo")
    reader = os.open(place / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    import fcntl
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    assert traced(runtime, place / "fifo", "run", "--detach", "--bundle", bundle, name).returncode == 0
    done = traced(runtime, place / "fifo", "delete", "--force", name)
    assert done.returncode == 0 and "resource temporarily unavailable" in done.stdout
    os.close(reader)


def test_a_fifo_that_is_read(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    """One reader gets all plans of a command."""
    os.mkfifo(place / "fifo")
    reader = subprocess.Popen(["cat", place / "fifo"], stdout=subprocess.PIPE, text=True)
    while traced(runtime, place / "fifo", "run", "--detach", "--bundle", bundle, name).returncode:
        pass
    lines = [json.loads(line) for line in reader.communicate(timeout=60)[0].splitlines()]
    assert {"state.reserve", "start.release"} <= {line["step"] for line in lines}


def test_the_trace_of_the_switch_is_no_ones_business(runtime: Runtime, bundle: Path, name: str) -> None:
    """Engines cannot help it: a warning, and the container is made and goes."""
    (runtime.root / "@trace").touch()
    (runtime.root / "@trace.jsonl").mkdir()
    runtime.create(name, bundle)
    assert "open the trace" in runtime.ok("start", name).stderr
    runtime.ok("delete", "--force", name)
    (runtime.root / "@trace.jsonl").rmdir()
    (runtime.root / "@trace").unlink()


# ---- the log, the hooks' output -----------------------------------------------------------------------------------
def test_a_log_that_nobody_reads(runtime: Runtime, bundle: Path, place: Path, name: str) -> None:
    os.mkfifo(place / "fifo")
    argv = runtime.argv("create", "--bundle", bundle, name)
    done = subprocess.run([argv[0], "--log", place / "fifo", *argv[1:]], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and f"open {place}/fifo: no such device or address" in done.stderr
    assert not list(runtime.root.iterdir())
    for device in ("/dev/full", "/dev/null"):
        argv = runtime.argv("state", name)
        done = subprocess.run([argv[0], "--log", device, *argv[1:]], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and done.stderr == f"container does not exist: {name} in {runtime.root}\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_of_hooks_that_nobody_reads(stream: str, runtime: Runtime, place: Path, name: str) -> None:
    os.mkfifo(place / "fifo")
    bundle = bundles.bundle(place / "bundle", minimal(
        annotations={f"run.oci.hooks.{stream}": str(place / "fifo")},
        hooks={"createRuntime": [{"path": "/bin/true"}]}))
    outcome = runtime("create", "--bundle", bundle, name, timeout=60)
    assert outcome.status == 1 and "no such device or address" in outcome.stderr and "annotations" in outcome.stderr
    assert not list(runtime.root.iterdir())


# ---- spec ---------------------------------------------------------------------------------------------------------
def test_half_a_spec_is_not_left(runtime: Runtime, place: Path) -> None:
    small = place / "small"
    small.mkdir()
    world.mount("none", small, "tmpfs", 0, "size=4096,nr_inodes=9")
    (small / "filler").write_bytes(b"x" * 4096)
    try:
        outcome = runtime("spec", "--bundle", small)
        assert outcome.status == 1 and "no space left on device" in outcome.stderr
        assert not (small / "config.json").exists()
    finally:
        world.unmount(small)
