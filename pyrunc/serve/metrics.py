"""/metrics: what each container uses, by the names of cAdvisor and the kubelet, so that dashboards for those work."""
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from ..manager import Container, Manager, Stats, network
from ..manager.disk import Disks, name_of
from ..manager.network import Interface

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
    "container_spec_cpu_period": "microseconds of a period of the CPU quota",
    "container_spec_cpu_quota": "microseconds of CPU in each period; only of containers with a quota",
    "container_spec_memory_limit_bytes": "the memory limit; 0: none",
    "container_start_time_seconds": "when it was started",
    "runciter_probe_seconds": "how long its latest probe took; only of containers that have been asked",
}
#: By failure_type.
FAILURES = {"pgfault": "page_faults", "pgmajfault": "major_page_faults"}
#: By block device.
DEVICES = {"container_fs_reads_bytes": "read_bytes", "container_fs_writes_bytes": "written_bytes",
           "container_fs_reads": "reads", "container_fs_writes": "writes"}
#: By interface.
INTERFACES = {f"container_network_{direction}_{what}": f"{way}_{field}"
              for direction, way in (("receive", "received"), ("transmit", "sent"))
              for what, field in (("bytes", "bytes"), ("packets", "packets"), ("errors", "errors"),
                                  ("packets_dropped", "dropped"))}
#: Of the file system with a container's root: name -> (field, what it is).
DISKS = {"container_fs_usage_bytes": ("usage", "what it has written into its root"),
         "container_fs_limit_bytes": ("limit", "size of the file system that its root is on"),
         "container_fs_inodes_total": ("inodes", "inodes of that"),
         "container_fs_inodes_free": ("inodes_free", "inodes of that which are free")}


class Metrics:
    """Collects at the scrape. What was read is kept for a second, so that many scrapers cost as much as one."""

    def __init__(self, manager: Manager) -> None:
        self.manager = manager
        self._kept: tuple[float, bool, bytes] = (-1.0, False, b"")
        self._own = CollectorRegistry()
        self._seconds = Histogram("runciter_operation_seconds", "how long operations take", ["op"], registry=self._own)
        self._disks = Disks()

    async def end(self, _: web.Application) -> None:
        """The service ends: measure nothing any more."""
        self._disks.close()

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
            own = generate_openmetrics if wanted else generate_latest
            data = self.text(wanted) + own(self._own)
            self._kept = (time.monotonic(), wanted, data)
        return web.Response(body=data, headers={"Content-Type": OPENMETRICS if wanted else PLAIN})

    def text(self, openmetrics: bool) -> bytes:
        """Every family of containers, with a sample for each that lives.

        These are written here: of a thousand containers there are thirty thousand samples, and only once in each
        container the labels need to be looked at. The classes of prometheus_client do that for each sample, which took
        three times as long.
        """
        families = {name: _Family(name, about, counter) for known, counter in ((COUNTERS, True), (GAUGES, False))
                    for name, about in known.items()}
        failures = families["container_memory_failures"] = _Family("container_memory_failures", "page faults", True)
        families |= {name: _Family(name, "by block device", True) for name in DEVICES}
        families |= {name: _Family(name, about, False) for name, (_, about) in DISKS.items()}
        families |= {name: _Family(name, "by interface", True) for name in INTERFACES}
        states = families["runciter_containers"] = _Family("runciter_containers", "containers by state", False)
        gaps = _Family("runciter_event_gaps", "readers of events that have missed some", True)
        families[gaps.name] = gaps
        containers = self.manager.containers()
        alive = {one.record.name: one for one in containers if one.alive}
        networks, measured = _networks(alive.values()), self._disks.of(alive)
        for name, one in alive.items():
            labels, stats = _labels(one), one.stats()
            for metric, value in (*_counted(one, stats).items(), *_gauged(one, stats).items()):
                families[metric].add(f"{{{labels}}}", value)
            for kind, field in FAILURES.items():
                for scope in ("container", "hierarchy"):
                    failures.add(f'{{{labels},failure_type="{kind}",scope="{scope}"}}', getattr(stats.memory, field))
            for device in stats.io:
                _add(families, DEVICES.items(), f'{{{labels},device="{name_of(device.device)}"}}', device)
            for interface in networks.get(name, ()):
                _add(families, INTERFACES.items(), f'{{{labels},interface="{_plain(interface.name)}"}}', interface)
            if name in measured:
                disk = measured[name]
                _add(families, ((metric, field) for metric, (field, _) in DISKS.items()),
                     f'{{{labels},device="{disk.device}"}}', disk)
        for state, number in sorted(Counter(one.status for one in containers).items()):
            states.add(f'{{state="{state}"}}', number)
        gaps.add("", self.manager.journal.gaps)
        text = "".join(family.text(openmetrics) for family in families.values())
        return text.encode(errors="replace")             # a label, or the name of a cgroup, may be no UTF-8


