"""Two commands at once on one id, in every state of a container: each has a defined end, and nothing is left."""
from __future__ import annotations

import itertools
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import bundles, world
from tests.bundles import docker_like
from tests.runtimes import Runtime

COMMANDS = {
    "start": ["start", "ID"], "kill": ["kill", "ID", "KILL"], "delete": ["delete", "ID"],
    "force": ["delete", "--force", "ID"], "state": ["state", "ID"], "list": ["list"], "pause": ["pause", "ID"],
    "resume": ["resume", "ID"], "ps": ["ps", "--format", "json", "ID"], "exec": ["exec", "ID", "true"],
    "create": ["create", "--bundle", "BUNDLE", "ID"],
}
#: What a command that lost may say.
REFUSALS = (
    "container does not exist", "container not running", "container not paused",
    "container with given ID already exists", "cannot start an already running container",
    "cannot start a container that has stopped",
    "cannot start a container in the paused state", "cannot start a container in the creating state",
    "cannot delete container", "another command is working on it", "cannot exec in a stopped container",
    "cannot exec in a paused container", "was killed before it could exec", "killed by signal 9", "no such process",
    "interrupted by signal", "was deleted while it was being created",
)
STATES = ("none", "created", "running", "paused", "stopped")


@pytest.fixture
def bundle(place: Path) -> Path:
    return bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))


def bring_to(state: str, runtime: Runtime, bundle: Path, name: str) -> None:
    if state == "none":
        return
    init = runtime.create(name, bundle)
    if state != "created":
        runtime.ok("start", name)
    if state == "paused":
        runtime.ok("pause", name)
    if state == "stopped":
        runtime.ok("kill", name, "KILL")
        init.wait()


def end_of(process: subprocess.Popen[bytes], pair: tuple[str, str], runtime: Runtime, name: str) -> int:
    """The exit status of a command. An exec that passed the check before pause froze its process waits for resume."""
    deadline = time.monotonic() + 60
    while set(pair) == {"exec", "pause"} and time.monotonic() < deadline:
        try:
            return process.wait(1)
        except subprocess.TimeoutExpired:
            if '"paused"' in runtime("state", name).stdout:
                runtime("resume", name)
    return process.wait(60)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("first", COMMANDS)
def test_pairs(state: str, first: str, runtime: Runtime, bundle: Path, name: str) -> None:
    for second in itertools.dropwhile(lambda command: command != first, COMMANDS):
        bring_to(state, runtime, bundle, name)
        both = []
        for command in (first, second):
            words = [name if word == "ID" else str(bundle) if word == "BUNDLE" else word for word in COMMANDS[command]]
            both.append(runtime.popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE))
        for command, process in zip((first, second), both):
            # An init that was created inherits the pipe, so its end does not come: one read has the one line.
            assert process.stderr is not None
            status = end_of(process, (first, second), runtime, name)
            if status == -signal.SIGKILL:        # delete --force ends a create that is at work
                assert command == "create" and "force" in (first, second), (first, second, command)
            elif status:
                told = process.stderr.readline().decode()
                assert status in (1, 137, 255), (first, second, command, status, told)
                assert status == 137 or any(words in told for words in REFUSALS), (first, second, command, told)
            process.stderr.close()
        runtime.ok("delete", "--force", name)
        world.children()
        world.gone(name)
        assert not (world.CGROUP / name).exists() and not (runtime.root / name).exists(), (first, second)
