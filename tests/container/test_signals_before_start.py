"""Signals for a container that has not been started: which of them end it, beside runc."""
from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests import bundles, runtimes
from tests.bundles import docker_like
from tests.runtimes import Runtime

NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")
#: What runc's init, a program in Go, takes for a wish that it end, or for a fault.
ENDING = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGTERM, signal.SIGILL, signal.SIGTRAP,
          signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV, signal.SIGSTKFLT]
#: Neither of them ends by: the kernel's own two, what stops a process, and SIGSYS, by which a filter ends one. Of
#: runc the numbers that the C library keeps for itself, and where those of users begin, tell nothing.
LEFT_OUT = {signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGSYS, 32, 33, 34}
PASSING = [number for number in range(1, 65) if number not in {*ENDING, *LEFT_OUT}]


@pytest.fixture(params=[NAMESPACES, NAMESPACES[1:]], ids=["pid namespace", "host's pids"])
def bundle(request: pytest.FixtureRequest, place: Path) -> Path:
    return bundles.bundle(place / "bundle", docker_like(
        process={"args": ["sleep", "1000"]}, linux={"namespaces": bundles.namespaces(*request.param)}))


@pytest.fixture(params=["", "runc"], ids=["ours", "runc"])
def driven(request: pytest.FixtureRequest, runtime: Runtime, place: Path) -> Runtime:
    """The runtime under test, and runc, in whose place engines put it."""
    return Runtime(runtimes.find(request.param), place / "runc") if request.param else runtime


def lives(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    return state not in "ZX"


@pytest.mark.spec("runtime.md#kill", "the signal arrives")
@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_a_signal_that_asks_for_the_end_ends_a_created_container(driven: Runtime, bundle: Path, name: str,
                                                                 number: signal.Signals) -> None:
    init = driven.create(name, bundle)
    driven.ok("kill", name, number.name)
    code = init.wait()
    driven.wait_for(name, "stopped")
    assert "has stopped" in driven("start", name).stderr or driven.name == "runc"
    driven.ok("delete", name)
    if driven.name == "pyrunc":
        assert code == 128 + number


def test_no_other_signal_ends_a_created_container(driven: Runtime, bundle: Path, name: str) -> None:
    init = driven.create(name, bundle)
    for number in PASSING:
        driven.ok("kill", name, str(number))
    time.sleep(0.2)
    assert lives(init.pid) and driven.status(name) == "created"
    driven.ok("start", name)                    # and the program has nothing of it: it runs, with default actions
    assert driven.status(name) == "running"
    driven.ok("delete", "--force", name)
    init.wait()


def test_the_default_signal_and_every_spelling_end_it(runtime: Runtime, bundle: Path, name: str) -> None:
    for words in ((), ("TERM",), ("sigterm",), ("15",)):
        init = runtime.create(name, bundle)
        runtime.ok("kill", name, *words)
        assert init.wait() == 143
        runtime.ok("delete", name)


def test_the_program_starts_with_default_actions(runtime: Runtime, place: Path, name: str) -> None:
    """Handlers end with execve(2), but what is ignored or blocked would stay so (signal(7))."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["grep", "^Sig", "/proc/self/status"]}))
    code, out = runtime.whole_life(name, bundle)
    masks = dict(line.split(":\t") for line in out.splitlines())
    assert code == 0 and {int(masks[key], 16) for key in ("SigBlk", "SigIgn", "SigCgt")} == {0}


def test_a_signal_while_a_start_container_hook_runs_ends_it(runtime: Runtime, place: Path, name: str) -> None:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "echo >/mark; sleep 1000"]}
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["true"]}, hooks={"startContainer": [hook]}))
    init = runtime.create(name, bundle)
    starting = runtime.popen("start", name)
    deadline = time.monotonic() + 60
    while not (bundle / "rootfs/mark").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(init.pid, signal.SIGTERM)
    assert init.wait() == 143
    assert starting.wait(60) == 1
    runtime.ok("delete", name)
