"""Without a terminal of its own the container has the caller's descriptors, but not his terminal to type on."""
from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests import bundles
from tests.bundles import CAPABILITIES, docker_like, host_mounts
from tests.runtimes import Runtime

#: With /dev/tty, and with the very descriptor: types a command, as if the operator had.
TYPING = """
import fcntl, os, sys, termios
def attempt(fd):
    try:
        for letter in b"touch /typed\\n":
            fcntl.ioctl(fd, termios.TIOCSTI, bytes([letter]))
        print("typed")
    except OSError as fault:
        print(fault.strerror)
attempt(0)
try:
    attempt(os.open("/dev/tty", os.O_RDWR))
except OSError as fault:
    print(fault.strerror)
try:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    print("taken")
except OSError as fault:
    print(fault.strerror)
"""
#: Gives itself the terminal as the controlling one, as a shell's job has it, and becomes the command.
AT_A_TERMINAL = "import os, sys, fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); " \
                "os.execv(sys.argv[1], sys.argv[1:])"


# CVE-2016-10124, CVE-2017-5226: TIOCSTI put what the container wanted into the caller's input.
@pytest.mark.parametrize("command", ["run", "exec"])
def test_it_is_not_typed_on(command: str, runtime: Runtime, place: Path, name: str) -> None:
    typing = ["/usr/bin/python3", "-c", TYPING]
    bundle = bundles.bundle(place / "bundle", docker_like(mounts=host_mounts(), process={
        "args": ["sleep", "1000"] if command == "exec" else typing,
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), tuple(CAPABILITIES))}), host_usr=True)
    words: list[str | Path] = ["run", "--bundle", bundle, name]
    if command == "exec":
        runtime.create(name, bundle)
        runtime.ok("start", name)
        words = ["exec", name, *typing]
    ours, its = pty.openpty()
    try:
        done = subprocess.run([sys.executable, "-c", AT_A_TERMINAL, *runtime.argv(*words)], stdin=its,
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        refusals = ("Operation not permitted", "Input/output error", "No such device or address")
        said = done.stdout.splitlines()
        assert len(said) == 3 and all(line in refusals for line in said), said
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):                # nor has it been echoed
            os.read(ours, 1)
    finally:
        os.close(ours)
        os.close(its)
