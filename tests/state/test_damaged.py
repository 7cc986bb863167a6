"""Files of the runtime's own that are damaged in every way: one clear line, the other containers are shown, and
`delete --force` gets rid of it."""
from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.cli.main import main
from pyrunc.kernel.stopping import STOPPING
from pyrunc.state import store

from .made import World

SEED = 9
#: What stands in the place of a value, in a JSON text.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1.5, 1e308, "", "x", "/", "/etc", "\u20ac" * 9, [], [[]],
    [None], ["x"], [{}], {}, {"x": {}}, {"pid": []}, {"x": "y"}, {"poststop": [[]]}, {"poststop": {}},
    {"poststop": [{"path": 5}]}, {"poststop": [{"path": "/nonexistent", "env": 3}]})
READERS = (["state", "bad"], ["ps", "bad"], ["kill", "bad", "0"], ["start", "bad"], ["exec", "bad", "true"],
           ["pause", "bad"], ["resume", "bad"], ["events", "--stats", "bad"], ["update", "--pids-limit", "5", "bad"],
           ["checkpoint", "--image-path", "/nonexistent", "bad"], ["delete", "bad"])
FULL: dict[str, Any] = {
    "annotations": {"a": "b"}, "hooks": {"poststop": [{"path": "/bin/true", "args": ["true"], "timeout": 3}]},
    "streams": ["", "pipe:[1]", ""], "user_manager": False, "mount_namespace": True,
    "options": {"id": "bad", "root": "/r", "preserve_fds": 0, "detach": True},
    "resctrl": {"root": "/nonexistent", "group": "/nonexistent/g", "monitor": "", "own": True}}


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    import signal
    before = [(number, signal.getsignal(number)) for number in STOPPING]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, the whole included."""
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from places(member, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at the place; DROP takes it out."""
    if not path:
        return new
    copy = json.loads(json.dumps(value))
    node = copy
    for key in path[:-1]:
        node = node[key]
    if new is DROP:
        del node[path[-1]]
    else:
        node[path[-1]] = new
    return copy


DROP = object()


def texts(record: dict[str, Any]) -> Iterator[bytes]:
    """The record damaged: each value another one or left out, the text cut, bytes of it other ones, no text at all."""
    whole = json.dumps(record)
    for path in places(record):
        for new in (*VALUES, *([DROP] if path else ())):
            yield json.dumps(changed(record, path, new)).encode()
    for end in range(0, len(whole), 7):
        yield whole[:end].encode()
    chosen = random.Random(SEED)
    for _ in range(300):
        data = bytearray(whole.encode())
        for _ in range(chosen.choice((1, 1, 2, 8))):
            data[chosen.randrange(len(data))] = chosen.randrange(256)
        yield bytes(data)
    yield from (b"\0" * 512, b"\xff" * 99, b"[" * 5000, b"[" * 100 + b"]" * 100, b" ", b'"', b"9" * 5000,
                b'{"a":1,"a":2}')


def tell(made: World, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["--root", str(made.root), *words])
    said = capfd.readouterr()
    assert "internal error" not in said.err and "Traceback" not in said.err, said.err
    assert said.err.count("level=error") <= 1
    return status, said.out, said.err


def bad(made: World, file: str) -> dict[str, Any]:
    """A container `bad` of which one file is going to be damaged; what is in it."""
    directory = made.intent("bad", **FULL) if file == store.INTENT else made.stopped("bad", **FULL)
    record: dict[str, Any] = json.loads((directory / file).read_text())
    return record


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("file", [store.STATE, store.INTENT])
def test_a_damaged_record(file: str, part: int, made: World, capfd: pytest.CaptureFixture[str]) -> None:
    """Some 1,500 texts for each file."""
    made.stopped("good")
    path = made.root / "bad" / file
    record = bad(made, file)
    damaged = list(texts(record))
    assert len(damaged) > 1000
    for number, data in enumerate(damaged[part::4]):
        path.write_bytes(data)
        status, ids, _ = tell(made, capfd, "list", "--quiet")
        assert status == 0 and "good" in ids.split(), data
        assert tell(made, capfd, "list", "--format", "json")[0] == 0
        tell(made, capfd, *READERS[number % (len(READERS) - 1)])
        if number % 10 == 0:
            tell(made, capfd, "delete", "bad")
            status, _, error = tell(made, capfd, "delete", "--force", "bad")
            assert status == 0, (error, data)
            assert [path.name for path in made.root.iterdir()] == ["good"], data
            bad(made, file)


