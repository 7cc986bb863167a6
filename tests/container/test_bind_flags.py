"""What a bind mount has of its source's flags, for many sets of options, in and outside of a user namespace: as
mount(2) with MS_REMOUNT|MS_BIND makes it for runc."""
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, probe, runtimes, world
from tests.bundles import MOUNTS, minimal, namespaces
from tests.runtimes import Runtime

TIMES = ("noatime", "relatime", "strictatime")
FLAGS = ("ro", "nosuid", "nodev", "noexec")
CLEARS = {"rw": "ro", "suid": "nosuid", "dev": "nodev", "exec": "noexec", "diratime": "nodiratime", "atime": "noatime",
          "nostrictatime": "strictatime", "norelatime": "relatime"}
#: Flags of the sources; every mount has one of TIMES.
SOURCES = [["relatime"], ["noatime"], ["strictatime"], ["nodiratime", "relatime"], ["noatime", "nodiratime"],
           ["nosuid", "nodev", "relatime"], ["ro", "relatime"],
           ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"], ["nosuid", "noatime"],
           ["nodev", "noexec", "strictatime", "nodiratime"]]
OPTIONS = [[], ["ro"], ["rw"], ["nosuid"], ["suid"], ["nodev"], ["dev"], ["noexec"], ["exec"], ["nodiratime"],
           ["diratime"], ["noatime"], ["atime"], ["relatime"], ["norelatime"], ["strictatime"], ["nostrictatime"],
           ["nosuid", "nodev", "noexec"], ["ro", "suid"], ["ro", "noatime"], ["ro", "atime"], ["ro", "nodiratime"],
           ["ro", "diratime"], ["noatime", "nodiratime"], ["relatime", "nodiratime"], ["strictatime", "nodiratime"],
           ["nosuid", "atime", "diratime"], ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"],
           ["ro", "nosuid", "nodev", "noexec"], ["noatime", "atime"], ["nodiratime", "diratime", "ro"], ["ro", "rw"],
           ["nosuid", "suid", "nodev"], ["noatime", "relatime"], ["noatime", "strictatime"]]
CASES = [(source, options) for source in range(len(SOURCES)) for options in range(len(OPTIONS))]


def asks(options: list[str]) -> tuple[set[str], set[str]]:
    """(flags that are switched on at the end, flags that are switched off)"""
    asked, cleared = set[str](), set[str]()
    for option in options:
        if option in CLEARS:
            asked.discard(CLEARS[option])
            cleared.add(CLEARS[option])
        else:
            asked.add(option)
            cleared.discard(option)
    return asked, cleared


def expected(source: list[str], options: list[str], locked: bool) -> set[str] | str:
    """What the mount has; or what is said of it. The rules are those of do_remount() in Linux' fs/namespace.c, and of
    runc for what the kernel refuses."""
    held = set(source)
    if not options:
        return held
    asked, cleared = asks(options)
    chosen = asked & {*TIMES, "nodiratime"}
    time = next((name for name in ("strictatime", "noatime", "relatime") if name in asked), "relatime")
    times = {time} | asked & {"nodiratime"} if chosen else held & {*TIMES, "nodiratime"}
    wanted = asked & {*FLAGS} | times
    if not locked or (held & {*FLAGS} <= wanted and times == held & {*TIMES, "nodiratime"}):
        return wanted
    if held & cleared:
        return "cannot clear locked flags of the source"
    if chosen and times != held & {*TIMES, "nodiratime"}:
        return "cannot change locked access times of the source"
    return held | wanted


