"""Files that a command reads whole, and numbers that it is given: neither has to have an end."""
from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pyrunc.cli.bundle import listen_fds
from pyrunc.cli.main import main
from pyrunc.kernel.last_stage import pack_strings

from .. import bundles, runtimes
from ..state.made import World

#: Each reads the file FILE of its caller's.
READERS = [["update", "--resources", "FILE", "c"], ["exec", "--process", "FILE", "c"],
           ["create", "--bundle", "/", "--config", "FILE", "new"], ["run", "--bundle", "/", "--config", "FILE", "new"],
           ["explain", "--bundle", "/", "--config", "FILE"], ["check", "--bundle", "/", "--config", "FILE"]]


def command(words: list[str]) -> str:
    return words[0]


@pytest.mark.parametrize("words", READERS, ids=command)
def test_a_device_without_end(words: list[str], made: World, capfd: pytest.CaptureFixture[str]) -> None:
    made.running("c")
    assert main(["--root", str(made.root), *(word.replace("FILE", "/dev/zero") for word in words)]) in (1, 255)
    told = capfd.readouterr()
    assert "more than 16 MiB" in told.out + told.err


@pytest.mark.parametrize("words", READERS, ids=command)
def test_a_pipe_that_is_never_closed(words: list[str], made: World, tmp_path: Path,
                                     capfd: pytest.CaptureFixture[str]) -> None:
    """More is not read than a config may be long, so nothing waits for the end."""
    made.running("c")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def write() -> None:
        with fifo.open("wb", 0) as file:
            try:
                while True:
                    file.write(b" " * 65536)
            except BrokenPipeError:
                pass

    writer = threading.Thread(target=write)
    writer.start()
    assert main(["--root", str(made.root), *(word.replace("FILE", str(fifo)) for word in words)]) in (1, 255)
    writer.join()
    told = capfd.readouterr()
    assert "more than 16 MiB" in told.out + told.err


@pytest.mark.parametrize("words", READERS, ids=command)
@pytest.mark.parametrize(("kind", "error"), [("directory", "is a directory"), ("none", "no such file")])
def test_what_cannot_be_read(kind: str, error: str, words: list[str], made: World, tmp_path: Path,
                             capfd: pytest.CaptureFixture[str]) -> None:
    made.running("c")
    place = str(tmp_path if kind == "directory" else tmp_path / "none")
    assert main(["--root", str(made.root), *(word.replace("FILE", place) for word in words)]) in (1, 255)
    told = capfd.readouterr()
    assert error in told.out + told.err or f"specification file {place} not found" in told.out + told.err
    assert place in told.out + told.err and "internal error" not in told.err


@pytest.mark.parametrize("words", [
    *[["create", "--bundle", "/", "--preserve-fds", number, "new"] for number in ("-5", "9" * 18, "2147483648")],
    ["exec", "--preserve-fds", "-5", "c", "true"], ["exec", "--preserve-fds=-1", "c", "true"],
    ["checkpoint", "--lazy-pages", "--status-fd", "2147483648", "c"], ["checkpoint", "--status-fd", "-2", "c"],
    ["checkpoint", "--page-server", "host:0", "c"], ["checkpoint", "--page-server", "host:65536", "c"],
    ["checkpoint", "--page-server", "host:-1", "c"], ["restore", "--bundle", "/", "--preserve-fds=-1", "new"]])
def test_numbers_out_of_range(words: list[str], made: World, capfd: pytest.CaptureFixture[str]) -> None:
    made.running("c")
    assert main(["--root", str(made.root), *words]) in (1, 255)
    assert "not in the range" in capfd.readouterr().err


@pytest.mark.parametrize(("count", "fds"), [("2", 2), ("0", 0), ("9" * 9, 999999999), ("9" * 10, 0), ("9" * 5000, 0),
                                            ("-1", 0), ("", 0), ("x", 0)])
def test_listen_fds(count: str, fds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """sd_listen_fds(3): more than an int is EINVAL, and the sockets are nobody's."""
    monkeypatch.setattr("posix.environ", {b"LISTEN_PID": str(os.getpid()).encode(), b"LISTEN_FDS": count.encode()})
    assert listen_fds() == fds


def test_the_log_is_no_descriptor_of_the_callers(tmp_path: Path, name: str) -> None:
    """What the command itself has opened has a number, too, and is not handed to a container for it."""
    bundle = bundles.bundle(tmp_path / "bundle", bundles.minimal())
    command = [runtimes.find(), "--root", str(tmp_path / "state")]
    with (tmp_path / "told").open("w+") as told:        # no pipe: should a container be made, it would hold that open
        done = subprocess.run([*command, "--log", tmp_path / "log", "create", "--bundle", bundle, "--preserve-fds", "1",
                               name], stdin=subprocess.DEVNULL, stdout=told, stderr=told, check=False)
    subprocess.run([*command, "delete", "--force", name], check=False)
    assert done.returncode == 1
    assert "unable to stat preserved-fd 0 (of 1): bad file descriptor" in (tmp_path / "told").read_text()
    assert not (tmp_path / "state").exists()


def test_many_strings_are_packed_in_linear_time() -> None:
    """12 MB in 12,000 variables took a minute, for each was added to a copy of all before it."""
    strings = [f"V{number}=" + "x" * 1000 for number in range(48000)]
    begun = time.monotonic()
    assert len(pack_strings(strings)) == sum(map(len, strings)) + len(strings)
    assert time.monotonic() - begun < 20
