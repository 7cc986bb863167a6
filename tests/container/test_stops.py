"""`--break`: the runtime stops before a step, and what is there to be seen is what the steps before it have made."""
from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import bundles, world
from tests.bundles import docker_like
from tests.runtimes import Runtime

LINE = re.compile(r"stopped before step (\d+), ([a-z_.]+)(?:#\d+)?( \((\S+)\))?: .*?(nsenter -a -t (\d+).*)?; "
                  r"go on: fg or kill -CONT (\d+)")


@pytest.fixture
def bundle(place: Path) -> Path:
    return bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"], "noNewPrivileges": True}))


def explained(runtime: Runtime, bundle: Path, name: str) -> list[str]:
    """The lines of explain, one a step, without its head."""
    return runtime.ok("explain", "--no-check", "--bundle", bundle, name).stdout.partition("\n\n")[2].splitlines()


class Stopping:
    """A command with breaks, which is looked at each time it has stopped."""

    def __init__(self, runtime: Runtime, *args: str | Path, env: dict[str, str] | None = None) -> None:
        self.log = runtime.root.parent / "said"
        with self.log.open("wb") as said:
            self.process = runtime.popen(*args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
                                         env=env)

    def stop(self) -> re.Match[str]:
        """The line of the next stop, when the process has stopped."""
        pid, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert pid and os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP, self.log.read_text()
        match = LINE.search(self.log.read_text().splitlines()[-1])
        assert match and int(match[7]) == self.process.pid, self.log.read_text()
        return match

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> int:
        return self.process.wait(30)


def test_between_the_steps_of_the_init(runtime: Runtime, bundle: Path, name: str) -> None:
    words = [word for step in ("mounts.proc", "process.no_new_privileges", "state.save") for word in ("--break", step)]
    create = Stopping(runtime, *words, "create", "--bundle", bundle, name)
    first = create.stop()
    assert first[2] == "mounts.proc" and first[4] == "mounts[0]"
    pid = first[6]
    # The namespaces are there and the root is bound, nothing is mounted in it, and the root is still the host's.
    assert os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    mounted = [line.split()[4] for line in world.lines(f"/proc/{pid}/mountinfo")]
    assert str(bundle / "rootfs") in mounted and str(bundle / "rootfs/proc") not in mounted
    assert runtime.status(name) == "creating"
    create.go_on()

    second = create.stop()
    assert second[2] == "process.no_new_privileges" and second[6] == pid
    # In the last stage: the root is switched, the privilege not yet given up.
    mounted = [line.split()[4] for line in world.lines(f"/proc/{pid}/mountinfo")]
    assert "/proc" in mounted and not any(point.startswith(str(bundle)) for point in mounted)
    assert "NoNewPrivs:\t0" in Path(f"/proc/{pid}/status").read_text()
    inside = subprocess.run(["nsenter", "-a", "-t", pid, "/bin/busybox", "hostname"], capture_output=True, text=True,
                            check=True)
    assert inside.stdout.strip() == docker_like()["hostname"]
    create.go_on()

    third = create.stop()
    assert third[2] == "state.save"
    assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
    assert not (runtime.root / name / "state.json").exists()
    create.go_on()
    assert create.end() == 0
    assert runtime.status(name) == "created"
    runtime.ok("start", name)
    assert runtime.status(name) == "running"


@pytest.mark.parametrize("command", ["create", "run"])
def test_ended_before_any_step_of_the_runtime(command: str, runtime: Runtime, bundle: Path, name: str) -> None:
    """From the first one on, for which there is nothing to undo: what was not begun is not taken back."""
    before = world.Snapshot.take(name, runtime.root)
    lines = [line.split() for line in explained(runtime, bundle, name)]
    numbers = [line[0] for line in lines if line[1] == "parent" and not line[2].startswith("barrier")]
    assert numbers[0] == "0" and len(numbers) > 8
    for number in numbers:
        stopping = Stopping(runtime, "--break", number, command, "--bundle", bundle, name)
        stopping.stop()
        stopping.process.send_signal(signal.SIGTERM)
        stopping.go_on()
        assert stopping.end() == 128 + signal.SIGTERM
        said = stopping.log.read_text().splitlines()
        assert len(said) == 2 and "interrupted by signal 15" in said[1], f"step {number}: {said}"
        assert before.settle(name, runtime.root) == before, f"step {number}"


@pytest.mark.parametrize("step", ["cgroup.create", "mounts[1]", "root.switch"])
def test_ended_while_it_stands_nothing_is_left(step: str, runtime: Runtime, bundle: Path, name: str) -> None:
    before = world.Snapshot.take(name, runtime.root)
    create = Stopping(runtime, "--break", step, "create", "--bundle", bundle, name)
    create.stop()
    create.process.send_signal(signal.SIGTERM)
    create.go_on()
    assert create.end() == 128 + signal.SIGTERM
    assert not (runtime.root / name).exists()
    assert before.settle(name, runtime.root) == before


