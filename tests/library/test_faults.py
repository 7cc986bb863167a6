"""A fault at each step of each plan, before the step has acted and after it: what was made goes, the caller stays as it
was, and nobody stays behind in the container's namespaces."""
from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import pyrunc
from tests import world
from tests.bundles import SLEEPER
from tests.library import faulty
from tests.library.conftest import config_of
from tests.library.test_keeper import keeper_of, memory, myself, until

TRUE = {"path": "/bin/true"}
HOOKS = {kind: [TRUE] for kind in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")}
LIMITS = {"unified": {"cgroup.max.descendants": "100", "cgroup.max.depth": "10"}}      # which need no controller


class Place:
    """A library whose keeper can be made to fail."""

    def __init__(self, folder: str, rootfs: str, name: str, *args: str) -> None:
        self.folder, self.name = Path(folder), name
        self.config = config_of(Path(rootfs), *args, hooks=HOOKS)
        self.images = str(self.folder / "images")
        os.environ["PYRUNC"] = str(faulty.program(self.folder))
        self.cgroup = ""
        self.library = pyrunc.Runtime(root=str(self.folder / "state"))

    def steps(self, command: str) -> list[str]:
        """The ids of the command's plan."""
        found: list[str] = json.loads((self.folder / f"{command}.ids").read_text())
        return found

    def fail(self, command: str, id: str, when: str) -> None:
        (self.folder / "fault").write_text(json.dumps([command, id, when, errno.EIO]))

    def faultless(self) -> None:
        with suppress(FileNotFoundError):
            (self.folder / "fault").unlink()

    def create(self) -> pyrunc.Container:
        return self.library.create(self.name, config=self.config)

    def restore(self) -> pyrunc.Container:
        return self.library.restore(self.name, self.images, config=self.config)

    def running(self) -> pyrunc.Container:
        container = self.create()
        container.start()
        self.cgroup = json.loads((self.folder / "state" / self.name / "state.json").read_text())["cgroup"]
        return container

    def life(self) -> None:
        """Every operation once, without a fault."""
        with self.running() as container:
            with container.exec(["true"]) as process:
                assert process.wait(60) == 0
            container.update(LIMITS)
            container.pause()
            container.resume()
            container.kill("KILL", all=True)
            container.wait(60)

    def life_in_images(self) -> None:
        """checkpoint and restore once, without a fault. The images stay."""
        self.running().checkpoint(self.images)
        with self.restore() as container:
            assert container.status == "running"

    def nothing_is_left(self) -> None:
        assert self.library.containers() == []
        world.gone(self.name)
        assert self.cgroup and not os.path.exists(self.cgroup)

    def fds_of_keeper(self) -> int:
        """When its workers have ended."""
        keeper = keeper_of(self.library)
        until(lambda: Path(f"/proc/{keeper}/task/{keeper}/children").read_text() == "")
        return len(os.listdir(f"/proc/{keeper}/fd"))


def inside(container: pyrunc.Container) -> set[int]:
    """Who is in one of the container's own namespaces."""
    kinds = ("net", "ipc", "uts", "mnt", "pid")
    own = {os.readlink(f"/proc/{container.pid}/ns/{kind}") for kind in kinds}
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if own & {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds}:
                found.add(int(pid))
    return found


def create(place: Place) -> Iterator[str]:
    for id in place.steps("create"):
        for when in ("before", "after"):
            place.fail("create", id, when)
            with pytest.raises(pyrunc.StepError, match="input/output error") as raised:
                place.create()
            assert raised.value.id == id
            place.nothing_is_left()
            yield f"{id} {when}"


def start(place: Place) -> Iterator[str]:
    """What fails before the program runs leaves a container that can be started again; later the container goes."""
    for id in place.steps("start"):
        for when in ("before", "after"):
            place.faultless()
            container = place.create()
            place.fail("start", id, when)
            with pytest.raises(pyrunc.StepError) as raised:
                container.start()
            assert raised.value.id == id
            place.faultless()
            if (id, when) == ("start.release", "before"):
                assert container.status == "created"
                container.start()
                container.delete(force=True)
            place.nothing_is_left()
            assert container.init is not None
            container.init.close()
            yield f"{id} {when}"


def exec(place: Place) -> Iterator[str]:
    with place.running() as container:
        for id in place.steps("exec"):
            for when in ("before", "after"):
                place.fail("exec", id, when)
                with pytest.raises(pyrunc.StepError) as raised:
                    container.exec(["sleep", "1000"])
                assert raised.value.id == id
                until(lambda: inside(container) == {container.pid})
                assert container.processes() == [container.pid]
                yield f"{id} {when}"
        place.faultless()
        with container.exec(["true"]) as process:
            assert process.wait(60) == 0


def short(place: Place) -> Iterator[str]:
    """kill, pause, resume and update: the container goes on, and the next try succeeds."""
    operations: dict[str, Callable[[pyrunc.Container], None]] = {
        "update": lambda container: container.update(LIMITS), "pause": lambda container: container.pause(),
        "resume": lambda container: container.resume(), "kill": lambda container: container.kill("CONT")}
    with place.running() as container:
        for command, act in operations.items():
            for id in place.steps(command):
                for when in ("before", "after"):
                    place.faultless()
                    if command == "resume" and container.status != "paused":
                        container.pause()
                    place.fail(command, id, when)
                    with pytest.raises(pyrunc.StepError) as raised:
                        act(container)
                    assert raised.value.id == id
                    place.faultless()
                    if container.status == "paused" and command != "resume":
                        container.resume()
                    yield f"{id} {when}"
            if command == "resume" and container.status != "paused":
                container.pause()
            act(container)
            if command == "pause":
                container.resume()
        assert container.status == "running"


def delete(place: Place) -> Iterator[str]:
    """A delete that has failed can be repeated."""
    for id in place.steps("delete"):
        for when in ("before", "after"):
            place.faultless()
            container = place.running()
            place.fail("delete", id, when)
            with pytest.raises(pyrunc.StepError) as raised:
                container.delete(force=True)
            assert raised.value.id == id
            place.faultless()
            container.delete(force=True)
            place.nothing_is_left()
            yield f"{id} {when}"


def checkpoint(place: Place) -> Iterator[str]:
    """The container goes on, and the next try writes it; what fails when it is written leaves a stopped one."""
    for id in place.steps("checkpoint"):
        for when in ("before", "after"):
            container = place.running()
            place.fail("checkpoint", id, when)
            with pytest.raises(pyrunc.StepError, match="input/output error") as raised:
                container.checkpoint(place.images)
            assert raised.value.id == id
            place.faultless()
            if (id, when) == ("checkpoint.dump", "after"):
                assert container.wait(60) == -signal.SIGKILL
                assert container.status == "stopped"
                container.delete()
            else:
                assert container.status == "running"
                container.checkpoint(place.images)
            place.nothing_is_left()
            yield f"{id} {when}"


def restore(place: Place) -> Iterator[str]:
    """From the images, which each failed one leaves as they were."""
    for id in place.steps("restore"):
        for when in ("before", "after"):
            place.fail("restore", id, when)
            with pytest.raises(pyrunc.StepError, match="input/output error") as raised:
                place.restore()
            assert raised.value.id == id
            place.nothing_is_left()
            yield f"{id} {when}"
    place.faultless()
    with place.restore() as container:
        assert container.status == "running"


PLANS: dict[str, Callable[[Place], Iterator[str]]] = {
    "create": create, "start": start, "exec": exec, "short": short, "delete": delete,
    "checkpoint": checkpoint, "restore": restore}


def tried(which: str, *given: Any) -> None:
    """All faults of one plan, and this process around each of them. Prints how many there were."""
    images = PLANS[which] in (checkpoint, restore)
    place = Place(*given, *(SLEEPER if images else ()))       # (of a shell its sleep would be another process)
    life = place.life_in_images if images else place.life
    with place.library:
        life()
        held, before, (maps, resident) = place.fds_of_keeper(), myself(), memory()
        count = 0
        opened = {"created": 0, "exec": 2, "short": 2}.get(which, 0)       # pidfd of a container that lives
        for what in PLANS[which](place):
            count += 1
            now = myself()
            assert len(now.pop("fds")) <= len(before["fds"]) + opened, what
            assert now == {key: value for key, value in before.items() if key != "fds"}, what
        place.faultless()
        life()
        place.nothing_is_left()
        assert myself() == before
        assert memory()[0] <= maps + 2 and memory()[1] <= resident + 1024
        until(lambda: place.fds_of_keeper() == held)
    print(count)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("which", "least"), [("create", 120), ("start", 4), ("exec", 70), ("short", 8), ("delete", 6)])
def test_a_fault_at_each_step_of(which: str, least: int, private_world: None, place: Path, rootfs: Path,
                                 name: str) -> None:
    """In a process of its own: the tests' own has a thread, and grows with what the guest says."""
    all_faults_of(which, least, place, rootfs, name)


@pytest.mark.guest
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("which", "least"), [("checkpoint", 8), ("restore", 28)])
def test_a_fault_at_each_step_with_criu_of(which: str, least: int, private_world: None, place: Path, rootfs: Path,
                                           name: str) -> None:
    """The same in the guest: CRIU works there."""
    all_faults_of(which, least, place, rootfs, name)


def all_faults_of(which: str, least: int, place: Path, rootfs: Path, name: str) -> None:
    script = f"from tests.library import test_faults; test_faults.tried{(which, str(place), str(rootfs), name)!r}"
    done = subprocess.run([sys.executable, "-c", script], cwd=faulty.TREE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least
