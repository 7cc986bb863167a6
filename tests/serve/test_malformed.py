"""Bodies that are wrong in many ways, for every endpoint that takes one: each gets a 4xx and a line, and no more."""
from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pyrunc.manager import Manager
from pyrunc.serve.client import Client
from pyrunc.serve.openapi import document
from tests.bundles import Config, merge
from tests.malformed import MALFORMED
from tests.manager.conftest import config_of, running

#: (path, body); `{id}` in the path is a container's that runs.
Wrong = tuple[str, bytes]

CREATE, EXPLAIN, ONE = "/v1/containers", "/v1/explain", "/v1/containers/{id}"
#: A value of every type that JSON has, and of the sizes that matter.
VALUES: tuple[Any, ...] = (None, True, 1.5, 10 ** 30, "x", [], [1], {}, {"a": 1})


def sound(config: Config, id: str) -> dict[str, Any]:
    """A body for each endpoint that has every property it can have: what is changed in it is all that is wrong."""
    probe = {"exec": ["true"], "initial_delay": 1, "period": 1, "timeout": 1, "success_threshold": 1,
             "failure_threshold": 1, "start_period": 1, "start_interval": 1}
    http = {**probe, "http": {"port": 80, "path": "/", "host": "127.0.0.1"}}
    del http["exec"]
    return {
        CREATE: {"id": id, "config": config, "bundle": "/", "handler": "pyrunc", "labels": {"a": "b"}, "timeout": 9,
                 "start": False, "trace": False, "images": "",
                 "stdio": {"stdin": {"kind": "null"}, "stdout": {"kind": "log", "size": 1 << 20, "files": 2},
                           "stderr": {"kind": "file", "path": "/dev/null"}},
                 "restart": {"mode": "no", "limit": 0}, "health": {"startup": probe, "liveness": http, "kills": True},
                 "stop": {"signal": "TERM", "grace": 1, "pre_stop": ["true"]},
                 "watch": {"cpu": 0.1, "memory": 0.1, "io": 0.1}},
        EXPLAIN: {"config": config, "bundle": "/"},
        f"{ONE}/stop": {"grace": 1, "signal": "TERM"},
        f"{ONE}/kill": {"signal": "TERM", "all": False},
        f"{ONE}/wait": {"timeout": 1},
        f"{ONE}/exec": {"args": ["true"], "stdin": "x", "timeout": 1},
        f"{ONE}/update": {"resources": {"pids": {"limit": 10}}},
        f"{ONE}/checkpoint": {"image_path": "/nonesuch", "work_path": "", "parent_path": "", "leave_running": True,
                              "pre_dump": False, "tcp_established": False, "ext_unix_sk": False, "file_locks": False}}


