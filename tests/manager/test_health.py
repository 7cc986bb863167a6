"""Probes: their three kinds, their thresholds, and what follows from them."""
from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyrunc.manager import Container, Health, Http, Manager, Probe, Stop, probes
from pyrunc.manager.probes import ask
from tests.manager.conftest import config_of, remove_all, running, until

QUICK: dict[str, Any] = {"period": 0.1, "timeout": 5.0}
#: busybox's web server is none of the applets of the tests' root; one by shell and nc is not either: this is.
SERVER = "exec busybox httpd -f -p {port} -h /www"


def web(rootfs: Path, port: int) -> Any:
    """A container that serves /www, in a network of its own whose loopback is up."""
    (rootfs / "www").mkdir()
    (rootfs / "www/good").write_text("good")
    return config_of(rootfs, "sh", "-c", f"ip link set lo up; {SERVER.format(port=port)}",
                     process={"capabilities": {kind: ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"] for kind in
                                               ("bounding", "effective", "permitted")}})


async def test_exec(m: Manager, by: str, rootfs: Path, name: str) -> None:
    health = Health(liveness=Probe(exec=("test", "!", "-e", "/sick"), failure_threshold=2, **QUICK), kills=False)
    container = await running(m, name, rootfs, handler=by, health=health)
    await until(lambda: container.health.word == "healthy")
    (rootfs / "sick").touch()
    await until(lambda: container.health.word == "unhealthy")
    assert container.status == "running"
    (rootfs / "sick").unlink()
    await until(lambda: container.health.word == "healthy")
    assert [event.details.get("status") for event in m.journal._kept if event.kind == "health"] == [
        "starting", "healthy", "unhealthy", "healthy"]


async def test_http_in_the_network_of_the_container(m: Manager, of: str, rootfs: Path, name: str) -> None:
    health = Health(readiness=Probe(http=Http(8099, "/good"), **QUICK))
    container = await m.create(name, web(rootfs, 8099), health=health, handler=of)
    await container.start()
    assert not container.health.ready
    await until(lambda: container.health.ready)
    (rootfs / "www/good").unlink()
    await until(lambda: not container.health.ready)
    assert container.status == "running"


async def test_tcp_in_the_network_of_the_container(m: Manager, of: str, rootfs: Path, name: str) -> None:
    health = Health(liveness=Probe(tcp=8098, failure_threshold=1000, **QUICK))        # until the server listens
    container = await m.create(name, web(rootfs, 8098), health=health, handler=of)
    await container.start()
    await until(lambda: container.health.word == "healthy")
    with pytest.raises(OSError):                     # nobody listens here, outside
        await asyncio.open_connection("127.0.0.1", 8098)


async def test_liveness_kills_and_the_policy_restarts(m: Manager, by: str, rootfs: Path, name: str) -> None:
    health = Health(liveness=Probe(exec=("test", "!", "-e", "/sick"), failure_threshold=2, **QUICK))
    script = "rm -f /sick; trap 'exit 9' TERM; while :; do sleep 0.05; done"
    container = await running(m, name, rootfs, "sh", "-c", script, handler=by, health=health, restart="always")
    await until(lambda: container.health.word == "healthy")
    (rootfs / "sick").touch()
    await until(lambda: container.record.restarts == 1 and container.health.word == "healthy", 60)
    ends = [event.details for event in m.journal._kept if event.kind == "exited"]
    assert [one["status"] for one in ends] == [9]


async def test_startup_comes_first(m: Manager, of: str, rootfs: Path, name: str) -> None:
    health = Health(startup=Probe(exec=("test", "-e", "/up"), failure_threshold=1000, **QUICK),
                    liveness=Probe(exec=("sh", "-c", "touch /asked"), **QUICK))
    container = await running(m, name, rootfs, health=health, handler=of)
    await asyncio.sleep(1.0)
    assert container.health.word == "starting" and not (rootfs / "asked").exists() and not container.health.ready
    (rootfs / "up").touch()
    await until(lambda: (rootfs / "asked").exists())
    await until(lambda: container.health.word == "healthy")
    assert container.health.ready


async def test_a_startup_that_fails_kills(m: Manager, of: str, rootfs: Path, name: str) -> None:
    health = Health(startup=Probe(exec=("false",), failure_threshold=2, **QUICK))
    container = await running(m, name, rootfs, health=health, stop=Stop(grace=0.2), handler=of)
    assert (await container.wait(30)).signal == 9


