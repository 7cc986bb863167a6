"""/metrics: what each container uses, by the names of cAdvisor and the kubelet, so that dashboards for those work."""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from ..manager import Container, Manager, Stats

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
LABELS = ("id", "name", "image", "namespace", "pod", "container")
#: Where CRI and others write what the labels say.
ANNOTATIONS = {"image": "io.kubernetes.cri.image-name", "namespace": "io.kubernetes.cri.sandbox-namespace",
               "pod": "io.kubernetes.cri.sandbox-name", "container": "io.kubernetes.cri.container-name"}
#: name -> what it is. Names of counters lack their `_total`.
COUNTERS = {
    "container_cpu_usage_seconds": "CPU time",
    "container_cpu_user_seconds": "CPU time in programs",
    "container_cpu_system_seconds": "CPU time in the kernel",
    "container_cpu_cfs_periods": "periods of the CPU quota",
    "container_cpu_cfs_throttled_periods": "periods in which the quota was used up",
    "container_cpu_cfs_throttled_seconds": "time in which it was throttled",
    "container_memory_failcnt": "how often usage has reached the limit",
    "container_oom_events": "processes that the kernel killed for want of memory",
    "container_pressure_cpu_waiting_seconds": "time in which some task waited for CPU",
    "container_pressure_cpu_stalled_seconds": "time in which all tasks did",
    "container_pressure_memory_waiting_seconds": "time in which some task waited for memory",
    "container_pressure_memory_stalled_seconds": "time in which all tasks did",
    "container_pressure_io_waiting_seconds": "time in which some task waited for I/O",
    "container_pressure_io_stalled_seconds": "time in which all tasks did",
    "runciter_restarts": "restarts by the policy",
}
GAUGES = {
    "container_memory_usage_bytes": "memory with all caches",
    "container_memory_working_set_bytes": "memory without inactive files",
    "container_memory_max_usage_bytes": "the most that it has used",
    "container_memory_rss": "anonymous memory",
    "container_memory_cache": "memory of files",
    "container_memory_swap": "swap",
    "container_processes": "processes and threads that count for the pids limit",
    "container_threads_max": "the pids limit",
    "container_spec_memory_limit_bytes": "the memory limit; 0: none",
    "container_start_time_seconds": "when it was started",
}
DEVICES = {"container_fs_reads_bytes": "read_bytes", "container_fs_writes_bytes": "written_bytes",
           "container_fs_reads": "reads", "container_fs_writes": "writes"}


class Metrics:
    """Collects at the scrape. What was read is kept for a second, so that many scrapers cost as much as one."""

    def __init__(self, manager: Manager) -> None:
        self.manager = manager
        self._kept: tuple[float, bool, bytes] = (-1.0, False, b"")
        self._own = CollectorRegistry()
        self._seconds = Histogram("runciter_operation_seconds", "how long operations take", ["op"], registry=self._own)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    @contextmanager
    def timed(self, request: web.Request) -> Iterator[None]:
        """Measure an operation."""
        path = request.match_info.route.resource
        word = path.canonical.rpartition("/")[2] if path is not None else ""
        op = {"containers": "create", "{id}": "delete"}.get(word, word)
        began = time.perf_counter()
        try:
            yield
        finally:
            if op:
                self._seconds.labels(op).observe(time.perf_counter() - began)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """In OpenMetrics for whoever accepts that, else in the older text format."""
        wanted = "application/openmetrics-text" in request.headers.get("Accept", "")
        when, kind, data = self._kept
        if time.monotonic() - when > 1.0 or kind != wanted:
            if wanted:
                data = _openmetrics(self._registry).removesuffix(b"# EOF\n") + _openmetrics(self._own)
            else:
                data = generate_latest(self._registry) + generate_latest(self._own)
            self._kept = (time.monotonic(), wanted, data)
        return web.Response(body=data, headers={"Content-Type": OPENMETRICS if wanted else PLAIN})

    def describe(self) -> list[Metric]:
        """None beforehand: the registry need not collect to know the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family, with a sample for each container that lives."""
        counters = {name: CounterMetricFamily(name, about, labels=LABELS) for name, about in COUNTERS.items()}
        gauges = {name: GaugeMetricFamily(name, about, labels=LABELS) for name, about in GAUGES.items()}
        devices = {name: CounterMetricFamily(name, "by block device", labels=[*LABELS, "device"]) for name in DEVICES}
        states = GaugeMetricFamily("runciter_containers", "containers by state", labels=["state"])
        count: dict[str, int] = {}
        for one in self.manager.containers():
            count[one.status] = count.get(one.status, 0) + 1
            if one.alive:
                labels, stats = _labels(one), one.stats()
                for name, value in _counted(one, stats).items():
                    counters[name].add_metric(labels, value)
                for name, value in _gauged(one, stats).items():
                    gauges[name].add_metric(labels, value)
                for device in stats.io:
                    for name, field in DEVICES.items():
                        devices[name].add_metric([*labels, device.device], getattr(device, field))
        for state, number in sorted(count.items()):
            states.add_metric([state], number)
        gaps = CounterMetricFamily("runciter_event_gaps", "readers of events that have missed some")
        gaps.add_metric([], self.manager.journal.gaps)
        yield from (*counters.values(), *gauges.values(), *devices.values(), states, gaps)


def _openmetrics(registry: CollectorRegistry) -> bytes:
    data: bytes = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
    return data


def _labels(one: Container) -> list[str]:
    return [one.cgroup.removeprefix("/sys/fs/cgroup") or f"/{one.id}", one.id,
            *(one.labels.get(ANNOTATIONS[name], one.labels.get(name, "")) for name in LABELS[2:])]


def _counted(one: Container, stats: Stats) -> dict[str, float]:
    cpu, memory = stats.cpu, stats.memory
    found: dict[str, float] = {
        "container_cpu_usage_seconds": cpu.usage, "container_cpu_user_seconds": cpu.user,
        "container_cpu_system_seconds": cpu.system, "container_cpu_cfs_periods": cpu.periods,
        "container_cpu_cfs_throttled_periods": cpu.throttled_periods,
        "container_cpu_cfs_throttled_seconds": cpu.throttled, "container_memory_failcnt": memory.limit_hits,
        "container_oom_events": memory.oom_kills, "runciter_restarts": one.record.restarts}
    for name, pressure in (("cpu", cpu.pressure), ("memory", memory.pressure), ("io", stats.io_pressure)):
        if pressure is not None:
            found[f"container_pressure_{name}_waiting_seconds"] = pressure.some_total
            found[f"container_pressure_{name}_stalled_seconds"] = pressure.full_total
    return found


def _gauged(one: Container, stats: Stats) -> dict[str, float]:
    memory = stats.memory
    return {"container_memory_usage_bytes": memory.usage, "container_memory_working_set_bytes": memory.working_set,
            "container_memory_max_usage_bytes": memory.max_usage, "container_memory_rss": memory.rss,
            "container_memory_cache": memory.cache, "container_memory_swap": memory.swap,
            "container_processes": stats.processes, "container_threads_max": stats.processes_limit or 0,
            "container_spec_memory_limit_bytes": memory.limit or 0,
            "container_start_time_seconds": one.record.started}