def test_killed_while_it_stands(runtime: Runtime, bundle: Path, name: str) -> None:
    create = Stopping(runtime, "--break", "root.switch", "create", "--bundle", bundle, name)
    pid = create.stop()[6]
    create.process.kill()
    create.end()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "the init outlives the runtime that it waits for"
    runtime.ok("delete", "--force", name)
    assert not (world.CGROUP / name).exists()


def test_a_whole_subject_and_a_number(runtime: Runtime, bundle: Path, name: str) -> None:
    """`devices` is every step of steps/devices.py; a number is what `explain` prints."""
    lines = explained(runtime, bundle, name)
    devices = [int(line.split()[0]) for line in lines if line.split()[2].startswith("devices.")]
    number = next(int(line.split()[0]) for line in lines if " root.switch " in line)
    create = Stopping(runtime, "--break", "devices", "--break", str(number), "create", "--bundle", bundle, name)
    seen: list[int] = []
    while len(seen) < len(devices) + 1:
        seen.append(int(create.stop()[1]))
        create.go_on()
    assert seen == [*devices, number]
    assert create.end() == 0


def test_exec_by_the_environment(runtime: Runtime, bundle: Path, name: str) -> None:
    runtime.create(name, bundle)
    runtime.ok("start", name)
    exec = Stopping(runtime, "exec", name, "true", env={**os.environ, "PYRUNC_BREAK": "process.exec,nonesuch"})
    stop = exec.stop()
    # Everything but execve is done: the process is in the container's cgroup, root and pid namespace.
    assert Path(f"/proc/{stop[6]}/root/bin/busybox").exists() and not Path(f"/proc/{stop[6]}/root/work").exists()
    assert re.search(r"^NSpid:\t\d+\t\d+$", Path(f"/proc/{stop[6]}/status").read_text(), re.M)
    assert Path(f"/proc/{stop[6]}/exe").readlink().name != "busybox"
    exec.go_on()
    assert exec.end() == 0


def test_a_program_of_exec_waits_until_the_runtime_knows_it(runtime: Runtime, bundle: Path, name: str) -> None:
    """It may end at once: a runtime that is slow after the clone does not take that for a failure."""
    runtime.create(name, bundle)
    runtime.ok("start", name)
    exec = Stopping(runtime, "exec", name, "touch", "/tmp/ran",
                    env={**os.environ, "PYRUNC_BREAK": "namespaces.adopt"})
    exec.stop()
    time.sleep(0.5)
    assert not (bundle / "rootfs/tmp/ran").exists()
    exec.go_on()
    assert exec.end() == 0
    assert (bundle / "rootfs/tmp/ran").exists()


def until_it_has_let_go(pid: int) -> None:
    """Until a process that has been killed has no namespaces any more."""
    deadline = time.monotonic() + 60
    while True:
        try:
            os.readlink(f"/proc/{pid}/ns/mnt")
        except OSError:
            return
        assert time.monotonic() < deadline, f"process {pid} goes on"
        time.sleep(0.005)


@pytest.mark.timeout(600)
def test_a_container_that_is_deleted_before_a_step_of_exec(runtime: Runtime, bundle: Path, name: str) -> None:
    """Whichever step: that it is gone is told, not what is missed of it. Engines read "no such file" as a program's."""
    seen: list[str] = []
    for number in itertools.takewhile(lambda _: "process.exec" not in seen, itertools.count(1)):
        init = runtime.create(name, bundle)
        runtime.ok("start", name)
        exec = Stopping(runtime, "exec", name, "true", env={**os.environ, "PYRUNC_BREAK": str(number)})
        try:
            seen.append(exec.stop()[2])
        except AssertionError:
            assert f"this plan has no step {number}" in exec.log.read_text()         # a barrier has none
            runtime.ok("delete", "--force", name)
            continue
        delete = runtime.popen("delete", "--force", name)
        until_it_has_let_go(init.pid)            # the rest of its end may wait for exec's process, which is in its way
        exec.go_on()
        assert exec.end() in (255, 137) and delete.wait(30) == 0, (seen[-1], exec.log.read_text())
        told = exec.log.read_text().splitlines()[-1]
        assert "container not running" in told, (seen, told)
        assert not (world.CGROUP / name).exists()
        world.gone(name)
    assert {"join.cgroup", "namespaces.clone", "namespaces.join", "join.pid"} < set(seen)


@pytest.mark.parametrize(("step", "why"), [
    ("nonesuch", "this plan has no step nonesuch"), ("process.exec", "the runtime has ended by then")])
def test_where_nothing_can_stop(step: str, why: str, runtime: Runtime, bundle: Path, name: str) -> None:
    refused = runtime("--break", step, "create", "--bundle", bundle, name)
    assert refused.status == 1 and why in refused.stderr
    assert not (runtime.root / name).exists()


@pytest.fixture(autouse=True)
def clean(runtime: Runtime) -> Iterator[None]:
    yield
    world.children()
