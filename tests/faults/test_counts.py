"""No limit is met unawares: any number of entries works, in a time that grows as they do, or is an error of the check
that has the place and the number."""
from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.config import shape
from tests import bundles, world
from tests.bundles import docker_like
from tests.faults import counts
from tests.runtimes import Runtime

FEW, MANY = 1250, 5000
NO_ROOM = "test_what_the_kernel_has_no_room_for_is_an_error_of_the_check"


@pytest.fixture
def many(request: pytest.FixtureRequest) -> int:
    """5,000. With --faults alone that many hooks, each a process, and that many faults that the guest is to find."""
    in_guest = request.node.get_closest_marker("guest") and request.node.originalname == NO_ROOM
    slow = in_guest or "hooks." in request.node.name
    return FEW if slow and not request.config.getoption("--faults") else MANY


def life(runtime: Runtime, bundle: Path, id: str) -> float:
    """Seconds of processor time that the commands of one container took: other work on the machine does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    runtime.ok("create", "--bundle", bundle, id)
    runtime.ok("start", id)
    runtime.wait_for(id, "stopped")
    runtime.ok("delete", id)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def here_and_in_guest(here: Iterable[str], in_guest: Iterable[str]) -> list[Any]:
    return [*map(pytest.param, here), *(pytest.param(name, marks=pytest.mark.guest) for name in in_guest)]


@pytest.fixture
def machine(request: pytest.FixtureRequest, private_world: None, place: Path) -> Iterator[None]:
    """In the guest there is a block device; and network namespaces, which their files hold on to."""
    if request.node.get_closest_marker("guest"):
        subprocess.run(["modprobe", "loop", "max_loop=1"], check=True)
    yield
    for namespace in place.glob("*/network-*"):
        world.unmount(namespace)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("property", here_and_in_guest(counts.WORK, counts.WORK_IN_GUEST))
@pytest.mark.usefixtures("machine")
def test_any_number_works(property: str, many: int, runtime: Runtime, place: Path, name: str) -> None:
    took = []
    for number in (many // 4, many):
        bundle = bundles.bundle(place / f"bundle-{number}")
        made = {**counts.WORK, **counts.WORK_IN_GUEST}[property]
        bundles.write(bundle, counts.config(made, number, bundle / "rootfs"))
        took.append(life(runtime, bundle, f"{name}-{number}"))
    # Four times as many: 16 times as long is what must not be. A busy machine has a second's grace.
    assert took[1] < 8 * took[0] + 1, took
    world.gone(name)
    left = world.Snapshot.take(name, runtime.root)
    assert (left.cgroups, [path for path in left.files if name in path]) == ([], [])


@pytest.mark.parametrize("property", here_and_in_guest(counts.LIMITED, counts.LIMITED_IN_GUEST))
def test_what_the_kernel_has_no_room_for_is_an_error_of_the_check(property: str, many: int, runtime: Runtime,
                                                                 place: Path, name: str) -> None:
    made, most, words = {**counts.LIMITED, **counts.LIMITED_IN_GUEST}[property]
    root = bundles.bundle(place / "bundle") / "rootfs"
    bundles.write(root.parent, counts.config(made, many, root))
    for command in (("check",), ("create", name)):
        done = runtime(command[0], "--bundle", root.parent, *command[1:])
        said = done.stdout + done.stderr
        assert done.status and words in said, said
        assert property.split(" ")[0] in said, said
    assert not (runtime.root / name).exists()
    if most:
        bundles.write(root.parent, counts.config(made, most, root))
        done = runtime("create", "--bundle", root.parent, name)
        assert done.status == 0, done.stderr


@pytest.fixture
def descriptors() -> Iterator[list[int]]:
    """MANY of them, from 3 on."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], MANY + 100), max(before[1], MANY + 100)))
    null = os.open("/dev/null", os.O_RDONLY)
    used = {int(entry) for entry in os.listdir("/proc/self/fd")}
    made = [number for number in range(3, 3 + MANY) if number not in used]
    for number in made:
        os.dup2(null, number)
    yield list(range(3, 3 + MANY))
    for number in (null, *made):
        os.close(number)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_descriptors(descriptors: list[int], runtime: Runtime, place: Path, name: str) -> None:
    """As many as are handed on."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["ls", "/proc/self/fd"], "rlimits": None}))
    done = runtime.ok("run", "--preserve-fds", str(MANY), "--bundle", bundle, name, pass_fds=descriptors)
    assert {int(line) for line in done.stdout.split()} >= set(descriptors)


def test_exec(runtime: Runtime, place: Path, name: str) -> None:
    """What a process file, flags and a file of limits may list."""
    runtime.create(name, bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]})))
    runtime.ok("start", name)
    file, numbers = place / "file.json", [str(number) for number in range(MANY)]
    for given in ({"env": [bundles.PATH, *(f"V{n}={n}" for n in numbers)]}, {"args": ["true", *numbers]},
                  {"user": {"uid": 0, "gid": 0, "additionalGids": [*map(int, numbers)]}}):
        file.write_text(json.dumps({"cwd": "/", "args": ["true"], "env": [bundles.PATH], **given}))
        runtime.ok("exec", "--process", file, name)
    for flag, value in (("--env", "V{}=1"), ("--additional-gids", "{}"), ("--cap", "CAP_KILL")):
        runtime.ok("exec", *(word for n in numbers for word in (flag, value.format(n))), name, "true")
    file.write_text(json.dumps({"devices": counts.rules(MANY)}))
    runtime.ok("update", "--resources", file, name)


def test_explain_has_every_step(runtime: Runtime, place: Path, name: str) -> None:
    root = bundles.bundle(place / "bundle") / "rootfs"
    bundles.write(root.parent, counts.config(counts.binds, MANY, root))
    steps = runtime.ok("explain", "--format", "lines", "--bundle", root.parent, name).stdout.splitlines()
    assert len(steps) > 2 * MANY


def lists(node: tuple[Any, ...], path: str) -> Iterator[str]:
    """The path of each list and table of any size below a node of the schema."""
    if node[0] is list:
        yield path
        yield from lists(node[1], f"{path}[]")
    elif node[0] is dict:
        if isinstance(node[3], tuple):
            yield path
        for name, below in node[1].items():
            yield from lists(below, f"{path}.{name}".lstrip("."))


#: Tried under another name, or without a meaning where pyrunc runs.
SAME = {"mounts[].uidMappings": "mounts[7].uidMappings", "mounts[].gidMappings": "mounts[7].uidMappings",
        "mounts": "mounts, bind", "linux.intelRdt.schemata": "linux.intelRdt",
        "linux.seccomp.syscalls[].args": "linux.seccomp (arguments of one call)"}


def test_none_is_forgotten() -> None:
    tried = {*counts.WORK, *counts.WORK_IN_GUEST, *counts.LIMITED, *counts.LIMITED_IN_GUEST}
    tried |= {name.split(" (")[0] for name in tried}
    sets = {"bounding", "effective", "inheritable", "permitted", "ambient"}
    for path in lists(shape.CONFIG, ""):
        known = SAME.get(path, path)
        if path.startswith("hooks.") and "[]." in path:                # a hook is a hook
            known = f"hooks.createRuntime[].{path.rpartition('.')[2]}"
        if path.rpartition(".")[2] in sets and path.startswith("process.capabilities."):
            known = "process.capabilities"
        assert known in tried, path
