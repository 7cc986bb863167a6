"""The endpoints over a socket: the whole life of a container, streams, faults, limits, and what the metrics say."""
from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import pyrunc
from pyrunc.manager import Manager
from pyrunc.manager.connection import Late
from pyrunc.serve.client import Client
from pyrunc.serve.openapi import document
from pyrunc.serve.server import LARGEST
from tests import bundles
from tests.bundles import docker_like
from tests.manager.conftest import config_of, until


@pytest.mark.parametrize("by", ["pyrunc", "runc"])
async def test_a_whole_life(m: Manager, path: Path, c: Client, rootfs: Path, name: str, by: str) -> None:
    made = await c.create(name, config=config_of(rootfs, "sh", "-c", "echo hello; exec sleep 1000"), handler=by,
                          labels={"app": "web"}, stop={"grace": 0.2})
    assert made["status"] == "created" and [one["id"] for one in await c.containers("app=web")] == [name]
    assert await c.containers("app=other") == []
    assert (await c.act(name, "start"))["status"] == "running"
    result = await c.act(name, "exec", args=["sh", "-c", "cat; exit 3"], stdin="from outside")
    assert (result["exit"]["status"], result["stdout"]) == (3, "from outside")
    await until(lambda: len(m.get(name).logs()) == 1)
    assert [line["text"] async for line in c.logs(name)] == ["hello"]
    assert [one["command"] for one in await c.call("GET", f"/v1/containers/{name}/top")] == ["sleep 1000"]
    assert (await c.call("GET", f"/v1/containers/{name}/stats"))["processes"] == 1
    assert (await c.act(name, "pause"))["status"] == "paused"
    assert (await c.act(name, "resume"))["status"] == "running"
    assert (await c.call("GET", f"/v1/containers/{name}/config"))["process"]["args"][0] == "sh"
    assert (await c.act(name, "stop"))["signal"] == 9
    assert (await c.act(name, "wait"))["signal"] == 9
    await c.delete(name)
    kinds = [event["kind"] async for event in c.events(since=0, follow=0)]
    assert kinds == ["created", "started", "paused", "resumed", "stopping", "exited", "deleted"]


