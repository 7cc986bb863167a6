"""Terminals: over the console socket for engines, and the caller's own in a foreground run."""
from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import tempfile
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
    # (not the shell's own `read`: that of BusyBox 1.38 never returns after a signal that is trapped)
    script(terminal, "trap 'echo now $(stty size); changed=yes' WINCH; stty size; echo ready; "
                     'while [ -z "$changed" ]; do sleep 0.1; done; echo got $(head -n 1); exit 6')
    running, master = foreground(runtime, terminal, name, 20, 70)
    assert "20 70" in read(master, "ready")
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 75, 0, 0))
    assert "now 25 75" in read(master, "now 25 75")
    os.write(master, b"line\r")
    assert "got line" in read(master, "got line")
    assert running.wait(60) == 6
    os.close(master)


# ---- the ends of lines ----------------------------------------------------------------------------------------------

def printed_to(runtime: Runtime, how: str, *args: str | Path) -> bytes:
    """What a foreground command prints whose standard input is a terminal, and whose output is as `how` says."""
    master, slave = os.openpty()
    with tempfile.TemporaryFile() as file:
        reading, writing = os.pipe()
        out = {"pipe": writing, "file": file.fileno(), "terminal": slave}[how]
        outcome = subprocess.Popen(["setsid", "--ctty", "--wait", *runtime.argv(*args)], stdin=slave, stdout=out,
                                   stderr=slave)
        os.close(slave)
        os.close(writing)
        data = b""
        source = {"pipe": reading, "file": master, "terminal": master}[how]
        while True:
            try:
                part = os.read(source, 65536)
            except OSError as fault:                # the last user of the slave has gone
                assert fault.errno == errno.EIO
                break
            if not part:
                break
            data += part
        assert outcome.wait(60) == 0
        os.close(master)
        os.close(reading)
        file.seek(0)
        return file.read() if how == "file" else data


LINES = "echo one; printf 'two\\nthree\\n'; stty -a 2>/dev/null | tr ' ' '\\n' | grep onlcr"


@pytest.mark.parametrize(("how", "end"), [("pipe", b"\n"), ("file", b"\n"), ("terminal", b"\r\n")])
@pytest.mark.parametrize("command", ["run", "exec"])
def test_lines_end_as_they_do_without_a_terminal(command: str, how: str, end: bytes, runtime: Runtime, terminal: Path,
                                                 name: str) -> None:
    """v=$(pyrunc run ...) has no CR in it; on a terminal that is shown every line begins at the left."""
    if command == "run":
        script(terminal, LINES)
        said = printed_to(runtime, how, "run", "--bundle", terminal, name)
    else:
        script(terminal, "while :; do sleep 1; done", terminal=False)
        runtime.ok("run", "--detach", "--bundle", terminal, name)
        said = printed_to(runtime, how, "exec", "--tty", name, "sh", "-c", LINES)
    assert said == end.join((b"one", b"two", b"three", b"-onlcr", b""))


def test_an_engine_decides_itself_how_lines_end(runtime: Runtime, terminal: Path, name: str) -> None:
    """Whoever takes the master over a console socket finds what the kernel gives a new terminal."""
    script(terminal, LINES)
    with Console(terminal / "socket") as console:
        init = runtime.create(name, terminal, "--console-socket", str(terminal / "socket"))
        console.accept()
        runtime.ok("start", name)
        assert console.read("onlcr\r\n") == "one\r\ntwo\r\nthree\r\nonlcr\r\n"
        assert init.wait() == 0


@pytest.mark.parametrize("command", ["run", "exec"])
def test_a_resized_window_is_nothing_to_a_program_without_a_terminal(command: str, runtime: Runtime, terminal: Path,
                                                                     name: str) -> None:
    """crun#1442: Apache's httpd takes SIGWINCH for the order to shut down. All else is handed on, in its order."""
    text = "trap 'echo WINCH' WINCH; trap 'echo USR1; exit 7' USR1; echo ready; while :; do sleep 0.05; done"
    if command == "run":
        script(terminal, text, terminal=False)
        args: tuple[str | Path, ...] = ("run", "--bundle", terminal, name)
    else:
        script(terminal, "while :; do sleep 1; done", terminal=False)
        runtime.ok("run", "--detach", "--bundle", terminal, name)
        args = ("exec", name, "sh", "-c", text)
    process = runtime.popen(*args, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGWINCH)
    time.sleep(0.3)
    process.send_signal(signal.SIGUSR1)
    assert process.communicate(timeout=60)[0] == b"USR1\n"
    assert process.returncode == 7


@pytest.mark.parametrize("command", ["run", "exec"])
def test_what_cannot_be_passed_on_is_told(command: str, runtime: Runtime, place: Path, name: str) -> None:
    """What was printed was lost without a word, where the caller's standard output is full."""
    ours, callers = os.openpty()
    script = ["sh", "-c", "echo hi; exit 7"]
    bundle = bundles.bundle(place / "bundle", docker_like(
        process={"args": script, "terminal": True} if command == "run" else {"args": ["sleep", "1000"]}))
    if command == "exec":
        runtime.ok("run", "--detach", "--bundle", bundle, name)
        argv = runtime.argv("exec", "--tty", name, *script)
    else:
        argv = runtime.argv("run", "--bundle", bundle, name)
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv, stdin=callers, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
                              check=False)
    os.close(ours)
    os.close(callers)
    assert done.returncode == 7 and done.stderr.count("\n") == 1, done
    assert "write what the container prints to the standard output: no space left on device" in done.stderr