async def test_a_probe_that_hangs_is_a_failure(m: Manager, of: str, rootfs: Path, name: str) -> None:
    health = Health(liveness=Probe(exec=("sleep", "1000"), period=0.1, timeout=0.3, failure_threshold=1), kills=False)
    container = await running(m, name, rootfs, health=health, handler=of)
    await until(lambda: container.health.word == "unhealthy")
    assert next(event for event in reversed(m.journal._kept) if event.kind == "health").details["why"] == (
        "no answer within 0.3 s")


async def test_one_that_is_paused_while_it_starts_up_is_not_killed(
        m: Manager, of: str, rootfs: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot answer."""
    asked = []

    async def counted(*given: Any) -> Any:
        answer = await ask(*given)
        asked.append(answer[0])
        return answer
    monkeypatch.setattr("pyrunc.manager.health.ask", counted)
    health = Health(startup=Probe(exec=("true",), success_threshold=1000, failure_threshold=4, **QUICK))
    container = await running(m, name, rootfs, health=health, handler=of)
    await until(lambda: asked)
    await container.pause()
    await until(lambda: asked.count(False) > 8)
    assert container.health.word == "starting" and container.status == "paused" and not container.killed
    await container.resume()


async def test_the_host_of_a_request_by_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """In brackets (RFC 9110, 7.2): a server may refuse any other, as nginx does with 400."""
    ours, theirs = socket.socketpair()

    async def connected(*_: Any) -> socket.socket:
        ours.setblocking(False)
        return ours
    monkeypatch.setattr(probes, "_connected", connected)
    with theirs:
        theirs.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        assert (await probes._http(1, Http(8080, "/good", "::1")))[0]
        assert b"\r\nHost: [::1]:8080\r\n" in theirs.recv(1000)


async def test_one_that_was_found_paused_is_asked_when_it_runs(places: tuple[str, Path], rootfs: Path,
                                                              name: str) -> None:
    health = Health(readiness=Probe(exec=("true",), **QUICK), liveness=Probe(exec=("true",), **QUICK))
    async with Manager(*places) as one:
        await (await running(one, name, rootfs, health=health)).pause()
    async with Manager(*places) as two:
        found = two.get(name)
        assert found.status == "paused"
        await found.resume()
        await until(lambda: found.health.word == "healthy" and found.health.ready)
        await remove_all(two)


async def test_a_paused_container_is_not_unhealthy(m: Manager, of: str, rootfs: Path, name: str) -> None:
    health = Health(liveness=Probe(exec=("true",), failure_threshold=1, **QUICK))
    container: Container = await running(m, name, rootfs, health=health, handler=of)
    await until(lambda: container.health.word == "healthy")
    await container.pause()
    await asyncio.sleep(0.5)
    assert container.health.word == "healthy" and container.status == "paused"
    await container.resume()


async def test_a_failure_is_told_within_a_second(m: Manager, by: str, rootfs: Path, name: str) -> None:
    """Of the first question after it."""
    health = Health(liveness=Probe(exec=("test", "!", "-e", "/sick"), failure_threshold=1, **QUICK), kills=False)
    container = await running(m, name, rootfs, handler=by, health=health)
    await until(lambda: container.health.word == "healthy")
    await asyncio.sleep(0.3)
    (rootfs / "sick").touch()
    begun = time.monotonic()
    await until(lambda: container.health.word == "unhealthy")
    told = [event for event in m.journal._kept if event.kind == "health"][-1]
    late = told.monotonic - begun
    print(f"a probe that fails is an event {late * 1e3:.0f} ms after its cause; it is asked every "
          f"{QUICK['period'] * 1e3:.0f} ms")
    assert told.details["status"] == "unhealthy" and late < 1.0 + QUICK["period"]


async def test_a_probe_that_fails_ends_it_as_stop_does(m: Manager, of: str, rootfs: Path, name: str) -> None:
    """With its pre_stop program first, and no SIGKILL before the grace is over."""
    script = "trap 'touch /told' TERM; while :; do sleep 0.05; done"
    health = Health(liveness=Probe(exec=("test", "!", "-e", "/sick"), failure_threshold=1, **QUICK))
    container = await running(m, name, rootfs, "sh", "-c", script, handler=of, health=health,
                              stop=Stop(grace=0.6, pre_stop=("sh", "-c", "test ! -e /told && touch /asked")))
    await until(lambda: container.health.word == "healthy")
    (rootfs / "sick").touch()
    assert (await container.wait(30)).signal == 9
    assert (rootfs / "asked").exists() and (rootfs / "told").exists()
    stopping, exited = [event for event in m.journal._kept if event.kind in ("stopping", "exited")]
    assert "the liveness probe failed" in stopping.details["why"] and exited.monotonic - stopping.monotonic >= 0.6


async def test_a_start_period_forgives(m: Manager, of: str, rootfs: Path, name: str) -> None:
    """Failures in it do not count; the first success ends it, and after that they do."""
    health = Health(liveness=Probe(exec=("test", "-e", "/up"), failure_threshold=1, period=0.2, timeout=5.0,
                                   start_period=600.0, start_interval=0.05), kills=False)
    container = await running(m, name, rootfs, health=health, handler=of)
    await until(lambda: container.health.probe_seconds > 0)
    await asyncio.sleep(0.5)
    assert container.health.word == "starting"
    (rootfs / "up").touch()
    await until(lambda: container.health.word == "healthy")
    (rootfs / "up").unlink()
    await until(lambda: container.health.word == "unhealthy")


async def test_a_start_period_ends(m: Manager, rootfs: Path, name: str) -> None:
    health = Health(liveness=Probe(exec=("false",), failure_threshold=2, start_period=0.5, **QUICK), kills=False)
    container = await running(m, name, rootfs, health=health)
    await until(lambda: container.health.word == "unhealthy")
    started, starting, unhealthy = [event for event in m.journal._kept if event.kind in ("started", "health")]
    assert starting.details["status"] == "starting" and unhealthy.monotonic - started.monotonic >= 0.6


async def test_a_startup_that_only_says_so(m: Manager, rootfs: Path, name: str) -> None:
    health = Health(startup=Probe(exec=("test", "-e", "/up"), failure_threshold=2, **QUICK), kills=False)
    container = await running(m, name, rootfs, health=health)
    await until(lambda: container.health.word == "unhealthy")
    assert container.status == "running" and not container.health.ready
    (rootfs / "up").touch()
    await until(lambda: container.health.word == "healthy" and container.health.ready)


def test_dockers_healthcheck() -> None:
    second = 10**9
    found = Health.docker({"Test": ["CMD-SHELL", "curl localhost"], "Interval": 5 * second, "Timeout": second,
                           "Retries": 7, "StartPeriod": 20 * second, "StartInterval": 2 * second})
    assert found == Health(kills=False, liveness=Probe(
        exec=("/bin/sh", "-c", "curl localhost"), initial_delay=2.0, period=5.0, timeout=1.0, failure_threshold=7,
        start_period=20.0, start_interval=2.0))
    assert Health.docker({"Test": ["NONE"]}) == Health() == Health.docker({})
    assert Health.docker({"Test": ["CMD", "x"], "Interval": 0, "StartInterval": second}).liveness == Probe(
        exec=("x",), initial_delay=30.0, period=30.0, timeout=30.0)
    found = Health.docker({"Test": ["CMD", "x"], "StartPeriod": second})
    assert found.liveness is not None and found.liveness.start_interval == found.liveness.initial_delay == 5.0
    with pytest.raises(ValueError):
        Health.docker({"Test": ["SHELL", "x"]})


@pytest.mark.parametrize("wrong", [{}, {"exec": ("a",), "tcp": 1}, {"tcp": 1, "period": 0}, {"tcp": 1, "timeout": -1},
                                   {"tcp": 1, "failure_threshold": 0}, {"tcp": 1, "start_period": -1.0},
                                   {"tcp": 1, "start_interval": -1.0}, {"tcp": 1, "initial_delay": -1.0}])
def test_what_is_no_probe(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Probe(**wrong)


@pytest.mark.parametrize("said", [b"x" * 100_000, b"HTTP/1.1 " + b"9" * 5000 + b"\r\n", b"\r\n", b""])
async def test_any_answer_is_an_answer(said: bytes) -> None:
    """Whatever a container says, it is asked again."""
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    life: Any = SimpleNamespace(record=SimpleNamespace(pid=os.getpid()))
    good, why = await ask(life, Probe(http=Http(server.sockets[0].getsockname()[1]), timeout=20))
    server.close()
    assert not good and why