@pytest.fixture(scope="module")
def sources(private_world: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    top = tmp_path_factory.mktemp("sources")
    world.let_in(top)
    for number, flags in enumerate(SOURCES):
        place = top / str(number)
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        subprocess.run(["mount", "-o", f"remount,bind,{','.join(flags)}", place], check=True)
    yield top
    for number in range(len(SOURCES)):
        world.unmount(top / str(number))
    shutil.rmtree(top)


def has(line: str) -> tuple[str, set[str]]:
    """(destination, flags) of a line of mountinfo, with a word for what has none there."""
    entry = probe.mount(line)
    flags = {*entry["options"]} - {"rw"}
    return entry["point"], flags if flags & {"noatime", "relatime"} else {*flags, "strictatime"}


def bind(top: Path, source: int, options: int) -> dict[str, Any]:
    return {"destination": f"/m/{source}-{options}", "source": str(top / str(source)),
            "options": ["bind", *OPTIONS[options]]}


def container(top: Path, cases: list[tuple[int, int]], user: bool) -> dict[str, Any]:
    mapping = [{"containerID": 0, "hostID": 0, "size": 65536}]
    linux: dict[str, Any] = {"namespaces": namespaces("pid", "mount", *(["user"] if user else []))}
    if user:
        linux |= {"uidMappings": mapping, "gidMappings": mapping}
    return minimal(process={"args": ["cat", "/proc/self/mountinfo"]}, linux=linux,
                   mounts=[*MOUNTS[:2], *(bind(top, *case) for case in cases)])


def seen(runtime: Runtime, top: Path, bundle: Path, cases: list[tuple[int, int]], user: bool,
         name: str) -> dict[str, set[str]]:
    bundles.write(bundle, container(top, cases, user))
    return dict(has(line) for line in runtime.ok("run", "--bundle", bundle, name).stdout.splitlines())


@pytest.mark.parametrize("user", [False, True], ids=["on the host", "in a user namespace"])
def test_every_set_of_options_on_every_source(user: bool, runtime: Runtime, sources: Path, place: Path,
                                              name: str) -> None:
    work = [case for case in CASES if not isinstance(expected(SOURCES[case[0]], OPTIONS[case[1]], user), str)]
    found = seen(runtime, sources, bundles.bundle(place / "bundle"), work, user, name)
    wrong = {(*SOURCES[source], *OPTIONS[options]): found[f"/m/{source}-{options}"] for source, options in work
             if found[f"/m/{source}-{options}"] != expected(SOURCES[source], OPTIONS[options], user)}
    assert wrong == {}
    assert len(work) > (200 if not user else 100)


def test_what_a_user_namespace_may_not_change_is_refused(runtime: Runtime, sources: Path, place: Path,
                                                         name: str) -> None:
    bundle = bundles.bundle(place / "bundle")
    refused = [case for case in CASES if isinstance(expected(SOURCES[case[0]], OPTIONS[case[1]], True), str)]
    for source, options in refused:
        bundles.write(bundle, container(sources, [(source, options)], True))
        outcome = runtime.run(name, bundle)
        assert outcome.status == 1, (SOURCES[source], OPTIONS[options])
        assert str(expected(SOURCES[source], OPTIONS[options], True)) in outcome.stderr
        assert "operation not permitted: at mounts[2] in config.json" in outcome.stderr


@pytest.mark.parametrize("user", [False, True], ids=["on the host", "in a user namespace"])
def test_as_runc(user: bool, runtime: Runtime, sources: Path, place: Path, name: str) -> None:
    """Where an option asks for a flag: runc before 1.2 does nothing for those that only take one away."""
    if not (path := shutil.which("runc")):
        pytest.skip("there is no runc")
    runc = Runtime(runtimes.find(path), place / "runc")
    work = [case for case in CASES if asks(OPTIONS[case[1]])[0]
            and not isinstance(expected(SOURCES[case[0]], OPTIONS[case[1]], user), str)]
    if user:           # before 1.2 it kept only a locked "ro"
        work = [case for case in work if {*SOURCES[case[0]]} <= {"relatime", "ro"}]
    bundle = bundles.bundle(place / "bundle")
    ours, theirs = (seen(driven, sources, bundle, work, user, f"{name}-{driven.name}") for driven in (runtime, runc))
    differ = {(*SOURCES[source], *OPTIONS[options]): (ours[point], theirs[point]) for source, options in work
              if ours[point := f"/m/{source}-{options}"] != theirs[point]}
    assert differ == {}
