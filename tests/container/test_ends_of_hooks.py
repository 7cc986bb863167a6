"""A hook without a timeout that never ends: it dies with the runtime that runs it, and a signal to that one ends it."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import bundles, world
from tests.runtimes import Runtime
from tests.world import Snapshot

#: Kind of hook -> the command during which it runs.
DURING = {"prestart": "create", "createRuntime": "create", "createContainer": "create", "startContainer": "start",
          "poststart": "start", "poststop": "delete"}
UNDONE = ("prestart", "createRuntime", "createContainer", "poststart")


def hooked(token: str) -> list[int]:
    """Processes that sleep for that long, zombies excepted."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if token in (entry / "cmdline").read_bytes().decode(errors="replace").split("\0"):
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def token(name: str) -> str:
    """How long the hook sleeps: no other process does so."""
    return f"{os.getpid()}.{name.rpartition('-')[2]}"


def prepare(place: Path, kind: str, token: str, **changes: object) -> None:
    bundles.busybox_root(place / "rootfs")
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"exec sleep {token}"]}
    config = bundles.docker_like(process={"args": ["true"]}, hooks={kind: [hook]}, **changes)
    (place / "config.json").write_text(json.dumps(config))


def reach(runtime: Runtime, place: Path, name: str, kind: str, token: str) -> subprocess.Popen[bytes]:
    """The command that runs the hook, while it does."""
    if DURING[kind] != "create":
        init = runtime.create(name, place)
        if kind == "poststop":
            runtime.ok("start", name)
            init.wait()
    bundle = ["--bundle", str(place)] if DURING[kind] == "create" else []
    command = runtime.popen(DURING[kind], *bundle, name, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=(place / "err").open("wb"))
    until(lambda: hooked(token) or command.poll() is not None)
    assert command.poll() is None, (place / "err").read_text()
    return command


@pytest.mark.parametrize("kind", DURING)
def test_a_hook_dies_with_the_runtime(kind: str, runtime: Runtime, place: Path, name: str, token: str) -> None:
    prepare(place, kind, token)
    before = Snapshot.take(name, runtime.root)
    command = reach(runtime, place, name, kind, token)
    command.kill()
    command.wait()
    if kind == "poststop":               # not done, so the next delete runs it again
        until(lambda: not hooked(token))
        config = runtime.root / name / "state.json"
        config.write_text(config.read_text().replace(f"exec sleep {token}", "true"))
    runtime.ok("delete", "--force", name)
    until(lambda: not hooked(token))
    assert before.settle(name, runtime.root) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("kind", DURING)
def test_a_signal_ends_the_wait(kind: str, number: int, runtime: Runtime, place: Path, name: str, token: str) -> None:
    prepare(place, kind, token)
    before = Snapshot.take(name, runtime.root)
    command = reach(runtime, place, name, kind, token)
    command.send_signal(number)
    assert command.wait(30) == 128 + number
    said = (place / "err").read_text().splitlines()
    assert f"interrupted by signal {number}" in said[-1] and "level=error" in said[-1]
    if kind in UNDONE:
        assert before.settle(name, runtime.root) == before
    else:
        runtime.ok("delete", "--force", name)        # the poststop hook that was ended does not run again
        assert before.settle(name, runtime.root) == before
    until(lambda: not hooked(token))


def test_a_foreground_run_is_not_deaf_either(runtime: Runtime, place: Path, name: str, token: str) -> None:
    for kind in ("createRuntime", "poststart", "poststop"):
        prepare(place / kind, kind, token)
        before = Snapshot.take(name, runtime.root)
        command = runtime.popen("run", "--bundle", place / kind, name, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: hooked(token))
        command.send_signal(signal.SIGTERM)
        assert command.wait(30) == (0 if kind == "poststop" else 143)
        assert before.settle(name, runtime.root) == before and not hooked(token)


def test_what_a_hook_leaves_running_stays(runtime: Runtime, place: Path, name: str, token: str) -> None:
    """A hook may start a daemon (of a network, of a device): only the hook itself is the runtime's."""
    prepare(place, "createRuntime", token)
    config = json.loads((place / "config.json").read_text())
    config["hooks"]["createRuntime"][0]["args"][2] = f"sleep {token} >/dev/null 2>&1 </dev/null &"
    (place / "config.json").write_text(json.dumps(config))
    assert runtime.run(name, place).status == 0
    until(lambda: hooked(token))         # the shell has forked; the fork may not have come to execute sleep yet
    [daemon] = hooked(token)
    os.kill(daemon, signal.SIGKILL)
    until(lambda: daemon not in world.children())
