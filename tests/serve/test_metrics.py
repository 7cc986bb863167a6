"""/metrics: by the parsers of Prometheus, with the names of cAdvisor, and one sum for what containers share."""
from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from pyrunc.manager import Manager, Stats
from pyrunc.manager.stats import Cpu
from pyrunc.serve.client import Client
from pyrunc.serve.metrics import Metrics, _gauged
from tests.manager.conftest import config_of, until
from tests.serve.test_service import fetch

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PARSERS: dict[str, Any] = {"text/plain": plain, OPENMETRICS: openmetrics}
#: What cAdvisor calls them (docs/storage/prometheus.md there), as samples.
NETWORK = {f"container_network_{direction}_{what}_total" for direction in ("receive", "transmit")
           for what in ("bytes", "packets", "errors", "packets_dropped")}
MANY = 200
DISK = {f"container_fs_{what}" for what in ("usage_bytes", "limit_bytes", "inodes_total", "inodes_free")}


def samples(families: Any) -> dict[str, list[tuple[dict[str, str], float]]]:
    """{name: [(labels, value)]}"""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in families:
        for one in family.samples:
            found.setdefault(one.name, []).append((one.labels, one.value))
    return found


async def scraped(c: Client, accept: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    return samples(PARSERS[accept](await fetch(c, "/metrics", Accept=accept)))


async def test_networks(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    """Of two containers in one network the first one has its interfaces; the host's are none of theirs."""
    await c.create(f"{name}-a", config=config_of(rootfs), start=True)
    pid = m.get(f"{name}-a").pid
    inside = ["nsenter", "--net", f"--target={pid}"]
    for words in ("link add eth7 type veth peer name eth8", "link set eth7 up", "link set eth8 up",
                  "address add 10.9.8.7/24 dev eth7"):
        subprocess.run([*inside, "ip", *words.split()], check=True)
    send = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x' * 100, ('10.9.8.9', 9))"
    subprocess.run([*inside, sys.executable, "-c", send], check=True)
    joining = config_of(rootfs)
    for space in joining["linux"]["namespaces"]:
        if space["type"] == "network":
            space["path"] = f"/proc/{pid}/ns/net"
    await c.create(f"{name}-0", config=joining, start=True)
    of_the_host = config_of(rootfs)
    of_the_host["linux"]["namespaces"] = [space for space in of_the_host["linux"]["namespaces"]
                                          if space["type"] != "network"]
    of_the_host["mounts"] = [mount for mount in of_the_host["mounts"] if mount["type"] != "sysfs"]
    await c.create(f"{name}-h", config=of_the_host, start=True)
    found = await scraped(c, "text/plain")
    assert found.keys() >= NETWORK
    counted = {word: {labels["interface"]: value for labels, value in found[word]} for word in NETWORK}
    for word in NETWORK:
        assert {labels["name"] for labels, _ in found[word]} == {f"{name}-a"}, word
        assert {"eth7", "eth8"} <= counted[word].keys() and "lo" not in counted[word]
    assert counted["container_network_transmit_packets_total"]["eth7"] >= 1        # who has 10.9.8.9?
    assert counted["container_network_receive_bytes_total"]["eth8"] >= 42


async def test_file_systems(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    await c.create(name, config=config_of(rootfs), start=True)
    async with c._session.get("http://x/metrics") as response:  # type: ignore[union-attr]
        assert response.status == 200                    # the first scrape begins to measure
    found: dict[str, Any] = {}
    async for _ in tries():
        found = await scraped(c, OPENMETRICS)
        if found.keys() >= DISK:
            break
    values = {word: found[word][0] for word in DISK}
    assert all(labels["name"] == name and labels["device"] for labels, _ in values.values())
    used = int(subprocess.run(["du", "-s", "-x", "--block-size=1", str(rootfs)], capture_output=True, text=True,
                              check=True).stdout.split()[0])
    assert values["container_fs_usage_bytes"][1] == used
    assert values["container_fs_limit_bytes"][1] > used
    assert values["container_fs_inodes_free"][1] <= values["container_fs_inodes_total"][1]


async def tries() -> Any:
    """Until it has worked, at most 30 s. What was scraped is kept for a second."""
    import asyncio
    end = time.monotonic() + 30
    while time.monotonic() < end:
        yield
        await asyncio.sleep(0.3)
    raise AssertionError("it has not come")


async def test_a_label_that_is_no_utf_8(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    """JSON can say what no UTF-8 can; and so can the name of a cgroup. It is this container's fault alone."""
    await c.create(name, config=config_of(rootfs), labels={"image": "\ud800"}, start=True)
    for accept in PARSERS:
        usage = (await scraped(c, accept))["container_cpu_usage_seconds_total"]
        assert [(labels["name"], labels["image"]) for labels, _ in usage] == [(name, "?")]


async def test_of_many(m: Manager, path: Path, c: Client, rootfs: Path, name: str) -> None:
    """Every sample of every container is read again by Prometheus' parsers, whatever labels say. One real container
    stands for them all; make bench-manager has a thousand real ones, and says how long it takes."""
    await c.create(name, config=config_of(rootfs), start=True, labels={"io.kubernetes.cri.sandbox-name": 'a"b\\c\nd'})
    one = m.get(name)
    await until(lambda: one.stats().cpu.usage > 0)
    many = [SimpleNamespace(**{word: getattr(one, word) for word in ("status", "alive", "cgroup", "labels", "health",
                                                                    "stats", "there", "config")},
                            id=f"c{number}", record=SimpleNamespace(**{
                                **one.record.__dict__, "name": f"c{number}.1", "created": number}))
            for number in range(MANY)]
    metrics = Metrics(SimpleNamespace(containers=lambda: many, journal=m.journal))  # type: ignore[arg-type]
    for accept, parse in PARSERS.items():
        request = SimpleNamespace(headers={"Accept": accept})
        response: Any = await metrics.answer(request)  # type: ignore[arg-type]
        found = samples(parse(response.body.decode()))
        usage = found["container_cpu_usage_seconds_total"]
        assert {labels["name"] for labels, _ in usage} == {f"c{number}" for number in range(MANY)}
        assert {labels["pod"] for labels, _ in usage} == {'a"b\\c\nd'}
        assert found["runciter_containers"] == [({"state": "running"}, MANY)]
    metrics._disks.close()
    await until(lambda: metrics._disks._task is None or metrics._disks._task.done())


@pytest.mark.parametrize(("cpu", "wanted"), [
    (Cpu(quota=50000, period=100000), {"quota": 50000, "period": 100000}), (Cpu(period=100000), {"period": 100000}),
    (Cpu(), {})], ids=["a quota", "no quota", "no controller"])
def test_quotas(cpu: Cpu, wanted: dict[str, int]) -> None:
    one: Any = SimpleNamespace(health=SimpleNamespace(probe_seconds=0.0), record=SimpleNamespace(started=1.0))
    found = _gauged(one, Stats(1.0, cpu))
    assert {name.removeprefix("container_spec_cpu_"): found[name] for name in found if "_cpu_" in name} == wanted
