"""Terminals: over the console socket for engines, and the caller's own in a foreground run."""
from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests import bundles
from tests.bundles import docker_like
from tests.console import Console
from tests.runtimes import Runtime


@pytest.fixture
def terminal(place: Path) -> Path:
    return bundles.bundle(place / "terminal")


def script(bundle: Path, text: str, **process: object) -> Path:
    return bundles.write(bundle, docker_like(process={"args": ["sh", "-c", text], "terminal": True, **process}))


# config.md#process: "terminal … specifies whether a terminal is attached to the process … a pseudoterminal pair is
# allocated for the process and the pseudoterminal pty is duplicated on the process's standard streams."
@pytest.mark.spec("config.md#process", "terminal", "consoleSize", "consoleSize.height", "consoleSize.width")
@pytest.mark.spec("config-linux.md#default-devices", "/dev/console, with a terminal")
def test_console_socket(runtime: Runtime, terminal: Path, name: str) -> None:
    script(terminal, "tty; stty size; for f in 0 1 2; do test -t $f && echo $f is a terminal; done; "
                     "echo console is a $(ls -l /dev/console | head -c 1); read line; echo got $line",
           consoleSize={"height": 33, "width": 99})
    with Console(terminal / "socket") as console:
        init = runtime.create(name, terminal, "--console-socket", str(terminal / "socket"))
        console.accept()
        assert console.name.startswith("/dev/")
        runtime.ok("start", name)
        said = console.read("console is a c").split("\r\n")
        console.write("typed\n")
        console.read("got typed")
        assert init.wait() == 0
        runtime.ok("delete", name)
    assert said[0].startswith("/dev/") and "33 99" in said
    assert [line for line in said if line.endswith("is a terminal")] == [f"{fd} is a terminal" for fd in range(3)]


def test_it_is_the_controlling_terminal(runtime: Runtime, terminal: Path, name: str) -> None:
    script(terminal, "trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 0.05; done")
    with Console(terminal / "socket") as console:
        init = runtime.create(name, terminal, "--console-socket", str(terminal / "socket"))
        console.accept()
        runtime.ok("start", name)
        console.read("ready")
        console.write("\x03")
        console.read("interrupted")
        assert init.wait() == 4


@pytest.mark.parametrize(("flags", "has_terminal", "said"), [
    (["create"], True, "cannot allocate tty if runc will detach without setting console socket"),
    (["create", "--console-socket", "SOCKET"], False,
     "cannot use console socket if runc will not detach or allocate tty"),
    (["run", "--console-socket", "SOCKET"], True, "cannot use console socket if runc will not detach or allocate tty"),
])
def test_combinations_that_make_no_sense(flags: list[str], has_terminal: bool, said: str, runtime: Runtime,
                                         terminal: Path, name: str) -> None:
    script(terminal, "true", terminal=has_terminal)
    with Console(terminal / "socket"):
        given = [str(terminal / "socket") if flag == "SOCKET" else flag for flag in flags]
        outcome = runtime(*given, "--bundle", terminal, name)
    assert outcome.status == 1 and said in outcome.stderr


def foreground(runtime: Runtime, bundle: Path, name: str, rows: int,
               columns: int) -> tuple[subprocess.Popen[bytes], int]:
    """`run` with a terminal of ours as its own; the process and our master."""
    master, slave = os.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    running = subprocess.Popen(["setsid", "--ctty", "--wait", *runtime.argv("run", "--bundle", bundle, name)],
                               stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    return running, master


def read(master: int, until: str, seconds: float = 60) -> str:
    data, deadline = b"", time.monotonic() + seconds
    while until.encode() not in data:
        ready, _, _ = select.select([master], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"{until!r} did not come, only {data!r}"
        data += os.read(master, 65536)
    return data.decode()


@pytest.mark.spec("config.md#process", "terminal")
def test_foreground(runtime: Runtime, terminal: Path, name: str) -> None:
    script(terminal, "trap 'echo now $(stty size)' WINCH; stty size; echo ready; "
                     "while :; do read -t 1 line && break; done; echo got $line; exit 6")
    running, master = foreground(runtime, terminal, name, 20, 70)
    assert "20 70" in read(master, "ready")
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 75, 0, 0))
    assert "now 25 75" in read(master, "now 25 75")
    os.write(master, b"line\r")
    assert "got line" in read(master, "got line")
    assert running.wait(60) == 6
    os.close(master)
