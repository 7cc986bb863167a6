"""What each command imports: only built-in modules, and of pyrunc only what the command is about.

An import costs up to 15 ms (dataclasses), so the commands that engines call keep to a list. They are run here from
their sources, because frozen or not they import the same; that the launcher then opens none of Python's files is
looked at from outside.
"""
from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc._native import freeze
from tests import bundles, runtimes
from tests.bundles import docker_like
from tests.runtimes import Runtime

#: Every command takes these: main, flags, the log, a container's state.
OUTSIDE = {"errno"}
INSIDE = {"cli", "cli.flags", "cli.main", "config", "config.load", "errors", "formats", "formats._jsontext",
          "kernel", "kernel.own_files", "kernel.pidfd", "kernel.small_file", "kernel.stopping", "log", "paths",
          "state", "state.container", "state.intact", "state.process_id", "state.store"}
#: What runs a short plan that only touches files.
FILES = {"engine", "engine.facts", "engine.fields", "engine.lazy", "engine.observer", "engine.run", "engine.step",
         "kernel.page", "kernel.posix", "plan", "runtime", "steps"}
ANY = {"*"}
#: command -> (modules from outside, modules of pyrunc) that it may import; what makes a process takes the whole plan.
ALLOWED = {
    "create": (OUTSIDE | {"_io", "_struct", "fcntl", "select"}, ANY),
    "run": (OUTSIDE | {"_io", "_struct", "fcntl", "select"}, ANY),
    "exec": (OUTSIDE | {"_io", "_struct", "fcntl", "select"}, ANY),
    "start": (OUTSIDE | {"fcntl", "select"}, INSIDE | FILES | {
        "cli.start", "kernel.waiting", "runtime.start", "steps.start"}),
    "state": (OUTSIDE, INSIDE | {"cli.output", "cli.state", "formats", "formats.json_text"}),
    "kill": (OUTSIDE, INSIDE | {"cli.kill", "engine", "engine.fields", "engine.step", "runtime", "runtime.kill",
                                "steps", "steps.kill"}),
    "delete": (OUTSIDE | {"fcntl", "select"}, INSIDE | FILES | {
        "cgroups", "cgroups.v2", "cli.delete", "runtime.delete", "steps.delete"}),
}

DRIVER = """#!{python} -IS
import sys
sys.path[:0] = {path!r}
began = set(sys.modules) | {{"__future__"}}
from pyrunc.cli.main import main
{before}
status = main(sys.argv[1:])
import posix
held = "\\n".join(sorted(set(sys.modules) - began))
command = next(word for word in sys.argv[3:] if word[:1] != "-")
fd = posix.open({out!r} + "/" + command + ".modules", posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC)
posix.write(fd, held.encode())
posix._exit(status)
"""


#: What a program with a snapshot has done before it begins.
SNAPSHOT = f"""
for module in {freeze.SNAPSHOT}:
    __import__(module)
sys.modules["pyrunc.cli.warm"].warm()
began = set(sys.modules)
"""


@pytest.fixture
def driver(private_world: None, place: Path, request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """A runtime that writes down what it has imported, each command into a file of its name. The fixture's parameter is
    what it does before."""
    script = place / "driver"
    path = [str(Path(__file__).parent.parent), sysconfig.get_path("platlib")]
    script.write_text(DRIVER.format(python=Path(sys.executable).resolve(), path=path, out=str(place),
                                    before=getattr(request, "param", "")))
    script.chmod(0o755)
    runtime = Runtime(str(script), place / "state")
    yield runtime
    for left in runtime.root.iterdir():
        runtime("delete", "--force", left.name)


def live(runtime: Runtime, place: Path, name: str) -> None:
    """Every command of ALLOWED, on a container like Docker's."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    init = runtime.create(name, bundle)
    runtime.ok("start", name)
    runtime.ok("state", name)
    runtime.ok("exec", name, "true")
    runtime.ok("kill", name, "KILL")
    init.wait()
    runtime.ok("delete", name)
    bundles.write(bundle, docker_like(process={"args": ["true"]}))
    assert runtime.run(name, bundle).status == 0


def test_each_command_imports_what_it_may(driver: Runtime, place: Path, name: str) -> None:
    live(driver, place, name)
    too_much = {}
    for command, (outside, inside) in ALLOWED.items():
        held = (place / f"{command}.modules").read_text().split()
        allowed = outside | {f"pyrunc.{module}" for module in inside} | {"pyrunc"}
        extra = [module for module in held if module not in allowed
                 and not (inside is ANY and module.startswith("pyrunc."))]
        if extra:
            too_much[command] = extra
    assert not too_much


@pytest.mark.parametrize("driver", [SNAPSHOT], indirect=True)
def test_nothing_is_imported_that_a_snapshot_can_have(driver: Runtime, place: Path, name: str) -> None:
    """An import there writes to 50 pages that no command else writes to."""
    live(driver, place, name)
    late = {command: [module for module in (place / f"{command}.modules").read_text().split()
                      if module.startswith("pyrunc.") or module in sys.builtin_module_names] for command in ALLOWED}
    assert not any(late.values()), late


def test_the_warm_up_finds_its_modules_imported() -> None:
    """What it imported would lie elsewhere in each build (freeze.py, SNAPSHOT); fcntl comes first of all it does."""
    script = (f"import sys\nfor module in {freeze.SNAPSHOT}:\n    __import__(module)\nbegan = set(sys.modules)\n"
              "sys.modules['pyrunc.cli.warm'].warm()\nprint(*sorted(set(sys.modules) - began))\n")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60,
                          cwd=Path(__file__).parent.parent)
    assert set(done.stdout.split()) <= {"fcntl"}


#: The libraries that a command may open. The native module is in the program, and none needs mathematics (libm.c).
LIBRARIES = {"libc", "libpthread"}


def test_the_program_opens_no_file_of_python(private_world: None, place: Path, name: str) -> None:
    """strace writes a log for each command; what the container's own processes open does not count."""
    tracer = place / "tracer"
    tracer.write_text("#!/bin/sh\n"
                      f"exec strace -qq -e trace=open,openat,openat2 -o {place}/calls.$$ {runtimes.find()} \"$@\"\n")
    tracer.chmod(0o755)
    live(Runtime(str(tracer), place / "state"), place, name)
    logs = list(place.glob("calls.*"))
    assert len(logs) == len(ALLOWED)
    for log in logs:
        calls = log.read_text()
        assert "__pycache__" not in calls and ".py" not in calls and "encodings" not in calls
        assert {re.split(r"[.]", path.rpartition("/")[2])[0]
                for path in re.findall(r'open[^"]*"([^"]*[.]so[^"]*)".* = \d', calls)} <= LIBRARIES | {"ld"}