class _Family:
    """The samples of one metric. The name of a counter lacks its `_total`, which its samples have."""
    __slots__ = ("about", "counter", "name", "samples")

    def __init__(self, name: str, about: str, counter: bool) -> None:
        self.name, self.about, self.counter = name, about, counter
        self.samples: list[str] = []

    def add(self, labels: str, value: float) -> None:
        """labels as they are written, with their braces."""
        self.samples.append(f"{labels} {value}\n")

    def text(self, openmetrics: bool) -> str:
        """As it is written (Prometheus' text format 0.0.4, or OpenMetrics 1.0)."""
        sample = f"{self.name}_total" if self.counter else self.name
        name, kind = self.name if openmetrics else sample, "counter" if self.counter else "gauge"
        return f"# HELP {name} {self.about}\n# TYPE {name} {kind}\n" + "".join(
            [f"{sample}{one}" for one in self.samples])


def _add(families: Mapping[str, _Family], fields: Iterable[tuple[str, str]], labels: str, value: object) -> None:
    """A sample of each field that has a value."""
    for metric, field in fields:
        number = getattr(value, field)
        if number is not None:
            families[metric].add(labels, number)


def _plain(text: str) -> str:
    """The value of a label as it is written between quotes."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _networks(containers: Iterable[Container]) -> dict[str, list[Interface]]:
    """The interfaces of each network, under the name of the first container in it: the sum counts each once. Those of
    the host are the host's."""
    found: dict[str, list[Interface]] = {}
    seen = {0, network.space("self")}
    for one in sorted(containers, key=lambda one: one.record.created):
        space = network.space(one.record.pid)
        if space not in seen:
            seen.add(space)
            interfaces = network.read(one.record.pid)
            if one.there:                                # else the pid may be another process's by now
                found[one.record.name] = interfaces
    return found


def _labels(one: Container) -> str:
    values = (one.cgroup.removeprefix("/sys/fs/cgroup") or f"/{one.id}", one.id,
              *(one.labels.get(ANNOTATIONS[name], one.labels.get(name, "")) for name in LABELS[2:]))
    return ",".join([f'{name}="{_plain(value)}"' for name, value in zip(LABELS, values)])


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
    asked = {"runciter_probe_seconds": one.health.probe_seconds} if one.health.probe_seconds else {}
    cpu: dict[str, float] = {"container_spec_cpu_period": stats.cpu.period} if stats.cpu.period else {}
    if stats.cpu.quota is not None:
        cpu["container_spec_cpu_quota"] = stats.cpu.quota
    return {**asked, **cpu,
            "container_memory_usage_bytes": memory.usage, "container_memory_working_set_bytes": memory.working_set,
            "container_memory_max_usage_bytes": memory.max_usage, "container_memory_rss": memory.rss,
            "container_memory_cache": memory.cache, "container_memory_swap": memory.swap,
            "container_processes": stats.processes, "container_threads_max": stats.processes_limit or 0,
            "container_spec_memory_limit_bytes": memory.limit or 0,
            "container_start_time_seconds": one.record.started}