@pytest.mark.parametrize("words", READERS, ids=lambda words: words[0])
def test_what_each_command_says(words: list[str], made: World, capfd: pytest.CaptureFixture[str]) -> None:
    path = made.root / "bad" / store.STATE
    record = bad(made, store.STATE)
    for change, fault in (
            ({"pid": "1"}, "pid is of another type"), ({"pid": 2**31}, "pid is out of range"),
            ({"pid": True}, "pid is of another type"), ({"hooks": {"poststop": [[]]}}, "hooks.poststop[0]"),
            ({"id": "good"}, "it is another container's"), ({"cgroup": "x"}, "cgroup is no absolute path"),
            ({"cgroup": "/sys/fs/cgroup", "mark": ""}, "mark is empty")):
        path.write_text(json.dumps({**record, **change}))
        status, _, error = tell(made, capfd, *words)
        assert status in (1, 255) and f"{path} is damaged: " in error and fault in error
    for text, fault in (("[]", "is damaged: it is not an object"), ("{", "invalid JSON"), ("{}", "has version None")):
        path.write_text(text)
        status, _, error = tell(made, capfd, *words)
        assert status in (1, 255) and fault in error and str(path) in error


@pytest.mark.parametrize("words", [["exec", "bad", "true"], ["update", "--pids-limit", "5", "bad"],
                                   ["checkpoint", "--image-path", "/nonexistent", "bad"]], ids=lambda words: words[0])
def test_a_damaged_config(words: list[str], made: World, capfd: pytest.CaptureFixture[str]) -> None:
    """exec, update and checkpoint plan from the copy of config.json: it is checked as the bundle's was."""
    path = made.running("bad") / store.CONFIG
    config = {"ociVersion": "1.0.0", "root": {"path": "r"},
              "process": {"args": ["x"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
              "linux": {"resources": {"pids": {"limit": 3}}, "namespaces": [{"type": "pid"}]}}
    for where in places(config):
        for new in VALUES:
            if where and new is not None and type(new) is not type(_at(config, where)):
                path.write_text(json.dumps(changed(config, where, new)))
                status, _, error = tell(made, capfd, *words)
                assert status in (1, 255) and f"{path} is damaged: " in error, (where, new, error)
    path.unlink()
    assert "container does not exist" in tell(made, capfd, *words)[2]


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def test_a_large_config_can_be_read_again(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    """What config.json may hold in 16 MiB takes six times as much in the state, which is ASCII."""
    made.stopped("bad", annotations={"a": "\x7f" * (15 << 20)})
    assert tell(made, capfd, "state", "bad")[0] == 0
    assert tell(made, capfd, "delete", "bad")[0] == 0


def test_a_damaged_count_of_hooks(made: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for text in (b"", b"x", b"\xff" * 40, b"1.5", b"[1]"):
        log = tmp_path / "log"
        hook = tmp_path / "hook"
        hook.write_text(f"#!/bin/sh\necho ran >>{log}\n")
        hook.chmod(0o755)
        directory = made.stopped("bad", hooks={"poststop": [{"path": str(hook)}]})
        (directory / "poststop").write_bytes(text)
        assert tell(made, capfd, "delete", "bad")[0] == 0
        assert log.read_text() == "ran\n"
        log.unlink()


@pytest.mark.parametrize("journal", [b"", b"\0" * 4096, b"\xff" * 4096, bytes(16) + b"\x05" * 4080,
                                     bytes(16) + b"\xff\xff\xff\x7f\x05\0\0\0" + bytes(4072)], ids=range(5))
@pytest.mark.parametrize("plan", [
    None, "", "[]", "{", '{"steps": []}', '{"steps": 5}', '{"steps": [1, [1]]}', '{"steps": [[1, 2, 3, 4, 5]]}',
    '{"steps": [["a", "b", "c", [], {}]]}', '{"version": 1, "command": "create", "steps": []}'])
def test_a_damaged_journal(plan: str | None, journal: bytes, made: World, capfd: pytest.CaptureFixture[str]) -> None:
    """start reads there what became of the init, and in the plan, or if need be in the configuration, at what step."""
    directory = made.created("bad", phase=5, stay=0)
    if plan is not None:
        (directory / store.PLAN).write_text(plan)
        (directory / store.PLAN).chmod(0o600)
    made.processes[-1].kill()
    made.processes[-1].wait()
    from pyrunc.errors import PyruncError
    from pyrunc.kernel.page import read
    from pyrunc.state.container import Container
    from pyrunc.steps.start import ended
    (directory / store.JOURNAL).write_bytes(journal)
    try:
        assert isinstance(ended(Container.load(str(made.root), "bad"), read(journal)), PyruncError)
    except PyruncError as fault:
        assert "is damaged" in str(fault)


@pytest.mark.parametrize("name", [store.STATE, store.INTENT, store.CONFIG, store.PLAN, store.JOURNAL, "poststop",
                                  store.FIFO])
@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "socket"])
def test_something_else_in_the_place_of_a_file(kind: str, name: str, made: World,
                                               capfd: pytest.CaptureFixture[str]) -> None:
    import os
    import socket
    made.stopped("good")
    directory = made.stopped("bad", hooks={"poststop": [{"path": "/bin/true"}]})
    path = directory / name
    path.unlink(missing_ok=True)
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as made_socket:
            made_socket.bind(os.fspath(path))
    for words in READERS[:-1]:
        tell(made, capfd, *words)
    assert "good" in tell(made, capfd, "list", "--quiet")[1]
    assert tell(made, capfd, "delete", "--force", "bad")[0] == 0
    assert [path.name for path in made.root.iterdir()] == ["good"]