def no_json(good: bytes) -> Iterator[bytes]:
    """Text that is none, cut off, or not all of it."""
    yield from (b"{", b"}", b"[", b"nul", b"'x'", b"\0", b"\xff\xfe{}", b"{}{}", b"{},", b"//\n{}", b"{'a': 1}",
                b"{a: 1}", b'{"a": 1,}', b'{"a" 1}', b'{"a": 01}', b'{"a": +1}', b'{"a": .5}', b'{"a": 0x1}',
                b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b'{"a": tru}', b'{"a": "\n"}', b'{"a": "\\x"}',
                b'{"a": "\\u12"}', b'{"a": "\xc3\x28"}', b'{"a": "\xed\xa0\x80"}', b"[" * 100000, b'{"a":' * 50000)
    yield good.decode().encode("utf-16-le")
    for part in (1, 3, 7, 15):
        yield good[:len(good) * part // 16]


def no_object() -> Iterator[bytes]:
    """JSON, but no object."""
    yield from (b"[]", b"null", b"true", b"1", b"1e400", b'"x"', b'[{"id": "x"}]')


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything is in a body, but not in a config: there the runtime's own checks are asked."""
    if path:
        yield path
    if path[-1:] != ("config",):
        inside = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
        for key, inner in inside.items():
            yield from places(inner, (*path, key))


def changed(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value there."""
    found = made = copy.deepcopy(body)
    for key in path[:-1]:
        found = found[key]
    found[path[-1]] = value
    return made


def by_schema(target: str, body: dict[str, Any], schema: dict[str, Any]) -> Iterator[bytes]:
    """Every value in turn of every other type, properties that nobody knows at every depth, and none where one must be:
    all that the published schema refuses."""
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(body), target
    for path in places(body):
        for value in VALUES:
            other = changed(body, path, value)
            if not validator.is_valid(other):
                yield json.dumps(other).encode()
        other = changed(body, path, {"colour": "red"})
        if not validator.is_valid(other):
            yield json.dumps(other).encode()
    for name in body:
        other = {key: value for key, value in body.items() if key != name}
        if not validator.is_valid(other):
            yield json.dumps(other).encode()
    yield json.dumps({**body, "colour": "red"}).encode()


def out_of_range(body: dict[str, Any], id: str) -> Iterator[Wrong]:
    """Of the right type, but nothing that can be."""
    ids = ("", ".", "..", "a/b", "../x", "/x", "a b", "a\0b", "a\nb", "x" * 2000, "-\N{SNOWMAN}", "\ud800")
    wrong: dict[tuple[str, ...], tuple[Any, ...]] = {
        ("id",): (*ids, id), ("handler",): ("", "nonesuch", "../runc"), ("timeout",): (-1, -0.001),
        ("bundle",): ("relative", "/nonesuch"), ("restart", "mode"): ("", "sometimes", "NO"),
        ("health", "startup", "period"): (0, -1), ("health", "startup", "timeout"): (0, -1),
        ("health", "startup", "initial_delay"): (-1,), ("health", "startup", "start_period"): (-1,),
        ("health", "startup", "success_threshold"): (0, -1), ("health", "startup", "failure_threshold"): (0, -1),
        ("health", "startup", "exec"): ([],), ("health", "liveness", "tcp"): (80,),
        ("health", "liveness", "http"): (None,),
        ("stop", "signal"): ("", "NOTHING", "0", "-9", "999", "SIG"), ("stop", "grace"): (-1,),
        ("watch", "cpu"): (-0.1, 1.1, 1e300), ("watch", "io"): (-1, 2), ("watch", "memory"): (-1, 2),
        ("stdio", "stdout"): ({"kind": "pipe"},), ("stdio", "stdin"): ({"kind": "pipe"}, {"kind": "log"})}
    for path, values in wrong.items():
        for value in values:
            yield CREATE, json.dumps(changed(body[CREATE], path, value)).encode()
    for signal in ("", "NOTHING", "0", "-1", "65", "TERM ", "SIGSIG", "9.0", "\N{SUPERSCRIPT TWO}"):
        yield f"{ONE}/kill", json.dumps({"signal": signal}).encode()
        yield f"{ONE}/stop", json.dumps({"signal": signal}).encode()
    yield f"{ONE}/stop", b'{"grace": -1}'
    yield f"{ONE}/wait", b'{"timeout": -1}'
    yield f"{ONE}/exec", b'{"args": ["true"], "timeout": -0.1}'
    for images in ("", "relative", "../x"):
        yield f"{ONE}/checkpoint", json.dumps({"image_path": images}).encode()
    true = {"args": ["true"]}
    processes: list[Any] = [
        {}, {"args": []}, {"args": ["a\0b"]}, {**true, "process": {}}, {"process": {"args": []}},
        {"process": {"cwd": 1}}, {"process": {"args": ["a\0b"]}}, {"process": {**true, "cwd": "relative"}},
        {"process": {**true, "user": {"uid": -1}}}, {"process": {**true, "env": [1]}},
        {"process": {**true, "env": ["a\0b=c"]}}]
    for other in processes:
        yield f"{ONE}/exec", json.dumps(other).encode()
    limits: list[Any] = [{"pids": {"limit": "x"}}, {"memory": {"limit": {}}}, {"cpu": {"shares": -1.5}},
                         {"unified": {"../x": "1"}}, {"cpu": {"cpus": "a-b"}}, {"pids": []}]
    for resources in limits:
        yield f"{ONE}/update", json.dumps({"resources": resources}).encode()


def configs(config: Config, id: str) -> Iterator[Wrong]:
    """Every config that no container may come of (tests/malformed.py); of every eighth one is asked for."""
    for number, (_, wrong, _, _) in enumerate(MALFORMED):
        if isinstance(wrong, dict):
            other = merge(config, wrong)
            yield EXPLAIN, json.dumps({"config": other}).encode()
            if number % 8 == 0:
                yield CREATE, json.dumps({"id": id, "config": other}).encode()


def mutated(good: bytes) -> Iterator[bytes]:
    """One or more bytes replaced or left out: such a body may still be a good one."""
    chance = random.Random(11)
    for _ in range(100):
        text = bytearray(good)
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(text))
            if chance.random() < 0.5:
                del text[at:at + chance.randint(1, 40)]
            else:
                text[at:at + 1] = bytes([chance.randrange(256)])
        yield bytes(text)


def wrong(config: Config, id: str) -> dict[str, list[Wrong]]:
    """By kind, each of them once."""
    body, described = sound(config, f"{id}-new"), document()

    def schema(target: str) -> dict[str, Any]:
        takes = described["paths"][target]["post"]["requestBody"]["content"]["application/json"]["schema"]
        return {**takes, "components": described["components"]}
    kinds: dict[str, list[Wrong]] = {
        "no JSON": [(CREATE, one) for one in no_json(json.dumps(body[CREATE]).encode())],
        "no object": [(target, one) for target in body for one in no_object()],
        "schema": [(target, one) for target, good in body.items() for one in by_schema(target, good, schema(target))],
        "range": list(out_of_range(body, id)),
        "config": list(configs(config, f"{id}-new"))}
    return {kind: list(dict.fromkeys(all_of_it)) for kind, all_of_it in kinds.items()}


def test_there_are_five_hundred(tmp_path: Path) -> None:
    """Different ones, of the kinds that are wrong for sure."""
    kinds = wrong(config_of(tmp_path), "web")
    assert sum(map(len, kinds.values())) >= 500 and min(map(len, kinds.values())) >= 30, {
        kind: len(all_of_it) for kind, all_of_it in kinds.items()}


async def post(c: Client, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
    assert c._session is not None
    async with asyncio.timeout(30), c._session.post(f"http://x{target}", data=body) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else {}


@pytest.mark.parametrize("kind", ["no JSON", "no object", "schema", "range", "config"])
async def test_each_gets_a_4xx_and_a_line(m: Manager, path: Path, c: Client, rootfs: Path, name: str, kind: str,
                                          caplog: pytest.LogCaptureFixture) -> None:
    """And nothing comes of it: the container that runs goes on, none is made, and no descriptor stays."""
    alive = await running(m, name, rootfs)
    last, before = m.journal.last, len(os.listdir("/proc/self/fd"))
    with caplog.at_level(logging.WARNING):
        for target, body in wrong(config_of(rootfs), name)[kind]:
            status, said = await post(c, target.replace("{id}", name), body)
            assert 400 <= status < 500, (target, body[:2000], status, said)
            assert said["error"] and "\n" not in said["error"] and "internal error" not in said["error"], (body, said)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    assert [one.id for one in m.containers()] == [name] and alive.status == "running" and m.journal.last == last
    await alive.delete(force=True)
    await nothing_stays(m, before)


async def test_mutated_bodies_get_no_5xx(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    good = json.dumps({"id": name, "config": config_of(rootfs), "labels": {"a": "b"}, "stop": {"grace": 1.0}}).encode()
    await m.connection.open()
    assert await c.containers() == []
    before = len(os.listdir("/proc/self/fd"))
    for body in mutated(good):
        status, said = await post(c, CREATE, body)
        assert 200 <= status < 500, (body, status, said)
        for made in m.containers():                  # a change in a string may leave it a good one
            await made.delete(force=True)
    await nothing_stays(m, before)


async def nothing_stays(m: Manager, before: int) -> None:
    """Of descriptors (the connection to the keeper and the client's own may be new) and folders."""
    await asyncio.sleep(0.1)
    assert len(os.listdir("/proc/self/fd")) <= before + 2 and list((m.directory.path / "containers").iterdir()) == []


@pytest.mark.parametrize("head", [
    b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"Content-Length: -1\r\n\r\n{}",
    b"Content-Length: x\r\n\r\n{}",
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
    b"Transfer-Encoding: gzip\r\n\r\n{}",
    b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"\0: x\r\nContent-Length: 2\r\n\r\n{}",
    b"Expect: nothing\r\nContent-Length: 2\r\n\r\n{}"], ids=[
        "two lengths", "negative", "no number", "no chunk", "negative chunk", "unknown coding", "no gzip",
        "length and chunks", "name of a header", "expectation"])
async def test_a_body_that_is_badly_framed_is_refused(m: Manager, path: Path, head: bytes,
                                                      caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(b"POST /v1/explain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head)
        async with asyncio.timeout(20):
            said = await reader.read(65536)
    except ConnectionError:
        said = b""
    finally:
        writer.close()
    assert said == b"" or said.split()[1][:1] == b"4", said
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