async def test_what_the_host_refuses_is_said(m: Manager, path: Path, c: Client, rootfs: Path, name: str,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, for instance, where a handler keeps its bundle: no internal error."""
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/bundle/config.json")
    monkeypatch.setattr(m, "create", full)
    with pytest.raises(pyrunc.PyruncError) as failed:
        await c.create(name, config=config_of(rootfs))
    assert str(failed.value) == "/bundle/config.json: no space left on device"


async def test_the_status_of_what_a_handler_says(m: Manager, path: Path, c: Client, rootfs: Path, place: Path,
                                                 name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its program has refused, or was ended after its time: no fault of the service's."""
    program = place / "toy"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    m.programs["toy"] = str(program)
    assert c._session is not None
    wanted = {"id": name, "config": config_of(rootfs), "handler": "toy"}
    async with c._session.post("http://x/v1/containers", json=wanted) as response:
        assert (response.status, (await response.json())["error"]) == (422, "toy create: exit status 3")

    async def late(*_: object) -> None:
        raise Late("it took longer than 600 s, and was ended")
    monkeypatch.setattr(m, "create", late)
    async with c._session.post("http://x/v1/containers", json=wanted) as response:
        assert (response.status, (await response.json())["kind"]) == (504, "Late")
    assert m.containers() == []


async def test_faults_have_a_status_and_a_line(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    with pytest.raises(pyrunc.StateError, match="does not exist"):
        await c.inspect("nothing")
    with pytest.raises(pyrunc.ConfigError, match=r"at process\.cwd in config\.json"):
        await c.create(name, config=config_of(rootfs, process={"cwd": "relative"}))
    with pytest.raises(pyrunc.UsageError, match="unknown property colour"):
        await c.create(name, config=config_of(rootfs), colour="red")
    with pytest.raises(pyrunc.UsageError, match=r"is none of no, on-failure.*at restart\.mode"):
        await c.create(name, config=config_of(rootfs), restart={"mode": "sometimes"})
    with pytest.raises(pyrunc.UsageError, match="a pipe cannot be had"):
        await c.create(name, config=config_of(rootfs), stdio={"stdout": {"kind": "pipe"}})
    await c.create(name, config=config_of(rootfs))
    with pytest.raises(pyrunc.StateError, match="already exists"):
        await c.create(name, config=config_of(rootfs))
    with pytest.raises(TimeoutError):
        await c.act(name, "wait", timeout=0.05)
    with pytest.raises(pyrunc.UsageError, match="is no signal"):
        await c.act(name, "kill", signal="NOTHING")


async def test_followed_streams(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    events = c.events()
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.2)
    script = "echo 1; while ! test -e /go; do sleep 0.05; done; echo 2"
    await c.create(name, config=config_of(rootfs, "sh", "-c", script), start=True)
    assert (await first)["kind"] == "created" and (await anext(events))["kind"] == "started"
    seen = []
    async for line in c.logs(name, follow=True):
        seen.append(line["text"])
        (rootfs / "go").touch()
    assert seen == ["1", "2"] and (await anext(events))["kind"] == "exited"


async def test_explain_and_trace(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    config = config_of(rootfs)
    steps = await c.call("POST", "/v1/explain", {"config": config})
    assert "mounts.proc" in [one["step"] for one in steps]
    await c.create(name, config=config, trace=True)
    traced = await c.call("GET", f"/v1/containers/{name}/trace")
    assert {one["step"] for one in traced} >= {"mounts.proc", "namespaces.clone"}


async def test_metrics_have_the_names_of_cadvisor(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    labels = {"io.kubernetes.cri.sandbox-name": "pod-1", "io.kubernetes.cri.sandbox-namespace": "ns-1"}
    probe = {"exec": ["true"], "period": 0.1}
    await c.create(name, config=config_of(rootfs), labels=labels, start=True, health={"liveness": probe})
    await c.create(f"{name}-b", config=config_of(rootfs), start=True)
    await until(lambda: m.get(name).health.probe_seconds > 0)
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        said = await fetch(c, "/metrics", Accept=accept)
        if "openmetrics" in accept:
            from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
            families = {one.name: one for one in parse(said)}  # type: ignore[no-untyped-call]
            assert said.endswith("# EOF\n") and said.count("# EOF") == 1
        else:
            families = {one.name: one for one in text_string_to_metric_families(said)}
        asked = {one.labels["name"]: one.value for one in families["runciter_probe_seconds"].samples}
        assert asked.keys() == {name} and 0 < asked[name] < 60
        usage = next(one for one in families["container_cpu_usage_seconds"].samples if one.labels["name"] == name)
        assert usage.name == "container_cpu_usage_seconds_total"
        assert (usage.labels["pod"], usage.labels["namespace"]) == ("pod-1", "ns-1")
        faults = {(one.labels["failure_type"], one.labels["scope"]): one.value
                  for one in families["container_memory_failures"].samples if one.labels["name"] == name}
        assert faults.keys() == {(kind, scope) for kind in ("pgfault", "pgmajfault")
                                 for scope in ("container", "hierarchy")}
        assert {"container_memory_working_set_bytes", "container_processes", "container_start_time_seconds",
                "runciter_containers", "runciter_operation_seconds"} <= families.keys()
    assert await fetch(c, "/healthz") == "ok\n"


async def fetch(c: Client, target: str, **headers: str) -> str:
    """A GET that is no JSON."""
    assert c._session is not None
    async with c._session.get(f"http://x{target}", headers=headers) as response:
        assert response.status == 200
        return await response.text()


async def test_the_socket_is_the_owners_alone(m: Manager, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_another_user_is_refused(m: Manager, path: Path) -> None:
    path.chmod(0o666)
    path.parent.chmod(0o755)
    script = ("import os, socket, sys; os.setgroups([]); os.setgid(1234); os.setuid(1234);"
              "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
              "s.sendall(b'GET /v1/containers HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n');"
              "print(s.makefile().read())")
    asking = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(path), stdout=subprocess.PIPE)
    said, _ = await asking.communicate()
    assert said.startswith(b"HTTP/1.1 403") and b"permission denied" in said


async def raw(path: Path, data: bytes) -> bytes:
    """What comes for these bytes, after which we send no more."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(data)
        async with asyncio.timeout(20):
            return await reader.read(65536)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("data", [
    b"\0\1\2\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /v1/containers HTTP/1.1\r\nX: " + b"a" * 70000,
    b"POST /v1/containers HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100,
    b"PATCH /v1/containers HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v2/x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/events?since=x HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v1/containers?label=x HTTP/1.1\r\nHost: x\r\n\r\n"],
    ids=["bytes", "no path", "no version", "long header", "long body", "method", "path", "number", "label"])
async def test_what_is_no_request_is_refused(m: Manager, path: Path, c: Client, data: bytes) -> None:
    if b"99999999" in data:
        data += b"x" * (5 << 20)
    said = await raw(path, data)
    assert said == b"" or said.split()[1][:1] == b"4", said[:200]
    assert await c.containers() == []


async def test_a_client_that_vanishes_leaves_nothing(m: Manager, path: Path, c: Client, rootfs: Path,
                                                     name: str) -> None:
    await c.create(name, config=config_of(rootfs), start=True)
    body = json.dumps({"args": ["sleep", "888"]}).encode()
    one = socket.socket(socket.AF_UNIX)
    one.connect(str(path))
    one.sendall(b"POST /v1/containers/%s/exec HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
                % (name.encode(), len(body)) + body)
    await until(lambda: "sleep 888" in [p["command"] for p in m.get(name).top()])
    one.close()
    await until(lambda: [p["command"] for p in m.get(name).top()] == ["sleep 1000"])


async def test_a_flood_is_told_to_come_again(m: Manager, path: Path, c: Client, rootfs: Path, name: str,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrunc.serve.server.AT_WORK", 5)
    await c.create(name, config=config_of(rootfs))
    assert c._session is not None
    waiting = [asyncio.ensure_future(c.act(name, "wait", timeout=2.0)) for _ in range(5)]
    await asyncio.sleep(0.5)
    async with c._session.post(f"http://x/v1/containers/{name}/wait") as response:
        assert response.status == 429 and response.headers["Retry-After"] == "1"
    assert len(await c.containers()) == 1            # looking is always possible
    assert all(isinstance(one, TimeoutError) for one in await asyncio.gather(*waiting, return_exceptions=True))


async def test_one_client_leaves_room_for_others(m: Manager, path: Path, c: Client, rootfs: Path, name: str,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrunc.serve.server.OF_ONE", 3)
    await c.create(name, config=config_of(rootfs))
    waiting = [asyncio.ensure_future(c.act(name, "wait", timeout=20.0)) for _ in range(3)]
    await asyncio.sleep(0.5)
    assert c._session is not None
    async with c._session.post(f"http://x/v1/containers/{name}/start") as response:
        assert response.status == 429 and "of this client" in (await response.json())["error"]
    other = await asyncio.create_subprocess_exec(sys.executable, "-m", "pyrunc.serve", "--socket", str(path), "start",
                                                 name)
    assert await other.wait() == 0 and m.get(name).status == "running"
    await m.get(name).kill()
    assert [one["signal"] for one in await asyncio.gather(*waiting)] == [9, 9, 9]


def test_the_document_refers_to_what_is_there() -> None:
    made = document()
    text = json.dumps(made)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in made["components"]["schemas"], name
    assert {"Create", "Info", "Exit", "Stats", "Probe", "Fault"} <= made["components"]["schemas"].keys()
    assert set(made["components"]["schemas"]["Create"]["required"]) == {"id"}


async def test_answers_are_as_the_document_says(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    import jsonschema
    described = await c.call("GET", "/v1/openapi.json")
    assert described == document()

    def fits(value: Any, where: str, method: str = "get", status: str = "200") -> None:
        answer = described["paths"][where][method]["responses"][status]["content"]["application/json"]["schema"]
        jsonschema.validate(value, {**answer, "components": described["components"]})
    one = "/v1/containers/{id}"
    made = await c.create(name, config=config_of(rootfs), start=True,
                          health={"liveness": {"exec": ["true"], "period": 1.0}})
    fits(made, "/v1/containers", "post", "201")
    fits(await c.call("GET", "/v1/info"), "/v1/info")
    fits(await c.containers(), "/v1/containers")
    fits(await c.inspect(name), one)
    fits(await c.call("GET", f"/v1/containers/{name}/stats"), f"{one}/stats")
    fits(await c.call("GET", "/v1/stats"), "/v1/stats")
    fits(await c.call("GET", f"/v1/containers/{name}/top"), f"{one}/top")
    fits(await c.act(name, "exec", args=["true"]), f"{one}/exec", "post")
    fits(await c.act(name, "stop", grace=0), f"{one}/stop", "post")
    fits(await c.inspect(name), one)


async def test_the_command(m: Manager, path: Path, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sh", "-c", "echo hi; exec sleep 1000"]}))

    async def runciter(*words: str) -> tuple[int, str]:
        asking = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pyrunc.serve", "--socket", str(path), *words, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        said, _ = await asking.communicate()
        return asking.returncode or 0, said.decode()
    made = await runciter("run", "--bundle", str(bundle), "--label", "a=b", name)
    assert json.loads(made[1])["labels"] == {"a": "b"}
    assert [one["id"] for one in json.loads((await runciter("ps"))[1])] == [name]
    assert await runciter("exec", name, "sh", "-c", "echo out; exit 5") == (5, "out\n")
    assert await runciter("logs", name) == (0, "hi\n")
    assert json.loads((await runciter("top", name))[1])[0]["command"] == "sleep 1000"
    assert list(json.loads((await runciter("stats", "--once"))[1])) == [name]
    assert json.loads((await runciter("inspect", name))[1])["config"]["process"]["args"][0] == "sh"
    assert "mounts.proc" in (await runciter("explain", "--bundle", str(bundle)))[1]
    assert json.loads((await runciter("stop", "--grace", "0.1", name))[1])["signal"] == 9
    assert await runciter("rm", name) == (0, "")
    told = (await runciter("events", "--since", "0", "--no-follow"))[1]
    kinds = [json.loads(line)["kind"] for line in told.splitlines()]
    assert kinds == ["created", "started", "stopping", "exited", "deleted"]
    assert await runciter("inspect", "nothing") == (1, "runciter: container does not exist\n")


async def test_a_file_that_cannot_be_opened_is_the_callers_fault(m: Manager, path: Path, c: Client, rootfs: Path,
                                                                 place: Path, name: str) -> None:
    os.mkfifo(place / "fifo")
    for file in (place / "fifo", place / "none/log", place):
        with pytest.raises(pyrunc.UsageError, match="open "):
            await c.create(name, config=config_of(rootfs), stdio={"stdout": {"kind": "file", "path": str(file)}})
    assert await c.containers() == []


async def test_what_is_too_large_is_refused(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    assert c._session is not None
    for body, status in ((b" " * LARGEST + b"{}", 413), (b" " * (LARGEST - 2) + b"{}", 400)):     # that has no id
        async with c._session.post("http://x/v1/containers", data=body) as response:
            assert response.status == status and (await response.json())["error"]
    async with c._session.get("http://x/v1/containers", headers={"X-Long": "x" * 10_000}) as response:
        assert response.status == 400
    assert await c.containers() == []
