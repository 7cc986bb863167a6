"""README's tour, line by line as it is printed, in a shell on a terminal: as root, and as an ordinary user."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import runtimes
from tests.container.rootless import UID
from tests.container.test_step import Terminal

TOP = Path(__file__).parents[2]
NEEDS_CGROUP = "# (*)"
#: What a line says that needs a cgroup, or a controller in it, where there is none.
WITHOUT = ("has no cgroup", "is not available in the cgroup v2 hierarchy")


def tour() -> list[str]:
    """The lines of the block."""
    section = (TOP / "README.md").read_text().partition("## The tour in a page\n")[2].partition("\nAn error is")[0]
    return re.findall(r"^    (\S.*)$", section, re.MULTILINE)


class Shell(Terminal):
    """A shell that prints no prompt, so that each line has an output of its own."""

    def run(self, line: str) -> tuple[int, str]:
        """(exit status, what it printed) of one line; a stop is looked at, and goes on."""
        self.type(f"{line}\n")
        seen = ""
        if "--break" in line:
            seen = self.until("called)> ")
            for answer in ("shell", "exit", "next"):
                self.type(f"{answer}\n")
                seen += self.until("called)> ") if answer != "shell" else ""
            self.type("continue\n")
        self.type('echo "sta""tus=$?="\n')                 # what the terminal echoes is not it
        seen += self.until("status=")
        return int(self.until("=")), seen


@pytest.fixture
def home(place: Path, private_world: None) -> Path:
    """What a checkout has after `make demo`, as far as the tour needs it."""
    program = runtimes.for_anyone(runtimes.find())
    (place / ".venv/bin").mkdir(parents=True)
    (place / ".venv/bin/pyrunc").symlink_to(program)
    python = place / ".venv/bin/python"
    if program == runtimes.find():
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    else:                                           # an ordinary user cannot come to this checkout
        library = Path(program).parents[1] / "lib/pyrunc"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={library} exec /usr/bin/python3 "$@"\n')
    python.chmod(0o755)
    return place


@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", ["root", "user"])
def test_every_line_of_the_tour(who: str, home: Path) -> None:
    become = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups"] if who == "user" else []
    if who == "user":
        (home / "run").mkdir()
        subprocess.run(["chown", "-R", f"{UID}:{UID}", home], check=True)
    with (TOP / "tests/demo_bundle.py").open() as script:               # below a home of root's, no user comes to it
        subprocess.run([*become, "/usr/bin/python3", "-", home / "demo"], stdin=script, check=True)
    environment = ["env", "-i", "PATH=/usr/bin:/bin:/usr/sbin", "HOME=/", "TERM=dumb", "PAGER=cat", "LC_ALL=C.UTF-8",
                   *([f"XDG_RUNTIME_DIR={home}/run"] if who == "user" else [])]
    # In a mount namespace of its own root has a state root of its own, too.
    inner = 'mkdir -p /run/pyrunc; mount -t tmpfs -o mode=700 tmpfs /run/pyrunc; cd "$0"; exec "$@"'
    unshare, env = (shutil.which(name) or name for name in ("unshare", "env"))
    shell = Shell(unshare, "-m", "sh", "-c", inner, str(home), *become, env, *environment[1:], "PS1=", "sh")
    assert shell.run("stty -echo; PS1= PS2=")[0] == 0
    lines, seen = tour(), {}
    assert len(lines) > 20
    try:
        for line in lines:
            status, said = shell.run(line)
            seen[line.partition("  #")[0].rstrip()] = said
            if status and NEEDS_CGROUP in line:
                assert any(words in said for words in WITHOUT), (line, said)
            else:
                assert status == 0, (line, said)
    finally:
        shell.type("pyrunc delete --force demo; exit\n")
        shell.end()
    assert "root.switch" in seen["pyrunc explain mounts root.switch"]
    assert "runtime" in seen["pyrunc trace show t.json"] and '"created"' in seen["pyrunc state demo"]
    assert "I am 0:0" in seen["pyrunc run --config show.json demo"] and "proc" in seen["pyrunc exec demo ls /"]
    assert "demo" in seen["pyrunc list"] and "stopped before step" in seen["pyrunc --break root.switch run -d demo"]
    assert "ID" in seen["python -m pyrunc list"] and "demo" not in seen["python -m pyrunc list"]
    assert os.path.exists(home / "demo/new/config.json")
